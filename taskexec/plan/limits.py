"""What a task may ask for at most, and what its texts may hold: the same for every kind of source."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeVar

from taskexec.errors import Fault
from taskexec.plan.draft import DraftTask, Located

__all__ = ["ID_MAX", "quote", "value_faults", "value_warnings"]

T = TypeVar("T", int, float)

ID_MAX = 200
"""Most characters of an id."""

_SHOWN_OF_ID = 80
_YEARS_100_S = 100 * 366 * 86_400
_AMOUNTS: tuple[tuple[str, str, float], ...] = (
    ("cpus", "cpus", 1_000_000),
    ("memory_mib", "MiB of memory", 2**40),
    ("gpus", "gpus", 100_000),
    ("gpu_memory_mib", "MiB of GPU memory", 2**30),
    ("duration_s", "seconds", _YEARS_100_S),
    ("timeout_s", "seconds of timeout", _YEARS_100_S),
    ("retries", "retries", 1_000_000),
)
"""Field, what it counts, and the most of it: more is a slip of the pen or the wrong unit."""

_LANE_FORBIDDEN = re.compile(r"[/\\*?\[\]]")
_PRIORITIES = range(10)


def value_faults(task: DraftTask, task_id: str) -> Iterator[Fault]:
    """Yield what is wrong with the values of one task by themselves."""
    for field, unit, most in _AMOUNTS:
        amount: Located[float] | None = getattr(task, field)
        if amount is not None and amount.value > most:
            message = f"task {quote(task_id)} asks for {amount.value:,.15g} {unit}, {most:,.0f} are the most"
            yield Fault("plan.amount", message, (amount.place,), f"check the unit of `{field}`")
    gpus = task.gpus
    if gpus is not None and gpus.value > 1 and gpus.value != int(gpus.value):
        message = f"task {quote(task_id)} asks for {gpus.value:g} gpus; above 1, whole ones were expected"
        yield Fault("plan.gpus", message, (gpus.place,), "write a fraction of one, such as `0.5`, or a whole number")
    yield from _lane_faults(task, task_id)


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
    return f"`{cut if cut.isprintable() else ascii(cut)[1:-1]}`"


def _lane_faults(task: DraftTask, task_id: str) -> Iterator[Fault]:
    lane = task.lane
    match = None if lane is None else _LANE_FORBIDDEN.search(lane.value)
    if lane is not None and match is not None:
        message = f"queue {quote(lane.value)} of task {quote(task_id)} holds `{match[0]}`"
        hint = "name it without characters of paths and patterns: / \\ * ? [ ]"
        yield Fault("plan.lane", message, (lane.place,), hint)
