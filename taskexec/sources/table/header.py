"""Which column of a table means what: names are resolved once for each table, the user's own names first."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from taskexec.errors import Fault, Place
from taskexec.plan.draft import Located
from taskexec.sources.table.cells import Row
from taskexec.sources.table.fields import (
    ALIASES,
    FIELDS,
    METADATA_PREFIX,
    SLURM_IDS,
    SLURM_ONLY,
    UNITED,
    field_and_unit,
    fields_named,
    normalize,
)
from taskexec.sources.values.amounts import show

__all__ = ["Header", "missing_id", "recognized_fields", "resolve_header"]

_SHOWN = 8
_LIKENESS = 0.8
_NAME_SHOWN = 40
_COLUMNS_LOOKED_AT = 1_000
_DEPENDENCY_WORD = re.compile("depend|predecess|prédécess|blockedby|vorgäng|abhäng|prerequi")
_STATUS_WORD = re.compile("status|statut|completed|isdone|erledigt")
_EXAMPLE = "id,title,command,depends_on,queue,cpus,memory,gpus,duration,priority"


@dataclass(slots=True)
class Header:
    """The columns of one table."""

    names: tuple[str, ...]
    """What the columns are called, trimmed; a column without a name is called by its number."""
    columns: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Indexes of the columns of each field that is there; one, but for the fields of `UNITED`."""
    units: dict[str, str | float] = field(default_factory=dict)
    """The unit that a column's name states: seconds for times, a letter for sizes."""
    metadata: dict[int, str] = field(default_factory=dict)
    """Index and key of every other column."""

    def index(self, field_name: str) -> int | None:
        """Return the index of a field's column, or None when the table lacks it."""
        found = self.columns.get(field_name)
        return found[0] if found else None

    def text(self, row: Row, field_name: str) -> Located[str] | None:
        """Return what a row says in a field's column, trimmed, or None when that is nothing."""
        index = self.index(field_name)
        text = "" if index is None else row.texts[index].strip()
        return None if index is None or not text else Located(text, row.places[index])

    def describe(self) -> dict[str, list[str]]:
        """Return the columns of each field as they are written."""
        return {name: list(dict.fromkeys(self.names[index] for index in found)) for name, found in self.columns.items()}


def recognized_fields(texts: Sequence[str]) -> set[str]:
    """Return the fields that a row's texts would name if it were a header; of very many, the first ones."""
    return {field for text in texts[:_COLUMNS_LOOKED_AT] for field in fields_named(text)}


def resolve_header(
    row: Row, source: str, columns: Mapping[str, Sequence[str]], *, faults: list[Fault], warnings: list[Fault]
) -> Header:
    """Return what the columns mean; duplicate and doubtful names are appended to the two lists.

    Args:
        row: The header.
        source: The file, for places.
        columns: The user's own names by field; they win over the usual ones.
        faults: Gets what makes the header unusable.
        warnings: Gets what may not be what was meant.
    """
    header = Header(tuple(text.strip() or f"column_{at}" for at, text in enumerate(row.texts, 1)))
    resolver = _Resolver(row, source, header, faults)
    for name, own in columns.items():
        resolver.claim_own(name, own)
    for name in FIELDS:
        if name not in header.columns:
            resolver.claim(name)
    if "outline" in header.columns and "deadline" not in columns:
        header.columns.pop("deadline", None)  # MS Project's deadline is a planner's wish, and ends nothing
    if "has" not in columns:
        _give_up_constraints(header)
    resolver.keep_rest()
    warnings.extend(_doubts(header, row, source))
    return header


def _give_up_constraints(header: Header) -> None:
    """Take no constraint for a label of workers unless the table is Slurm's: where people plan, it is a remark."""
    found = header.columns.get("has", ())
    names = [normalize(header.names[index]) for index in found]
    if SLURM_ONLY.isdisjoint(names) or any(normalize(name) in SLURM_IDS for name in header.names):
        return
    header.columns["has"] = tuple(at for at, name in zip(found, names, strict=True) if name not in SLURM_ONLY)
    if not header.columns["has"]:
        del header.columns["has"]


def missing_id(header: Header, row: Row, source: str) -> Fault:
    """Return the fault of a table without a column of ids; `row` is its header."""
    names = _listed([text.strip() for text in row.texts if text.strip()])
    place = row.places[0]
    if not header.columns:
        message = f"the first row{f', {names},' if names else ''} names no column that is known"
        hint = f"begin with a row of column names, such as {_EXAMPLE}"
        if not source.lower().endswith((".csv", ".tsv")):
            hint += "; a workflow begins with `tasks:`, a State of Truth (Markdown) lists tasks as `- [ ] Name`"
        return Fault("csv.header", message, (place,), hint)
    title = header.index("title")
    example = header.names[0 if title is None else title]
    example = example if example.isprintable() and len(example) <= _NAME_SHOWN else "NAME"
    hint = f"name the column that does (`--columns 'id={example}'`), or number the rows (`--row-ids`)"
    return Fault("csv.no_id", f"none of the columns {names} holds ids", (place,), hint)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(show, names[:_SHOWN])) + (", …" if len(names) > _SHOWN else "")


