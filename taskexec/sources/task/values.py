"""What the single values of a task mean as JSON and YAML write them: a number, a truth value, or a text."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from taskexec.domain.resources import Route
from taskexec.plan.draft import Instant
from taskexec.sources.tree.node import Node
from taskexec.sources.values.amounts import ROUTES, parse_memory_mib, show
from taskexec.sources.values.durations import parse_duration_s
from taskexec.sources.values.instants import parse_instant
from taskexec.sources.values.words import parse_priority

__all__ = [
    "AMOUNT",
    "NUMBER_FIELDS",
    "SPAN",
    "VALUES",
    "ValueField",
    "amount_or",
    "duration",
    "parsed",
    "read_route",
    "timeout",
]


@dataclass(frozen=True, slots=True)
class ValueField:
    """How one value is read."""

    target: str
    """The field of `DraftTask` it becomes."""
    convert: Callable[[Node], Any]
    """Returns the value, or None when it is none."""
    expected: str
    """What was expected, in words."""
    example: str
    """A value, as it is written."""
    parse: Callable[[str], Any] | None = None
    """Reads texts; its `ValueError` says what is wrong with one."""

    def problem(self, node: Node) -> str | None:
        """Return what is wrong with a text that is no value, or None when there is no more to say than `expected`."""
        if self.parse is None or not isinstance(node.value, str):
            return None
        try:
            self.parse(node.value.strip())
        except ValueError as error:
            return str(error)
        return None

    def remedy(self, node: Node) -> str:
        """Return what to do about a value that is none."""
        text = node.text()
        clock = _CLOCK.fullmatch(text) if self.parse is parse_duration_s else None
        if clock:
            return f"write `{text}:00` for hours and minutes, `0:{text:0>5}` for minutes and seconds"
        if self.parse is None and isinstance(node.value, str) and _NUMBER.fullmatch(text) and self.target in _NUMBERS:
            return f"write it without quotes: {show(text)}"
        return f"write a value such as `{self.example}`, or remove `{node.key}`"


def _text(node: Node) -> str | None:
    return node.value if isinstance(node.value, str) else None


def _label(node: Node) -> str | None:
    return node.text() if type(node.value) in (str, int, float) else None


def _integer(node: Node) -> int | None:
    return node.value if type(node.value) is int else None  # a truth value is no number


def _count(node: Node) -> int | None:
    number = _integer(node)
    return number if number is not None and number >= 0 else None


def _amount(node: Node) -> float | None:
    value = node.value
    if type(value) not in (int, float):
        return None
    try:
        number = float(value)  # type: ignore[arg-type]  # an int or float, as tested
    except OverflowError:
        return None
    return number if 0 <= number < math.inf else None


def _positive(node: Node) -> float | None:
    return _amount(node) or None


def read_route(node: Node) -> Route | None:
    """Return the route that a text names, in any case, or None."""
    return ROUTES.get(node.value.lower()) if isinstance(node.value, str) else None


def _truth(node: Node) -> bool | None:
    return node.value if isinstance(node.value, bool) else None


def parsed(node: Node, parse: Callable[[str], Any]) -> Any:
    """Return what a text means to a parser, or None."""
    try:
        return parse(node.value.strip()) if isinstance(node.value, str) else None
    except ValueError:
        return None


def _memory(node: Node) -> int | None:
    found: int | None = parsed(node, parse_memory_mib)
    return _count(node) if found is None else found


def amount_or(node: Node, parse: Callable[[str], float] | None) -> float | None:
    """Return a number of at least 0, or what a text means to a parser, if one is given."""
    found: float | None = None if parse is None else parsed(node, parse)
    return _amount(node) if found is None else found


def duration(node: Node) -> float | None:
    """Return the seconds of a number or text, or None."""
    return amount_or(node, parse_duration_s)


def timeout(node: Node) -> float | None:
    """Return the seconds above 0 of a number or text, or None."""
    return duration(node) or None


def _instant(node: Node) -> Instant | None:
    found: Instant | None = parsed(node, parse_instant)
    return found


def _priority(node: Node) -> int | None:
    found: int | None = parsed(node, parse_priority)
    return _integer(node) if found is None else found


_CLOCK = re.compile(r"\d{1,2}:[0-5]\d", re.ASCII)
_NUMBER = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_NUMBERS = frozenset(
    {
        *("cpus", "memory_mib", "gpus", "gpu_memory_mib", "disk_mib", "nodes", "weight"),
        *("duration_s", "timeout_s", "total_timeout_s", "retries"),
    }
)
AMOUNT = "a number of at least 0"
"""What most numbers are."""
_INSTANT = "an instant as a text, such as `2026-03-01T18:00Z`,"
_MIB = "a whole number of MiB, at least 0"
_SIZE = "MiB as a whole number, or a text such as `4G`"
SPAN = "a number of seconds, or a text such as `90s` or `2h`"
"""What most durations are."""

VALUES = {
    "title": ValueField("title", _text, "a text", '"Build it"'),
    "agent": ValueField("agent", _text, "a text", '"shell"'),
    "lane": ValueField("lane", _text, "a text", '"nightly"'),
    "layer": ValueField("layer", _label, "a text or a number", '"core"'),
    "route": ValueField("route", read_route, "`cpu`, `gpu` or `distributed`", '"gpu"'),
    "cpus": ValueField("cpus", _amount, AMOUNT, "2"),
    "memory_mib": ValueField("memory_mib", _count, _MIB, "4096"),
    "memory": ValueField("memory_mib", _memory, _SIZE, '"4G"', parse_memory_mib),
    "gpus": ValueField("gpus", _amount, AMOUNT, "1"),
    "gpu_memory_mib": ValueField("gpu_memory_mib", _count, _MIB, "16384"),
    "gpu_memory": ValueField("gpu_memory_mib", _memory, _SIZE, '"16G"', parse_memory_mib),
    "disk_mib": ValueField("disk_mib", _count, _MIB, "10240"),
    "disk": ValueField("disk_mib", _memory, _SIZE, '"10G"', parse_memory_mib),
    "exclusive": ValueField("exclusive", _truth, "`true` or `false`", "true"),
    "nodes": ValueField("nodes", lambda node: _count(node) or None, "a whole number of at least 1", "4"),
    "packed": ValueField("packed", _truth, "`true` or `false`", "true"),
    "duration_s": ValueField("duration_s", _amount, AMOUNT, "90"),
    "duration": ValueField("duration_s", duration, SPAN, '"90s"', parse_duration_s),
    "timeout_s": ValueField("timeout_s", _positive, "a number above 0", "600"),
    "timeout": ValueField("timeout_s", timeout, SPAN + ", above 0", '"10m"', parse_duration_s),
    "total_timeout_s": ValueField("total_timeout_s", _positive, "a number above 0", "3600"),
    "total_timeout": ValueField("total_timeout_s", timeout, SPAN + ", above 0", '"1h"', parse_duration_s),
    "deadline_at": ValueField("deadline_at", _instant, _INSTANT, '"2026-03-01T18:00:00Z"', parse_instant),
    "deadline": ValueField("deadline_at", _instant, _INSTANT, '"2026-03-01T18:00Z"', parse_instant),
    "retries": ValueField("retries", _count, "a whole number of at least 0", "2"),
    "priority": ValueField("priority", _priority, "a whole number, or a word such as `high`", "6", parse_priority),
    "satisfied": ValueField("satisfied", _truth, "`true` or `false`", "true"),
}
"""The fields of a task that are one value, by name."""

NUMBER_FIELDS = frozenset(
    {
        *("cpus", "memory_mib", "gpus", "gpu_memory_mib", "duration_s", "timeout_s", "total_timeout_s", "retries"),
        *("retry", "satisfied", "disk_mib", "exclusive", "nodes", "packed"),
    }
)
"""Fields that no text can stand for."""
