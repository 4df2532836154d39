"""The client: plans submitted and runs followed, over the API or straight on the server of a cluster."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from taskexec.client.builder import WorkflowBuilder
from taskexec.client.patience import Patience
from taskexec.client.values import (
    Change,
    Checked,
    LogChunk,
    RunInfo,
    SubmitOptions,
    TaskInfo,
    WorkerInfo,
)
from taskexec.domain.states import RunStatus
from taskexec.errors import NotFound, UsageError

if TYPE_CHECKING:
    from taskexec.client.door import Door
    from taskexec.plan import Plan

__all__ = ["Client", "Run", "plan_of"]

_WEB = ("http://", "https://")
_TOKEN_VARIABLE = "TEK_API_TOKEN"  # noqa: S105 - the name of a variable


def plan_of(given: Plan | WorkflowBuilder | str | os.PathLike[str]) -> Plan:
    """Return a checked plan.

    Raises:
        PlanRejected: It has faults; all of them are listed.
    """
    from taskexec.plan import Plan, build_plan
    from taskexec.sources import read_plan

    if isinstance(given, Plan):
        return given
    if isinstance(given, WorkflowBuilder):
        return given.build()
    return build_plan(read_plan(os.fspath(given)))


class Client:
    """A cluster, seen from a program. It is a context manager, and safe to share between threads.

    Raises (all methods):
        ConnectionLost: The API or the server did not answer; what was submitted stays submitted.
        Refused: The token does not allow it, or the cluster will not do it.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        token: str | None = None,
        settings: Mapping[str, object] | None = None,
        timeout_s: float = 30.0,
    ) -> None:
        """Connect to a cluster.

        Args:
            address: `https://…` (or `http://…`) is an API, `redis://…`, `rediss://…` or `unix://…` the server itself;
                None takes the server that `tek` would find: of the settings, of TEK_JOIN, else of `tek up`.
            token: Token for the API; None takes TEK_API_TOKEN.
            settings: Settings by name, such as `{"evidence.runs_dir": "out"}`, which win over files and environment;
                only without an API.
            timeout_s: Longest wait for one answer of the API, in seconds.

        Raises:
            UsageError: The address is none, or settings do not fit.
            ConnectionLost: The server does not answer.
        """
        self._door = _open(address, token, settings, timeout_s)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close what is open."""
        self.close()

    def close(self) -> None:
        """Close what is open; runs go on."""
        self._door.close()

    def check(self, plan: Plan | WorkflowBuilder | str | os.PathLike[str]) -> Checked:
        """Read and check a plan without submitting it.

        Raises:
            PlanRejected: It has faults; all of them are listed.
        """
        return Checked.of(self._door.check(plan_of(plan)))

    def submit(
        self,
        plan: Plan | WorkflowBuilder | str | os.PathLike[str],
        options: SubmitOptions | None = None,
        **named: Any,
    ) -> Run:
        """Submit a plan and return its run, which goes on whatever becomes of this program.

        Args:
            plan: What to run.
            options: How.
            named: Fields of `SubmitOptions`, in its place.

        Raises:
            PlanRejected: It has faults, or an agent is missing or refuses its instructions.
            NeedsUnmet: No worker could ever run some of its tasks.
        """
        if options is not None and named:
            raise UsageError("options of a run are given as `SubmitOptions` or by name, not both")
        run_id = self._door.submit(plan_of(plan), options or SubmitOptions(**named))
        return Run(self._door, run_id)

    def runs(self, limit: int | None = 100) -> Iterator[RunInfo]:
        """Yield runs, the newest first; None yields all."""
        return (RunInfo.of(row) for row in self._door.runs(limit))

    def run(self, run_id: str) -> Run:
        """Return a run by its id; nothing is asked until something is asked of it."""
        return Run(self._door, run_id)

    def workers(self) -> Sequence[WorkerInfo]:
        """Return the workers that are there."""
        return [WorkerInfo.of(row) for row in self._door.workers()]


class Run:
    """A run of a cluster."""

    def __init__(self, door: Door, run_id: str) -> None:
        self._door = door
        self.run_id = run_id

    def __repr__(self) -> str:
        """Return what it is."""
        return f"Run({self.run_id!r})"

    def info(self) -> RunInfo:
        """Return where it stands now.

        Raises:
            NotFound: There is no such run.
        """
        return RunInfo.of(self._door.run(self.run_id))

    @property
    def status(self) -> RunStatus:
        """Its status now."""
        return self.info().status

    def wait(self, timeout_s: float | None = None) -> RunInfo:
        """Wait until it has ended; return where it stands then. A cluster that is away is waited for, for a minute.

        Raises:
            NotFound: There is no such run, or the server has come to know it no more before it ended.
            TimeoutError: It goes on after so many seconds.
        """
        until = None if timeout_s is None else time.monotonic() + timeout_s
        patience, known = Patience(until=until), None
        while True:
            for change in self._door.events(self.run_id, after=known, until=until):
                known = change.id
                if change.is_final:
                    break
            patience.answered()
            info = RunInfo.of(self._door.run(self.run_id, patience=patience))
            if info.is_final:
                return info
            if patience.is_over:
                raise TimeoutError(f"run {self.run_id} goes on after {timeout_s:g} s: {dict(info.counts)}")
            patience.pause()  # it had ended, and goes on: somebody has tasks run again

    def tasks(self) -> Iterator[TaskInfo]:
        """Yield its tasks, in the order of the plan, without their attempts."""
        return (TaskInfo.of(row) for row in self._door.tasks(self.run_id))

    def task(self, task: str) -> TaskInfo:
        """Return one task with its attempts and their files.

        Raises:
            NotFound: It has no such task.
        """
        return TaskInfo.of(self._door.task(self.run_id, task))

    def results(self) -> Mapping[str, Any]:
        """Return what the tasks that succeeded returned, by task.

        That is the value of a Python callable, and of a command the JSON that it wrote to TEK_RESULT, else what it
        printed, if that is short. Tasks that returned nothing are missing, and those whose value is above 64 KiB.
        """
        return dict(self._door.results(self.run_id))

    def logs(self, task: str, *, attempt: int | None = None, follow: bool = False) -> Iterator[LogChunk]:
        """Yield what a task wrote.

        Args:
            task: The task.
            attempt: Number of the attempt; None is the last one, with `follow` also those after it.
            follow: Go on until the task has ended.
        """
        return self._door.log(self.run_id, task, attempt=attempt, follow=follow)

    def events(self, *, after: str | None = None) -> Iterator[Change]:
        """Yield what changes until the run has ended; each change once, over broken connections too.

        Args:
            after: `Change.id` of the last one that is known; None begins with the first.
        """
        return self._door.events(self.run_id, after=after, until=None)

    def read_file(self, task: str, name: str, *, attempt: int | None = None) -> bytes:
        """Return a file that an attempt at a task left, such as `stdout.log`; without a number, the last attempt.

        Raises:
            NotFound: It left no such file.
        """
        number = attempt or self.task(task).attempts
        if not number:
            raise NotFound(f"task `{task}` was not started, so that there is no file `{name}`")
        return self._door.read_file(self.run_id, task, number, name)

    def save_file(self, task: str, name: str, path: str | os.PathLike[str], *, attempt: int | None = None) -> Path:
        """Write such a file to a path, and return it."""
        target = Path(path)
        target.write_bytes(self.read_file(task, name, attempt=attempt))
        return target

    def stop(self, *, kill: bool = False) -> None:
        """Have it start nothing more; what runs may finish, unless `kill` is true."""
        self._door.stop(self.run_id, kill=kill)

    def retry(self, tasks: Sequence[str] | None = None) -> Sequence[str]:
        """Have tasks run again in the same run, and all that depends on them; return all of these.

        None is all that failed, was skipped or cancelled.

        Raises:
            TasksBusy, TasksBlocked: Some cannot run again now.
        """
        return self._door.retry(self.run_id, tasks)


def _open(address: str | None, token: str | None, settings: Mapping[str, object] | None, timeout_s: float) -> Door:
    if address is not None and address.startswith(_WEB):
        from taskexec.client.web import WebDoor

        if settings:
            raise UsageError("settings are those of the API where there is one", hint="leave `settings` out")
        return WebDoor(address, token or os.environ.get(_TOKEN_VARIABLE), timeout_s=timeout_s)
    if token is not None:
        raise UsageError("a token is for an API", hint="give its address, as `https://tek.example`")
    from taskexec.client.direct import DirectDoor
    from taskexec.settings import load_settings

    return DirectDoor(load_settings(settings or {}), address)