class _Resolver:
    """Gives each column to one field."""

    def __init__(self, row: Row, source: str, header: Header, faults: list[Fault]) -> None:
        self._row = row
        self._source = source
        self._header = header
        self._faults = faults
        self._free = {
            index: text for index, text in enumerate(row.texts) if not text.strip().startswith(METADATA_PREFIX)
        }
        self._named: dict[str, list[int]] = {}
        for index, text in self._free.items():
            for field_name in fields_named(text):
                self._named.setdefault(field_name, []).append(index)

    def claim_own(self, name: str, own: Sequence[str]) -> None:
        """Give a field the columns that the user names for it."""
        for wanted in own:
            exact = [index for index, text in self._free.items() if text.strip() == wanted.strip()]
            alike = [index for index, text in self._free.items() if normalize(text) == normalize(wanted)]
            if not exact and not alike:
                self._report_missing(name, wanted)
            for index in (exact or alike) if name in UNITED else (exact or alike)[:1]:
                self._take(name, index, None)

    def claim(self, name: str) -> None:
        """Give a field its likeliest column, or all of them where they are united."""
        found = [
            (meaning, index)
            for index in self._named.get(name, ())
            if index in self._free and (meaning := field_and_unit(self._free[index], name))
        ]
        if not found:
            return
        if name in UNITED:
            for _, index in found:
                self._take(name, index, None)
            return
        best = min(rank for (rank, _), _ in found)
        (unit, first), *rest = [(unit, index) for (rank, unit), index in found if rank == best]
        self._take(name, first, unit)
        for _, index in rest:
            places = (self._row.places[first], self._row.places[index])
            message = f"column {show(self._header.names[first])} stands twice"
            self._faults.append(Fault("csv.header", message, places, "keep one of the two columns"))
            del self._free[index]

    def keep_rest(self) -> None:
        """Keep all columns that mean nothing as metadata."""
        taken = {index for found in self._header.columns.values() for index in found}
        for index, name in enumerate(self._header.names):
            if index not in taken:
                self._header.metadata[index] = name.removeprefix(METADATA_PREFIX).strip() or name

    def _take(self, name: str, index: int, unit: str | float | None) -> None:
        self._header.columns[name] = (*self._header.columns.get(name, ()), index)
        if unit is not None:
            self._header.units[name] = unit
        del self._free[index]

    def _report_missing(self, name: str, wanted: str) -> None:
        close = get_close_matches(wanted, self._header.names, n=1)
        hint = f"did you mean {show(close[0])}?" if close else f"the columns are {_listed(self._header.names)}"
        message = f"there is no column {show(wanted)} for `{name}`"
        self._faults.append(Fault("csv.columns", message, (Place(self._source, self._row.line),), hint))


def _doubts(header: Header, row: Row, source: str) -> list[Fault]:
    """Return warnings for columns that look like a field that the table lacks."""
    absent = {names[0]: name for name, names in ALIASES.items() if name not in header.columns}
    doubts = []
    for index, name in list(header.metadata.items())[:_COLUMNS_LOOKED_AT]:
        likely = _likely_field(normalize(name), absent)
        if likely is not None and not row.texts[index].strip().startswith(METADATA_PREFIX):
            message = f"column {show(name)} is not known and kept as metadata"
            hint = f"did you mean `{likely}`?"
            if name.isprintable() and len(name) <= _NAME_SHOWN:
                hint += f" if so: `--columns '{likely}={name}'`"
            doubts.append(Fault("csv.unknown_column", message, (row.places[index],), hint))
    return doubts


def _likely_field(name: str, absent: Mapping[str, str]) -> str | None:
    """Return the field that a name may mean: a misspelt one, or one whose word it holds."""
    close = get_close_matches(name[:40], absent, n=1, cutoff=_LIKENESS)
    if close:
        return absent[close[0]]
    fields = set(absent.values())
    if "depends_on" in fields and "blocks" in fields and _DEPENDENCY_WORD.search(name):
        return "depends_on"
    lacks_status = {"status", "progress", "done_at"} <= fields
    return "status" if lacks_status and _STATUS_WORD.search(name) else None
