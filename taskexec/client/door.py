"""The two ways into a cluster, the API and its server, as clients see them: shapes of the API, errors of ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from taskexec.client.patience import Patience
from taskexec.client.values import Change, LogChunk, SubmitOptions
from taskexec.plan import Plan

__all__ = ["Door"]


class Door(Protocol):
    """What both can do. Instants and rows are those of the API; times to wait are monotonic seconds."""

    def check(self, plan: Plan) -> Mapping[str, Any]:
        """Return what `tek plan --output json` shows of a plan."""

    def submit(self, plan: Plan, options: SubmitOptions) -> str:
        """Submit a plan; return the id of the run."""

    def runs(self, limit: int | None) -> Iterator[Mapping[str, Any]]:
        """Yield lines of runs, the newest first."""

    def run(self, run_id: str, *, patience: Patience | None = None) -> Mapping[str, Any]:
        """Return a run; with patience a cluster that is away for a while is waited for."""

    def tasks(self, run_id: str) -> Iterator[Mapping[str, Any]]:
        """Yield the tasks of a run, in the order of its plan."""

    def task(self, run_id: str, task: str) -> Mapping[str, Any]:
        """Return a task with its `tries`."""

    def results(self, run_id: str) -> Iterator[tuple[str, Any]]:
        """Yield the tasks that returned something, each with what the attempt that succeeded returned."""

    def read_file(self, run_id: str, task: str, attempt: int, name: str) -> bytes:
        """Return a file of evidence."""

    def log(self, run_id: str, task: str, *, attempt: int | None, follow: bool) -> Iterator[LogChunk]:
        """Yield what a task wrote; with `follow` until it has ended."""

    def events(self, run_id: str, *, after: str | None, until: float | None) -> Iterator[Change]:
        """Yield what changes in a run until it has ended, or until an instant of the monotonic clock.

        A cluster that is away for a while is waited for; each change comes once all the same.
        """

    def stop(self, run_id: str, *, kill: bool) -> None:
        """Have a run start nothing more, and end what runs as well if `kill` is true."""

    def retry(self, run_id: str, tasks: Sequence[str] | None) -> Sequence[str]:
        """Have tasks run again, with all that depends on them; None is all that did not succeed; return all."""

    def workers(self) -> Sequence[Mapping[str, Any]]:
        """Return the registrations of the workers."""

    def close(self) -> None:
        """Close what is open."""
