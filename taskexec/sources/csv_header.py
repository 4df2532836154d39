"""Which column of a table means what: the one place where header names are resolved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from taskexec.errors import Fault
from taskexec.sources.cells import Cell
from taskexec.sources.values import show

__all__ = ["COLUMNS", "Header", "has_id_column", "resolve_header"]

COLUMNS = (
    "id",
    "title",
    "command",
    "depends_on",
    "queue",
    "cpus",
    "memory_mb",
    "gpus",
    "duration_s",
    "priority",
    "agent",
    "timeout_s",
    "retries",
    "lane",
    "layer",
)
"""The columns that mean something, as they are named in a header; all others are metadata."""


@dataclass(slots=True)
class Header:
    """The columns of one table."""

    width: int
    """Number of cells that each row must have."""
    known: dict[str, int] = field(default_factory=dict)
    """Index of each column of `COLUMNS` that is there."""
    metadata: list[tuple[str, int]] = field(default_factory=list)
    """Name, as written and trimmed, and index of every other column."""


def has_id_column(cells: Sequence[Cell]) -> bool:
    """Return whether a row can be the header of a plan."""
    return any(_normalize(cell) == "id" for cell in cells)


def resolve_header(cells: Sequence[Cell], source: str, *, faults: list[Fault], warnings: list[Fault]) -> Header:
    """Return what the columns mean; duplicate, missing and doubtful names are appended to the two lists."""
    header = Header(len(cells))
    for index, cell in enumerate(cells):
        name = _normalize(cell)
        if name not in COLUMNS:
            header.metadata.append((cell.text.strip() or f"column_{index + 1}", index))
        elif name in header.known:
            places = (cells[header.known[name]].place(source), cell.place(source))
            faults.append(Fault("csv.header", f"column `{name}` stands twice", places, "keep one of the two columns"))
        else:
            header.known[name] = index
    if "id" in header.known:
        warnings.extend(_doubts(header, cells, source))
    else:
        faults.append(_missing_id(cells, source))
    return header


def _normalize(cell: Cell) -> str:
    return cell.text.strip().casefold()


def _missing_id(cells: Sequence[Cell], source: str) -> Fault:
    names = ", ".join(show(cell.text.strip()) for cell in cells[:8])
    message = f"the header {names} has no column `id`"
    hint = f"the first line names the columns: {','.join(COLUMNS[:10])}"
    return Fault("csv.header", message, (cells[0].place(source),), hint)


def _doubts(header: Header, cells: Sequence[Cell], source: str) -> list[Fault]:
    """Return warnings for unknown columns that look like a misspelt known one."""
    doubts = []
    absent = [name for name in COLUMNS if name not in header.known]
    for name, index in header.metadata:
        close = get_close_matches(name.casefold()[:40], absent, n=1, cutoff=0.8)
        if close:
            message = f"column {show(name)} is not known and kept as metadata"
            places = (cells[index].place(source),)
            doubts.append(Fault("csv.unknown_column", message, places, f"did you mean `{close[0]}`?"))
    return doubts
