"""Amounts and words in the columns of a table, each text understood once however many rows repeat it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from taskexec.plan.draft import Located
from taskexec.sources.table.cells import Row
from taskexec.sources.table.fields import normalize
from taskexec.sources.table.header import Header
from taskexec.sources.values import amounts
from taskexec.sources.values.amounts import parse_memory_mib, show, with_decimal_point
from taskexec.sources.values.attempts import parse_backoff, parse_factor, parse_reasons, parse_share
from taskexec.sources.values.durations import parse_duration_s
from taskexec.sources.values.instants import parse_instant
from taskexec.sources.values.lists import NONE_WORDS
from taskexec.sources.values.needs import parse_alternatives, parse_nodes, parse_yes
from taskexec.sources.values.words import parse_priority

__all__ = [
    "ColumnReader",
    "Tres",
    "alternatives_column",
    "amount_columns",
    "is_slurm_memory",
    "parse_tres",
    "retry_columns",
    "total_cores",
]

T = TypeVar("T")

_REMEMBERED_MAX = 10_000
_MAY_PART_THOUSANDS = re.compile(r"[1-9]\d{0,2}\.\d{3}(?!\d)")
_UNBOUNDED = ("unlimited", "partition_limit", "infinite")
_SLURM_CORES = ("alloccpus", "reqcpus", "ncpus")
_SLURM_CLOCKS = ("elapsed", "timelimit")
_TRES = re.compile(r"(?:^|,)\s*(?P<key>cpu|mem|gres/gpu)=(?P<value>[^,]*)")

_EXAMPLES = {
    **dict.fromkeys(("cpus", "gpus"), "a number such as `2` or `0.5`"),
    **dict.fromkeys(("memory", "gpu_memory", "disk"), "an amount with its unit, such as `512M` or `4G`"),
    **dict.fromkeys(("exclusive", "packed"), "`yes` or `no`"),
    "nodes": "how many ranks it has, such as `4`",
    "alternatives": "what would do as well, such as `gpus=1 gpu_memory=24G; cpus=16 weight=0.5`",
    **dict.fromkeys(
        ("duration", "timeout", "total_timeout", "retry_delay", "retry_max_delay"),
        "a time with its unit, such as `90s`, `15m` or `2h`",
    ),
    "deadline": "an instant such as `2026-03-01T18:00Z` (a date for people belongs in `meta:deadline`)",
    "retry_backoff": "`fixed` or `exponential`",
    **dict.fromkeys(("retry_factor", "retry_memory"), "a factor such as `2` or `x1.5`"),
    "retry_jitter": "a share such as `0.5` or `50%`",
    "retry_on": "reasons such as `exit 75; timeout`",
    "retries": "a whole number such as `3`",
    "priority": "a whole number from 0 to 9, higher first",
    "tres": "it as Slurm does, such as `cpu=4,mem=8G,gres/gpu=1`",
}
"""What may stand in a column, by its field."""

Report = Callable[[int, str, str], None]
"""Takes the index of a column, what is wrong with its cell in the row at hand, and what to do about it."""


class ColumnReader(Generic[T]):
    """Reads the cells of one column."""

    def __init__(self, field: str, index: int, parse: Callable[[str], T]) -> None:
        self.index = index
        self.understood: dict[str, T] = {}
        """Texts that were read before and what they say."""
        self._field = field
        self._parse = parse

    def read(self, row: Row, report: Report) -> Located[T] | None:
        """Return what the column's cell says; a wrong one is reported and says nothing."""
        text = row.texts[self.index]
        value = self.understood.get(text)
        if value is None:
            word = text.strip()
            if not word or word.casefold() in NONE_WORDS or word.casefold() in _UNBOUNDED:
                return None
            try:
                value = self._parse(word)
            except ValueError as error:
                hint = f"write {_EXAMPLES[self._field]}, or leave the cell empty"
                report(self.index, f"says {show(word)}: {error}", hint)
                return None
            if len(self.understood) < _REMEMBERED_MAX:
                self.understood[text] = value
        return Located(value, row.places[self.index])


def amount_columns(header: Header) -> Mapping[str, ColumnReader[Any]]:
    """Return a reader for each column of a table that holds amounts, by field of a draft task."""
    memory, gpu_memory, disk = (str(header.units.get(name, "m")) for name in ("memory", "gpu_memory", "disk"))
    per_cpu = "c" if is_slurm_memory(header) else ""
    parsers: dict[str, tuple[str, Callable[[str], Any]]] = {
        "cpus": ("cpus", _with_comma(amounts.parse_amount)),
        "memory_mib": ("memory", _with_comma(lambda text: parse_memory_mib(text.removesuffix(per_cpu), memory))),
        "gpus": ("gpus", _with_comma(amounts.parse_amount)),
        "gpu_memory_mib": ("gpu_memory", _with_comma(lambda text: parse_memory_mib(text, gpu_memory))),
        "disk_mib": ("disk", _with_comma(lambda text: parse_memory_mib(text, disk))),
        "exclusive": ("exclusive", parse_yes),
        "nodes": ("nodes", parse_nodes),
        "packed": ("packed", parse_yes),
        "duration_s": ("duration", _duration(header, "duration")),
        "timeout_s": ("timeout", _positive(_duration(header, "timeout"))),
        "total_timeout_s": ("total_timeout", _positive(_duration(header, "total_timeout"))),
        "deadline_at": ("deadline", parse_instant),
        "retries": ("retries", amounts.parse_count),
        "priority": ("priority", _project_priority if "outline" in header.columns else parse_priority),
    }
    return _readers(header, parsers)


