"""How a plan's source was understood, as lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskexec.plan import Plan

__all__ = ["describe_reading"]

_SHOWN = 12
_SHOWN_COLUMNS = 40


def describe_reading(plan: Plan) -> Iterator[str]:
    """Yield what a plan was read from and as what, what was supposed, and what was left out."""
    reading = plan.reading
    if reading.form:
        yield f"read as: {reading.form}"
    if reading.files:
        yield f"with: {_some(reading.files)}"
    if reading.columns:
        mapped = [_mapped(field, names) for field, names in reading.columns.items()]
        yield f"columns: {_some(mapped, _SHOWN_COLUMNS)}"
    if reading.metadata:
        yield f"kept as metadata: {_some([f'`{name}`' for name in reading.metadata])}"
    if reading.defaults:
        yield f"supposed: {_some(reading.defaults)}"
    if reading.left_out:
        yield f"left out: {_some(reading.left_out)}"
    satisfied = sum(task.is_satisfied for task in plan.tasks)
    if satisfied:
        yield f"done already, not run: {satisfied:,} of {len(plan.tasks):,} tasks"


def _mapped(field: str, names: Sequence[str]) -> str:
    return field if list(names) == [field] else f"{field} = {' + '.join(f'`{name}`' for name in names)}"


def _some(parts: Sequence[str], shown: int = _SHOWN) -> str:
    more = len(parts) - shown
    return "; ".join([*parts[:shown], *([f"and {more:,} more"] if more > 0 else [])])
