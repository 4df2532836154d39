"""The contract of agents: what they are given, what they give back, and the port through which they start processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from taskexec.domain.command import Command
from taskexec.domain.states import Reason
from taskexec.domain.task import JSON

__all__ = ["Agent", "Assignment", "Exit", "Outcome", "ProcessRunner"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """One attempt, as an agent sees it."""

    run_id: str
    task_id: str
    attempt: int
    """Number of the attempt, from 1."""
    payload: Mapping[str, JSON]
    """The task's instructions, in the agent's own form."""
    inputs: Mapping[str, JSON]
    """Result of each dependency by its id; None where it left none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an attempt ended."""

    succeeded: bool
    reason: Reason | None = None
    """Why not, when it did not succeed."""
    error: str | None = None
    """What went wrong, for people, in one line."""
    exit_status: int | None = None
    """Exit status of the last process; None when it was ended by a signal or there was none."""
    signal: int | None = None
    """Number of the signal that ended the last process."""
    result: JSON = None
    """Value for dependents; None for none."""
    commands: Sequence[Mapping[str, JSON]] = ()
    """What was executed: `argv`, `cwd`, `env` (names of variables, not their values), `exit_status`, `duration_s`."""
    note: str | None = None
    """What to leave as evidence besides logs and files: an agent's own words."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended."""

    status: int | None
    """Exit status, or None when a signal ended it."""
    signal: int | None
    """Signal, or None."""
    duration_s: float
    """Wall time in seconds."""
    ended_by: Reason | None = None
    """`timeout` or `cancelled` when the supervision ended it, `out_of_memory` when it or the system did, else None."""
    reply: bytes | None = None
    """Answer of a helper; None for ordinary processes and for helpers that died."""
    detail: str | None = None
    """What is known of why it was ended, in words; None: no more than `ended_by` says."""

    def failure(self) -> tuple[Reason, str] | None:
        """Return why the process did not succeed, as a reason and in words; None when it did."""
        if self.ended_by is Reason.TIMEOUT:
            return Reason.TIMEOUT, f"killed after {self.duration_s:.1f} s, its time limit"
        if self.ended_by is Reason.OUT_OF_MEMORY:
            return Reason.OUT_OF_MEMORY, self.detail or "killed by the system, which had run out of memory"
        if self.ended_by is not None:
            return self.ended_by, "stopped from outside"
        if self.signal is not None:
            return Reason.SIGNAL, f"ended by signal {self.signal}"
        if self.status:
            return Reason.EXIT, f"exit status {self.status}"
        return None


class ProcessRunner(Protocol):
    """Starts processes for one attempt: each in a session of its own, output captured as evidence, time limited.

    Processes get `TEK_RUN`, `TEK_TASK`, `TEK_ATTEMPT`, `TEK_OUTPUT` (a folder whose files become evidence),
    `TEK_INPUTS` (a JSON file: the result of each dependency that left one, by its id) and `TEK_RESULT` (write JSON
    there to leave a result). Helpers get the first four. All get the worker's `TEK_SECRET_…`, whose values are masked
    in what is kept, and `TRACEPARENT` while runs are traced. A command's own variables come on top of the worker's
    environment, but never in the place of these.
    """

    def run(self, command: Command) -> Exit:
        """Run one process to its end.

        Raises:
            OSError: The program cannot be started.
        """

    def ask(self, argv: Sequence[str], request: Mapping[str, JSON]) -> Exit:
        """Send a request to a warm helper process (started at first use, kept for later attempts) and await its answer.

        The helper reads and writes frames: 4 bytes of length, big-endian, and JSON.
        """

    def written_result(self) -> JSON:
        """Return what a process wrote to `TEK_RESULT`, else its captured standard output as text; None when empty.

        Raises:
            ValueError: `TEK_RESULT` is not JSON.
        """


class Agent(Protocol):
    """What performs tasks. Third parties register one as an entry point of the group `taskexec.agents`.

    An agent object is made once in each process that performs attempts; `perform` is called in one thread.
    """

    def check(self, payload: Mapping[str, JSON]) -> None:
        """Accept or refuse instructions, at submission.

        Raises:
            ValueError: The payload is not of the agent's form; the text says what was expected.
        """

    def describe(self, assignment: Assignment) -> str:
        """Return what `perform` would do, without doing any of it (dry run)."""

    def perform(self, assignment: Assignment, runner: ProcessRunner) -> Outcome:
        """Perform one attempt. An exception counts as a failure of the attempt with reason `exit`."""
