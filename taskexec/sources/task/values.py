"""What the single values of a task mean as JSON and YAML write them: a number, a truth value, or a text."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from taskexec.domain.resources import Route
from taskexec.sources.tree.node import Node
from taskexec.sources.values.amounts import ROUTES, parse_memory_mib
from taskexec.sources.values.durations import parse_duration_s
from taskexec.sources.values.words import parse_priority

__all__ = ["NUMBER_FIELDS", "VALUES", "ValueField", "read_route"]


@dataclass(frozen=True, slots=True)
class ValueField:
    """How one value is read."""

    target: str
    """The field of `DraftTask` it becomes."""
    convert: Callable[[Node], Any]
    """Returns the value, or None when it is none."""
    expected: str
    """What was expected, in words."""


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


def _parsed(node: Node, parse: Callable[[str], Any]) -> Any:
    """Return what a text means, or None."""
    try:
        return parse(node.value.strip()) if isinstance(node.value, str) else None
    except ValueError:
        return None


def _memory(node: Node) -> int | None:
    found: int | None = _parsed(node, parse_memory_mib)
    return _count(node) if found is None else found


def _duration(node: Node) -> float | None:
    found: float | None = _parsed(node, parse_duration_s)
    return _amount(node) if found is None else found


def _timeout(node: Node) -> float | None:
    return _duration(node) or None


def _priority(node: Node) -> int | None:
    found: int | None = _parsed(node, parse_priority)
    return _integer(node) if found is None else found


_AMOUNT = "a number of at least 0"
_MIB = "a whole number of MiB, at least 0"
_SIZE = "MiB as a whole number, or a text such as `4G`"
_SPAN = "a number of seconds, or a text such as `90s` or `2h`"

VALUES = {
    "title": ValueField("title", _text, "a text"),
    "agent": ValueField("agent", _text, "a text"),
    "lane": ValueField("lane", _text, "a text"),
    "layer": ValueField("layer", _label, "a text or a number"),
    "route": ValueField("route", read_route, "`cpu`, `gpu` or `distributed`"),
    "cpus": ValueField("cpus", _amount, _AMOUNT),
    "memory_mib": ValueField("memory_mib", _count, _MIB),
    "memory": ValueField("memory_mib", _memory, _SIZE),
    "gpus": ValueField("gpus", _amount, _AMOUNT),
    "gpu_memory_mib": ValueField("gpu_memory_mib", _count, _MIB),
    "gpu_memory": ValueField("gpu_memory_mib", _memory, _SIZE),
    "duration_s": ValueField("duration_s", _amount, _AMOUNT),
    "duration": ValueField("duration_s", _duration, _SPAN),
    "timeout_s": ValueField("timeout_s", _positive, "a number above 0"),
    "timeout": ValueField("timeout_s", _timeout, _SPAN + ", above 0"),
    "retries": ValueField("retries", _count, "a whole number of at least 0"),
    "priority": ValueField("priority", _priority, "a whole number, or a word such as `high`"),
    "satisfied": ValueField("satisfied", _truth, "`true` or `false`"),
}
"""The fields of a task that are one value, by name."""

NUMBER_FIELDS = frozenset(
    {"cpus", "memory_mib", "gpus", "gpu_memory_mib", "duration_s", "timeout_s", "retries", "satisfied"}
)
"""Fields that no text can stand for."""
