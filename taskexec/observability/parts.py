"""The parts into which the time of a run or of a task is split."""

from __future__ import annotations

from enum import StrEnum

from taskexec.observability.slots import Slots
from taskexec.observability.timeline import AttemptSpan, TaskSpan

__all__ = ["Part", "parts_of_task"]


class Part(StrEnum):
    """What time was spent on."""

    WORK = "work"
    """The last attempt of a task did its work."""
    DEPENDENCIES = "dependencies"
    """A task waited for others: never on the chain, which goes on with the one it waited for."""
    RESOURCES = "resources"
    """No slot was free, or no place for what it asked for."""
    DISPATCH = "dispatch"
    """A slot was free, or no worker was there yet: until the work began."""
    RETRIES = "retries"
    """Attempts that failed or were lost, and the delays behind them."""
    PEOPLE = "people"
    """The run had ended until somebody had tasks of it run again."""
    OVERHEAD = "overhead"
    """From the end of the work until that was known and followed by the next."""


def parts_of_task(span: TaskSpan, route: str, slots: Slots, end_us: int) -> list[tuple[Part, int]]:
    """Return how the time of a task is split, from its end back to when it could start: parts and their beginnings.

    Args:
        span: The task, which could start.
        route: Its route.
        slots: When slots were free.
        end_us: When its time ends.
    """
    assert span.ready_us is not None
    tries = [one for one in span.attempts if (one.claimed_us or one.queued_us or end_us) >= span.ready_us]
    last = next((one for one in reversed(tries) if one.claimed_us is not None), tries[-1] if tries else None)
    if last is None:
        return [(Part.RESOURCES, span.ready_us)]
    cuts = []
    if last.finished_us is not None and last.claimed_us is not None:
        cuts.append((Part.OVERHEAD, last.finished_us))
    if last.started_us is not None:
        cuts.append((Part.WORK, last.started_us))
    queued_us = _first_queued(last, tries)
    until_us = min(last.started_us or end_us, end_us)
    if queued_us is not None and queued_us < until_us:
        waited_us = slots.waited_us(route, last, queued_us, until_us)
        cuts += [(Part.DISPATCH, queued_us + waited_us), (Part.RESOURCES, queued_us)]
    has_others = any(one.number != last.number for one in tries)
    return [*cuts, (Part.RETRIES if has_others else Part.RESOURCES, span.ready_us)]


def _first_queued(last: AttemptSpan, tries: list[AttemptSpan]) -> int | None:
    """Return when an attempt was queued first: one that was given back is queued again under its number."""
    return min(
        (one.queued_us for one in tries if one.number == last.number and one.queued_us is not None), default=None
    )
