"""What follows an attempt that did not succeed: another one after a delay, or the end of its task.

Pure functions that the Lua scripts and the memory twin share, as those of `domain.rules`.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

from taskexec.domain.retry import AttemptPolicy
from taskexec.domain.states import LOST_REASONS, Reason

__all__ = ["Failure", "Fate", "fate_after", "is_last_chance", "time_left_us"]


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
    is_given_back: bool = False
    """Whether its worker was told to leave and gave it back: that counts neither as a loss nor as a failure."""
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
    is_lost = failure.reason in LOST_REASONS and not failure.is_given_back
    number = failure.lost if is_lost else failure.attempt - failure.before - failure.lost
    if failure.reason not in policy.on and f"exit {failure.exit_status}" not in policy.on:
        return _FAILED
    if not failure.is_given_back and (number >= failure.lost_max if is_lost else number > policy.retries):
        return _FAILED
    delay_us = 0 if failure.reason == Reason.LOST_WORKER else _delay_us(failure, policy, number)
    due_us = now_us + delay_us
    is_late = policy.deadline_us and due_us >= policy.deadline_us
    is_spent = policy.budget_us and due_us >= failure.first_us + policy.budget_us
    return _FAILED if is_late or is_spent else Fate(is_tried_again=True, delay_us=delay_us)


def is_last_chance(lost: int, *, lost_max: int) -> bool:
    """Return whether the next loss of its worker would be the end of a task that has met with so many.

    Such tasks run one at a time: the one that kills its workers must not take others along for good.
    """
    return lost_max > 1 and lost == lost_max - 1


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
