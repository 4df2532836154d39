"""What a task may ask for at most, and what its texts may hold: the same for every kind of source."""

from __future__ import annotations

import re
from collections.abc import Iterator
from operator import attrgetter
from typing import TypeVar

from taskexec.errors import Fault
from taskexec.plan.draft import DraftAlternative, DraftTask, Located

__all__ = [
    "ID_MAX",
    "LONGEST_S",
    "amount_fault",
    "amount_faults",
    "has_odd_values",
    "quote",
    "value_faults",
    "value_warnings",
]

T = TypeVar("T", int, float)

ID_MAX = 200
"""Most characters of an id."""

LONGEST_S = 100 * 366 * 86_400
"""Most seconds of anything: a hundred years."""

_SHOWN_OF_ID = 80
_AMOUNTS: tuple[tuple[str, str, float], ...] = (
    ("cpus", "cpus", 1_000_000),
    ("memory_mib", "MiB of memory", 2**40),
    ("gpus", "gpus", 100_000),
    ("gpu_memory_mib", "MiB of GPU memory", 2**30),
    ("disk_mib", "MiB of disk", 2**40),
    ("duration_s", "seconds", LONGEST_S),
    ("timeout_s", "seconds of timeout", LONGEST_S),
    ("retries", "retries", 1_000_000),
)
"""Field, what it counts, and the most of it: more is a slip of the pen or the wrong unit."""

_NEVER_TOO_MUCH = min(most for _, _, most in _AMOUNTS)
_get_amounts = attrgetter(*(field for field, _, _ in _AMOUNTS))

_LANE_FORBIDDEN = re.compile(r"[/\\*?\[\]\x01-\x1f\x7f-\x9f]")
_PRIORITIES = range(10)


def has_odd_values(task: DraftTask) -> bool:
    """Return whether a task has values that the next two functions may have something to say about; quick."""
    gpus, priority = task.gpus, task.priority
    return (
        task.lane is not None
        or (gpus is not None and gpus.value > 1)
        or (priority is not None and priority.value not in _PRIORITIES)
        or any(amount is not None and amount.value > _NEVER_TOO_MUCH for amount in _get_amounts(task))
    )


def value_faults(task: DraftTask, task_id: str) -> Iterator[Fault]:
    """Yield what is wrong with the values of one task by themselves."""
    yield from amount_faults(task, task_id)
    yield from _lane_faults(task, task_id)


def amount_faults(asked: DraftTask | DraftAlternative, task_id: str) -> Iterator[Fault]:
    """Yield what is wrong with the amounts that a task, or an alternative of it, asks for."""
    for field, unit, most in _AMOUNTS:
        amount: Located[float] | None = getattr(asked, field, None)
        if amount is not None and amount.value > most:
            name = field.removesuffix("_s").removesuffix("_mib")
            yield amount_fault(amount, task_id, unit=unit, most=most, name=name, has_unit=name != field)
    gpus = asked.gpus
    if gpus is not None and gpus.value > 1 and gpus.value != int(gpus.value):
        message = f"task {quote(task_id)} asks for {gpus.value:g} gpus; above 1, whole ones were expected"
        yield Fault("plan.gpus", message, (gpus.place,), "write a fraction of one, such as `0.5`, or a whole number")


def value_warnings(task: DraftTask, task_id: str) -> Iterator[Fault]:
    """Yield what was read of one task's values otherwise than it is written."""
    priority = task.priority
    if priority is not None and priority.value not in _PRIORITIES:
        used = min(max(priority.value, 0), 9)
        message = f"priority {priority.value} of task {quote(task_id)} counts as {used}"
        yield Fault("plan.priority", message, (priority.place,), "priorities go from 0 to 9, higher first")


def quote(task_id: str) -> str:
    """Return an id in backticks, on one line and cut when it is very long."""
    cut = task_id if len(task_id) <= _SHOWN_OF_ID else task_id[: _SHOWN_OF_ID - 1] + "…"
    if not cut.isprintable():
        cut = "".join(character if character.isprintable() else ascii(character)[1:-1] for character in cut)
    return f"`{cut}`"


def amount_fault(
    amount: Located[float], task_id: str, *, unit: str, most: float, name: str, has_unit: bool = True
) -> Fault:
    """Return the fault of an amount that is too large.

    Args:
        amount: The amount.
        task_id: The task that asks for it.
        unit: What is counted, in words.
        most: The largest amount.
        name: What the field is called.
        has_unit: Whether the amount is written with a unit.
    """
    message = f"task {quote(task_id)} asks for {amount.value:,.15g} {unit}, {most:,.0f} are the most"
    hint = f"check the number in `{name}`" + (", and its unit" if has_unit else "")
    return Fault("plan.amount", message, (amount.place,), hint)


def _lane_faults(task: DraftTask, task_id: str) -> Iterator[Fault]:
    lane = task.lane
    match = None if lane is None else _LANE_FORBIDDEN.search(lane.value.strip())
    if lane is not None and match is not None:
        message = f"queue {quote(lane.value)} of task {quote(task_id)} holds {quote(match[0])}"
        hint = "name it without control characters and those of paths and patterns: / \\ * ? [ ]"
        yield Fault("plan.lane", message, (lane.place,), hint)