def retry_columns(header: Header) -> Mapping[str, ColumnReader[Any]]:
    """Return a reader for each column that says how to retry, by field of `RetryPolicy`, and `backoff`."""
    return _readers(
        header,
        {
            "delay_s": ("retry_delay", _duration(header, "retry_delay")),
            "backoff": ("retry_backoff", parse_backoff),
            "factor": ("retry_factor", _with_comma(parse_factor)),
            "max_delay_s": ("retry_max_delay", _positive(_duration(header, "retry_max_delay"))),
            "jitter": ("retry_jitter", _with_comma(parse_share)),
            "on": ("retry_on", parse_reasons),
            "memory_factor": ("retry_memory", _with_comma(parse_factor)),
        },
    )


def _readers(header: Header, parsers: Mapping[str, tuple[str, Callable[[str], Any]]]) -> dict[str, ColumnReader[Any]]:
    readers: dict[str, ColumnReader[Any]] = {}
    for name, (field, parse) in parsers.items():
        index = header.index(field)
        if index is not None:
            readers[name] = ColumnReader(field, index, parse)
    return readers


def alternatives_column(header: Header) -> ColumnReader[tuple[Mapping[str, Any], ...]] | None:
    """Return the reader of what would do as well, if there is such a column."""
    index = header.index("alternatives")
    return None if index is None else ColumnReader("alternatives", index, parse_alternatives)


def is_slurm_memory(header: Header) -> bool:
    """Return whether the column of memory is Slurm's, where a `c` behind the amount means each core."""
    index = header.index("memory")
    return index is not None and normalize(header.names[index]) == "reqmem"


def total_cores(header: Header) -> int | None:
    """Return the column of cores if it is Slurm's, which counts those of all nodes of a job together."""
    index = header.index("cpus")
    return index if index is not None and normalize(header.names[index]) in _SLURM_CORES else None


class Tres:
    """What Slurm says was given to a job, as far as tasks ask for it; None says nothing."""

    __slots__ = ("cpus", "gpus", "memory_mib")

    def __init__(self, cpus: float | None, memory_mib: int | None, gpus: float | None) -> None:
        self.cpus = cpus
        self.memory_mib = memory_mib
        self.gpus = gpus


def parse_tres(text: str) -> Tres:
    """Return what a text such as `billing=4,cpu=4,gres/gpu=2,mem=8000M` says.

    Raises:
        ValueError: An amount cannot be read.
    """
    found = {match["key"]: match["value"] for match in _TRES.finditer(text)}
    cpus, memory, gpus = found.get("cpu"), found.get("mem"), found.get("gres/gpu")
    return Tres(
        None if cpus is None else amounts.parse_amount(cpus),
        None if memory is None else parse_memory_mib(memory),
        None if gpus is None else amounts.parse_amount(gpus),
    )


def _with_comma(parse: Callable[[str], T]) -> Callable[[str], T]:
    """Return a parser of one column that takes decimal commas, and refuses points that may then part thousands."""
    points: list[str] = []
    commas: list[str] = []

    def parse_either(text: str) -> T:
        if "," in text:
            commas.append(text)
        elif _MAY_PART_THOUSANDS.match(text):
            points.append(text)
        if points and commas:
            other = points[0] if "," in text else commas[0]
            raise ValueError(f"does not go with {show(other)} in the same column: a point may part thousands there")
        return parse(with_decimal_point(text))

    return parse_either


def _project_priority(text: str) -> int:
    """Return a priority of MS Project, 0 to 1,000, on our scale."""
    priority = parse_priority(text)
    return priority * 9 // 1_000 if 10 <= priority <= 1_000 else priority


def _duration(header: Header, field: str) -> Callable[[str], float]:
    index = header.index(field)
    unit_s = float(header.units.get(field, 1.0))
    has_short_clock = index is not None and normalize(header.names[index]) in _SLURM_CLOCKS
    return _with_comma(lambda text: parse_duration_s(text, unit_s, has_short_clock=has_short_clock))


def _positive(parse: Callable[[str], float]) -> Callable[[str], float]:
    def parse_positive(text: str) -> float:
        value = parse(text)
        if value <= 0:
            raise ValueError("a number above 0, such as `30`, was expected")
        return value

    return parse_positive
