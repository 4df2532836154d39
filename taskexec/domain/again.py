"""What it comes to when tasks that have ended are to run again: they, all that depends on them, and what forbids it.

A pure function that the Lua script `retry` and the memory twin share, as those of `domain.rules`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from taskexec.domain.rules import TaskState
from taskexec.domain.states import TaskStatus

__all__ = ["NOT_DONE", "RetryPlan", "all_behind", "is_done", "retry_of"]


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
NOT_DONE = frozenset({TaskStatus.FAILED, TaskStatus.SKIPPED, TaskStatus.CANCELLED})
"""What has ended without having been done."""


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
    order = [*chosen, *all_behind(chosen, successors_of)]
    member = set(order)
    busy = tuple(index for index in order if index in state and state[index].status in _BUSY)
    if busy:
        return RetryPlan(busy=busy)

    def stands_in_the_way(before: int) -> bool:
        return before not in member and before in state and state[before].status in NOT_DONE

    stuck = [index for index in order if any(map(stands_in_the_way, dependencies_of(index)))]
    blocked = {*stuck, *(index for index in all_behind(stuck, successors_of) if index in member)}
    hopeless = tuple(index for index in chosen if index in blocked)
    if hopeless:
        return RetryPlan(hopeless=hopeless)
    satisfied = {index for index in order if index in state and state[index].status is TaskStatus.SATISFIED}
    reset = member - blocked - satisfied
    return RetryPlan(again=tuple(sorted(reset & state.keys())), reset=frozenset(reset))


def all_behind(start: Iterable[int], successors_of: Callable[[int], Iterable[int]]) -> list[int]:
    """Return all tasks behind some others, breadth first, each once and without those."""
    front = list(start)
    seen, found = set(front), list[int]()
    while front:
        reached = dict.fromkeys(index for before in front for index in successors_of(before))
        front = [index for index in reached if index not in seen]
        seen.update(front)
        found += front
    return found
