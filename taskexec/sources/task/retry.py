"""The field `retry` of a task as JSON and YAML write it: a number of retries, or an object that says how to retry.

`retry: 3` is `retries: 3`. An object has the fields of `RETRY_FIELDS`; those of plan.json are `RetryPolicy.to_json`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskexec.plan.draft import Located
from taskexec.sources.task.telling import put_value, read_texts, refuse_value
from taskexec.sources.task.values import AMOUNT, SPAN, ValueField, amount_or, duration, parsed, timeout
from taskexec.sources.tree.node import Findings, Node
from taskexec.sources.values.amounts import show
from taskexec.sources.values.attempts import parse_backoff, parse_factor, parse_reason, parse_share
from taskexec.sources.values.durations import parse_duration_s

__all__ = ["RETRY_FIELDS", "read_retry", "united_retry"]

_IN_PLAN_JSON = ("delay_s", "max_delay_s", "memory_factor")
_FACTOR = "a number of at least 1, or a text such as `x2`"

_VALUES = {
    "delay_s": ValueField("delay_s", lambda node: amount_or(node, None), AMOUNT, "10"),
    "delay": ValueField("delay_s", duration, SPAN, '"10s"', parse_duration_s),
    "backoff": ValueField(
        "backoff",
        lambda node: parsed(node, parse_backoff),
        "`fixed` or `exponential`",
        '"exponential"',
        parse_backoff,
    ),
    "factor": ValueField("factor", lambda node: amount_or(node, parse_factor), _FACTOR, "2", parse_factor),
    "max_delay_s": ValueField("max_delay_s", lambda node: amount_or(node, None) or None, "a number above 0", "300"),
    "max_delay": ValueField("max_delay_s", timeout, SPAN + ", above 0", '"5m"', parse_duration_s),
    "jitter": ValueField(
        "jitter",
        lambda node: amount_or(node, parse_share),
        "a number from 0 to 1, or a text such as `50%`",
        "0.5",
        parse_share,
    ),
    "memory_factor": ValueField("memory_factor", lambda node: amount_or(node, None), "a number of at least 1", "2"),
    "memory": ValueField("memory_factor", lambda node: amount_or(node, parse_factor), _FACTOR, "2", parse_factor),
}
RETRY_FIELDS = (*(name for name in _VALUES if name not in _IN_PLAN_JSON), "on", *_IN_PLAN_JSON)
"""The fields of an object `retry`."""

_SHAPE_HINT = "write `3` for three retries, or how to retry: `{delay: 10s, backoff: exponential}`"
_REASONS_HINT = 'write a list such as `[exit, "exit 75", timeout]`, or remove `on`'
_COUNTS = frozenset({"retries", "max", "limit", "attempts", "max_attempts", "count", "times"})
_OTHER_NAMES = {"when": "on", "if": "on", "wait": "delay", "interval": "delay", "multiplier": "factor"}
"""What other tools call these fields."""


def read_retry(node: Node, findings: Findings, *, is_strict: bool) -> dict[str, Located[Any]] | Located[int] | None:
    """Return what a field `retry` says: fields of `RetryPolicy`, or the number of retries; None says nothing.

    Args:
        node: The member `retry`.
        findings: Where faults and warnings go.
        is_strict: Whether an unknown field of the object is a fault; else a warning.
    """
    if type(node.value) is int and node.value >= 0:
        return Located(node.value, findings.places.at(node.offset))
    if not node.is_object:
        findings.expected(node, "a whole number of at least 0, or an object,", hint=_SHAPE_HINT)
        return None
    found: dict[str, Any] = {}
    for key, member in node.members().items():
        if key not in RETRY_FIELDS:
            meant = _OTHER_NAMES.get(key)
            hint = (
                "say how many beside `retry`: `retries: 3`" if key in _COUNTS else meant and f"did you mean `{meant}`?"
            )
            findings.unknown(member, RETRY_FIELDS, is_fault=is_strict, owner="`retry`", hint=hint)
        elif member.value is not None:
            _read_field(key, member, findings, found)
    return found or None


def united_retry(
    first: Mapping[str, Located[Any]] | None, second: Mapping[str, Located[Any]] | None
) -> Mapping[str, Located[Any]] | None:
    """Return what both say, where the second wins; its `backoff` replaces the other's `factor`, and its `factor` it."""
    if not first or not second:
        return second or first
    replaced = {"backoff", "factor"} if not second.keys().isdisjoint({"backoff", "factor"}) else set()
    return {name: value for name, value in first.items() if name not in replaced} | dict(second)


def _read_field(key: str, node: Node, findings: Findings, found: dict[str, Any]) -> None:
    field = _VALUES.get(key)
    if field is None:
        reasons = _read_reasons(node, findings)
        if reasons:
            found["on"] = Located(reasons, findings.places.at(node.offset))
        return
    value = field.convert(node)
    if value is None:
        refuse_value(findings, field, node)
    else:
        put_value(findings, found, field.target, Located(value, findings.places.at(node.offset)), node)


def _read_reasons(node: Node, findings: Findings) -> tuple[str, ...]:
    if node.is_list and not node.items():
        message = f"{show(node.path)} names no reason, so that nothing would be retried"
        findings.fault("shape", message, node.offset, hint="name some, or write `retries: 0`")
    found: list[str] = []
    statuses = [item for item in node.items() if type(item.value) is int]
    for item in statuses:
        findings.expected(item, "a reason as a text", hint=f'write `"exit {item.text()}"` for this exit status')
    if statuses:
        return ()
    for item in read_texts(findings, node, "a list of reasons", "a reason as a text"):
        try:
            found += parse_reason(str(item.value))
        except ValueError as error:
            message = f"a text {show(item.text())} stands at {show(item.path)}: {error}"
            findings.fault("shape", message, item.offset, hint=_REASONS_HINT)
    return tuple(dict.fromkeys(found))
