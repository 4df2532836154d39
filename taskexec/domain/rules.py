"""The rules of attempts, latches, batches and stopping that the Lua scripts and the memory twin share.

Every rule is a pure function of what is stored; `store/lua/` says the same in Lua, `store/memory.py` calls
these, and the contract tests hold both against each other. What fits on a worker is `resources.shortfalls`;
how a run ends is `states.run_outcome`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from taskexec.domain.retry import AttemptPolicy
from taskexec.domain.states import LOST_REASONS, Reason, TaskStatus

__all__ = [
    "ClaimVerdict",
    "CompletionVerdict",
    "Failure",
    "Fate",
    "RetryPlan",
    "TaskState",
    "average_duration",
    "batch_size",
    "calm_until",
    "cancelled_state",
    "duration_behind_a_long_one",
    "fate_after",
    "is_done",
    "is_popped",
    "judge_claim",
    "judge_completion",
    "retry_of",
    "skipped_after",
    "time_left_us",
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


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt that did not succeed, and what the store knows of the attempts before it."""

    run_id: str
    index: int
    attempt: int
    reason: str
    """As `Reason`."""
    exit_status: int | None = None
    before: int = 0
    """Attempts in earlier lives of the task, which count for nothing."""
    lost: int = 0
    """Attempts that ended for one of `LOST_REASONS`, this one included."""
    lost_max: int = 3
    """So many of them are the end of the task."""
    first_us: int = 0
    """Server time at which its first attempt started; 0 when the policy has no budget."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What follows an attempt that did not succeed."""

    is_tried_again: bool
    delay_us: int = 0
    """Microseconds until the next attempt may be queued."""


_FAILED = Fate(is_tried_again=False)
_LONGEST_DELAY_US = 3_155_760_000_000_000
"""A hundred years."""
_INFRASTRUCTURE_DELAY_US = 1_000_000
"""After a fault of ours (a full disk) the next attempt waits, twice as long each time; a policy's delay goes first."""


def fate_after(failure: Failure, policy: AttemptPolicy, *, now_us: int) -> Fate:
    """Return what follows an attempt that did not succeed: a further one after a delay, or the end of the task."""
    is_lost = failure.reason in LOST_REASONS
    number = failure.lost if is_lost else failure.attempt - failure.before - failure.lost
    if failure.reason not in policy.on and f"exit {failure.exit_status}" not in policy.on:
        return _FAILED
    if number >= failure.lost_max if is_lost else number > policy.retries:
        return _FAILED
    delay_us = 0 if failure.reason == Reason.LOST_WORKER else _delay_us(failure, policy, number)
    due_us = now_us + delay_us
    is_late = policy.deadline_us and due_us >= policy.deadline_us
    is_spent = policy.budget_us and due_us >= failure.first_us + policy.budget_us
    return _FAILED if is_late or is_spent else Fate(is_tried_again=True, delay_us=delay_us)


def _delay_us(failure: Failure, policy: AttemptPolicy, number: int) -> int:
    """Return the delay before the attempt after the `number`th failure of its kind."""
    delay, factor = float(policy.delay_us), policy.factor
    if not delay and failure.reason == Reason.INFRASTRUCTURE:
        delay, factor = float(_INFRASTRUCTURE_DELAY_US), 2.0
    longest = policy.max_us or _LONGEST_DELAY_US
    while number > 1 and 0 < delay < longest and factor > 1:
        delay, number = delay * factor, number - 1
    return math.floor(min(delay, longest) * (1 - policy.jitter * _draw(failure)))


def _draw(failure: Failure) -> float:
    """Return a number in 0..1 that is chance to people and the same wherever it is drawn for this attempt."""
    name = f"{failure.run_id}|{failure.index}|{failure.attempt}"
    return int(hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()[:8], 16) / 0xFFFFFFFF


def time_left_us(policy: AttemptPolicy, *, now_us: int, first_us: int) -> int | None:
    """Return the microseconds that a task still has when an attempt is claimed, at least 0; None is no limit."""
    ends = [policy.deadline_us] if policy.deadline_us else []
    if policy.budget_us:
        ends.append(first_us + policy.budget_us)
    return max(min(ends) - now_us, 0) if ends else None


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


@dataclass(frozen=True, slots=True)
class RetryPlan:
    """What having tasks run again comes to; nothing is done when `busy` or `hopeless` names any."""

    again: tuple[int, ...] = ()
    """Tasks that have ended and run again, in plan order."""
    reset: frozenset[int] = frozenset()
    """They, and those behind them that wait already: their latches are counted anew."""
    busy: tuple[int, ...] = ()
    """Among the named ones and those behind them: held, queued or running."""
    hopeless: tuple[int, ...] = ()
    """Named ones that depend, directly or not, on something that has ended otherwise and is not among them."""


_BUSY = {TaskStatus.READY, TaskStatus.QUEUED, TaskStatus.RUNNING}
_DONE = {TaskStatus.SUCCEEDED, TaskStatus.SATISFIED}
_NOT_DONE = {TaskStatus.FAILED, TaskStatus.SKIPPED, TaskStatus.CANCELLED}


def is_done(state: TaskState | None) -> bool:
    """Return whether a task counts as done for those that depend on it."""
    return state is not None and state.status in _DONE


def retry_of(
    named: Iterable[int],
    *,
    successors_of: Callable[[int], Iterable[int]],
    dependencies_of: Callable[[int], Iterable[int]],
    state: Mapping[int, TaskState],
) -> RetryPlan:
    """Return what it comes to when some tasks, and all that depends on them, are to run again.

    Satisfied tasks stay. So does what stands behind a failure that is not taken along.
    """
    chosen = list(dict.fromkeys(named))
    order = [*chosen, *_behind(chosen, successors_of)]
    member = set(order)
    busy = tuple(index for index in order if index in state and state[index].status in _BUSY)
    if busy:
        return RetryPlan(busy=busy)

    def stands_in_the_way(before: int) -> bool:
        return before not in member and before in state and state[before].status in _NOT_DONE

    stuck = [index for index in order if any(map(stands_in_the_way, dependencies_of(index)))]
    blocked = {*stuck, *(index for index in _behind(stuck, successors_of) if index in member)}
    hopeless = tuple(index for index in chosen if index in blocked)
    if hopeless:
        return RetryPlan(hopeless=hopeless)
    satisfied = {index for index in order if index in state and state[index].status is TaskStatus.SATISFIED}
    reset = member - blocked - satisfied
    return RetryPlan(again=tuple(sorted(reset & state.keys())), reset=frozenset(reset))


def _behind(start: Iterable[int], successors_of: Callable[[int], Iterable[int]]) -> list[int]:
    """Return all tasks behind some others, breadth first, each once and without those."""
    front = list(start)
    seen, found = set(front), list[int]()
    while front:
        reached = dict.fromkeys(index for before in front for index in successors_of(before))
        front = [index for index in reached if index not in seen]
        seen.update(front)
        found += front
    return found


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
