"""The rules of attempts, latches, batches and stopping that the Lua scripts and the memory twin share.

Every rule is a pure function of what is stored; `store/lua/` says the same in Lua, `store/memory.py` calls
these, and the contract tests hold both against each other. What fits on a worker is `resources.shortfalls`;
how a run ends is `states.run_outcome`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from taskexec.domain.states import TaskStatus

__all__ = [
    "ClaimVerdict",
    "CompletionVerdict",
    "TaskState",
    "average_duration",
    "batch_size",
    "calm_until",
    "cancelled_state",
    "duration_behind_a_long_one",
    "is_popped",
    "judge_claim",
    "judge_completion",
    "skipped_after",
    "window_size",
]

_LETTERS = {
    "H": TaskStatus.READY,
    "Q": TaskStatus.QUEUED,
    "R": TaskStatus.RUNNING,
    "S": TaskStatus.SUCCEEDED,
    "F": TaskStatus.FAILED,
    "X": TaskStatus.SKIPPED,
    "C": TaskStatus.CANCELLED,
    "P": TaskStatus.SATISFIED,
}
_BY_STATUS = {status: letter for letter, status in _LETTERS.items()}
_NEWEST_SHARE_RATIO = 0.3
_FEW = 8
"""So many tasks may be queued however few slots there are."""


@dataclass(frozen=True, slots=True)
class TaskState:
    """Where a task stands and with which attempt; a task that waits has none (None)."""

    status: TaskStatus
    attempt: int
    """Attempt that is to be queued (READY), is queued, runs or ended it; for CANCELLED how many were started, 0 if
    SKIPPED or SATISFIED."""

    def encode(self) -> str:
        """Return the state as the store keeps it: a letter and the attempt, such as `R2`."""
        return f"{_BY_STATUS[self.status]}{self.attempt}"

    @classmethod
    def decode(cls, text: str) -> TaskState:
        """Return the state that `encode` wrote.

        Raises:
            ValueError: The text is no state.
        """
        status = _LETTERS.get(text[:1])
        if status is None:
            raise ValueError(f"`{text}` is not the state of a task")
        return cls(status, int(text[1:]))


class ClaimVerdict(Enum):
    """What a claim on an attempt brings."""

    GRANTED = "granted"
    """The attempt was queued and now runs."""
    REPEATED = "repeated"
    """The same delivery holds it already; it is given again and the lease is renewed."""
    REFUSED = "refused"
    """It runs elsewhere, has ended, was superseded or cancelled; the message is a duplicate."""


class CompletionVerdict(Enum):
    """What the completion of an attempt brings."""

    ACCEPTED = "accepted"
    """The attempt was running and ends with it."""
    REPEATED = "repeated"
    """The attempt has ended like this before; nothing changes."""
    LATE = "late"
    """Another attempt owns the task, or it was cancelled; the result is refused and recorded."""


def judge_claim(state: TaskState | None, attempt: int, *, holds_lease: bool) -> ClaimVerdict:
    """Return what a claim on an attempt brings; `holds_lease` says that the same delivery has its lease."""
    if state == TaskState(TaskStatus.QUEUED, attempt):
        return ClaimVerdict.GRANTED
    if holds_lease and state == TaskState(TaskStatus.RUNNING, attempt):
        return ClaimVerdict.REPEATED
    return ClaimVerdict.REFUSED


def judge_completion(state: TaskState | None, attempt: int, *, succeeded: bool, holds_lease: bool) -> CompletionVerdict:
    """Return what the completion of an attempt brings; `holds_lease` says that its delivery has its lease."""
    if holds_lease and state == TaskState(TaskStatus.RUNNING, attempt):
        return CompletionVerdict.ACCEPTED
    if state == TaskState(TaskStatus.SUCCEEDED if succeeded else TaskStatus.FAILED, attempt):
        return CompletionVerdict.REPEATED
    return CompletionVerdict.LATE


def cancelled_state(state: TaskState | None, *, running: bool) -> TaskState | None:
    """Return what a task becomes when its run is stopped, or None where it stays as it is.

    Args:
        state: Its state; None when it waits.
        running: Whether what runs is cancelled too.
    """
    if state is None:
        return TaskState(TaskStatus.CANCELLED, 0)
    if state.status in {TaskStatus.QUEUED, TaskStatus.READY}:
        return TaskState(TaskStatus.CANCELLED, state.attempt - 1)
    if running and state.status is TaskStatus.RUNNING:
        return TaskState(TaskStatus.CANCELLED, state.attempt)
    return None


def skipped_after(
    failed: int, *, successors_of: Callable[[int], Iterable[int]], settled: Collection[int]
) -> Iterator[int]:
    """Yield the tasks to skip after a failure, breadth first, each once.

    Args:
        failed: Index of the failed task.
        successors_of: Gives the indexes that depend on a task.
        settled: Tasks that no longer wait; they and what stands behind them only are left alone.
    """
    front, seen = [failed], {failed}
    while front:
        found = []
        for successor in (index for before in front for index in successors_of(before)):
            if successor not in seen:
                seen.add(successor)
                found.append(successor)
        front = [index for index in found if index not in settled]
        yield from front


def batch_size(count: int, *, slots: int, waiting: int, each_us: int, target_us: int, most: int) -> int:
    """Return the members of one message: leaving work for every slot without one, lasting about the target together.

    Args:
        count: Tasks that are ready, for one queue and one agent.
        slots: Slots of the route's live workers.
        waiting: Messages that lie in the queue already; at least one slot is taken to be without one.
        each_us: Measured duration of one task in microseconds; 0 is unknown, and limits nothing.
        target_us: How long a batch should last, in microseconds.
        most: Most members of one message.
    """
    size = min(math.ceil(count / max(slots - waiting, 1)), math.floor(target_us / max(each_us, 1)), most)
    return max(size, 1)


def window_size(count: int, *, slots: int, each_us: int, target_us: int, most: int, weight: float) -> int:
    """Return how many tasks of a route a run may have in its lists: as many as keep the slots busy.

    What is beyond waits in the run's backlog, so that the tasks of another run are not behind all of them.

    Args:
        count: Tasks that could be queued.
        slots: Slots of the route's live workers.
        each_us: Measured duration of one task in microseconds; 0 is unknown.
        target_us: How long a batch should last, in microseconds.
        most: Most members of one message.
        weight: The run's weight beside others.
    """
    likely = math.floor(target_us / each_us) if each_us > 0 else _FEW  # they may all be long
    size = max(min(math.ceil(count / max(slots, 1)), likely, most), 1)
    return math.ceil(max(2 * slots, _FEW) * size * weight)


def average_duration(known_us: int, each_us: float) -> int:
    """Return the measured duration of a task after one more measurement, in whole microseconds; 0 is unknown."""
    if known_us <= 0:
        return round(each_us)
    return round(known_us * (1 - _NEWEST_SHARE_RATIO) + each_us * _NEWEST_SHARE_RATIO)


def duration_behind_a_long_one(known_us: int, *, target_us: int) -> int:
    """Return the measured duration of a task after some were given back, because one before them took too long."""
    return max(known_us, target_us)


def calm_until(now_us: int, *, last_us: int, calm_us: int, lease_us: int) -> int:
    """Return until when reaping ends nothing: one lease after a gap longer than a lease between two rounds."""
    return now_us + lease_us if now_us - last_us > lease_us else calm_us


def is_popped(queued_us: int, oldest_us: float) -> bool:
    """Return whether a message has left its list: the oldest one there (infinite for none) is younger."""
    return oldest_us > queued_us
