"""The states of tasks and runs, why an attempt ends, and which transitions are legal.

The normal path of a task is `waiting -> queued -> running -> succeeded`. A lapsed or failed attempt with attempts
left goes from `running` back to `queued`, or to `ready` until a delay is over; what a batch claimed but did not start
goes back as well, with the same attempt number.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = [
    "FINAL_RUN_STATUSES",
    "FINAL_TASK_STATUSES",
    "LOST_REASONS",
    "TASK_TRANSITIONS",
    "Reason",
    "RunStatus",
    "TaskStatus",
    "run_outcome",
]


class TaskStatus(StrEnum):
    """Where a task stands."""

    WAITING = "waiting"
    """At least one dependency is not done."""
    READY = "ready"
    """All dependencies are done; held back until the delay before its next attempt is over."""
    QUEUED = "queued"
    """A message for its next attempt is on its route."""
    RUNNING = "running"
    """An attempt has claimed it and holds the lease."""
    SUCCEEDED = "succeeded"
    """Final: an attempt completed it."""
    FAILED = "failed"
    """Final: its attempts are used up."""
    SKIPPED = "skipped"
    """Final: something it depends on did not succeed."""
    CANCELLED = "cancelled"
    """Final: stopped by a person or by fail-fast before it succeeded."""
    SATISFIED = "satisfied"
    """Final: was done before the run; counts as succeeded for its dependents."""


FINAL_TASK_STATUSES = frozenset(
    {
        TaskStatus.SUCCEEDED,
        TaskStatus.FAILED,
        TaskStatus.SKIPPED,
        TaskStatus.CANCELLED,
        TaskStatus.SATISFIED,
    }
)
"""A task in one of these changes only when somebody has it run again."""

_STOPPED = {TaskStatus.SKIPPED, TaskStatus.CANCELLED}

TASK_TRANSITIONS: dict[TaskStatus, frozenset[TaskStatus]] = {
    TaskStatus.WAITING: frozenset({TaskStatus.READY, TaskStatus.QUEUED, *_STOPPED}),
    TaskStatus.READY: frozenset({TaskStatus.QUEUED, *_STOPPED}),
    TaskStatus.QUEUED: frozenset({TaskStatus.RUNNING, TaskStatus.QUEUED, TaskStatus.FAILED, *_STOPPED}),
    TaskStatus.RUNNING: frozenset(
        {TaskStatus.SUCCEEDED, TaskStatus.FAILED, TaskStatus.QUEUED, TaskStatus.READY, TaskStatus.CANCELLED}
    ),
    **{status: frozenset() for status in FINAL_TASK_STATUSES},
}
"""For each status, the statuses that may follow it, as long as nobody has the task run again."""


class RunStatus(StrEnum):
    """Where a run stands."""

    PENDING = "pending"
    """Stored, not started."""
    RUNNING = "running"
    """Started; at least one task is not final."""
    PAUSED = "paused"
    """Started; nothing new is queued until it is resumed."""
    SUCCEEDED = "succeeded"
    """Final: every task succeeded or was satisfied."""
    FAILED = "failed"
    """Final: at least one task failed."""
    CANCELLED = "cancelled"
    """Final: stopped by a person, and no task failed."""


FINAL_RUN_STATUSES = frozenset({RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED})
"""A run in one of these changes only when somebody has tasks of it run again."""


class Reason(StrEnum):
    """Why an attempt did not succeed: a closed class beside the status."""

    EXIT = "exit"
    """The command, callable or agent failed by itself (exit status not 0, exception)."""
    SIGNAL = "signal"
    """The command was ended by a signal that was not ours."""
    TIMEOUT = "timeout"
    """It ran longer than it may (its attempt, its task over all attempts, or until a deadline) and was killed."""
    OUT_OF_MEMORY = "out_of_memory"
    """It was killed because it used more memory than allowed."""
    LOST_WORKER = "lost_worker"
    """The worker died or its lease lapsed."""
    CANCELLED = "cancelled"
    """A person or fail-fast stopped it."""
    REFUSED = "refused"
    """The worker would not run it (unknown agent, instructions that the agent rejects)."""
    INFRASTRUCTURE = "infrastructure"
    """Something of ours failed (disk full, evidence could not be kept)."""


LOST_REASONS = frozenset({Reason.LOST_WORKER, Reason.INFRASTRUCTURE})
"""An attempt that ended for one of these is no fault of the task: it counts against the limit of lost attempts."""


def run_outcome(*, failed: int, cancelled: int, is_expired: bool = False) -> RunStatus:
    """Return the final status of a run with so many failed and cancelled tasks (skipped ones follow).

    `is_expired` says that its time was up before they had ended.
    """
    if failed or is_expired:
        return RunStatus.FAILED
    return RunStatus.CANCELLED if cancelled else RunStatus.SUCCEEDED
