"""The field `alternatives` of a task as JSON and YAML write it: `[{cpus: 16, weight: 0.5}, …]`."""

from __future__ import annotations

from typing import Any

from taskexec.plan.draft import DraftAlternative, Located
from taskexec.sources.task.telling import put_value, read_texts, refuse_value
from taskexec.sources.task.values import VALUES, ValueField, amount_or
from taskexec.sources.tree.node import Findings, Node
from taskexec.sources.values.needs import LABELS

__all__ = ["ALTERNATIVE_FIELDS", "read_alternatives", "read_labels"]

_OF_TASK = ("nodes", "packed")
_VALUES = {
    "weight": ValueField("weight", lambda node: amount_or(node, None) or None, "a number above 0", "0.5"),
    **{
        name: VALUES[name]
        for name in (
            *("cpus", "memory_mib", "memory", "gpus", "gpu_memory_mib", "gpu_memory", "disk_mib", "disk"),
            "exclusive",
        )
    },
}
ALTERNATIVE_FIELDS = (*_VALUES, *LABELS)
"""The fields of an alternative."""

_SHAPE_HINT = "write what would do as well, by weight: `[{gpus: 1}, {cpus: 16, weight: 0.5}]`"


def read_alternatives(node: Node, findings: Findings, *, is_strict: bool) -> tuple[DraftAlternative, ...]:
    """Return what a field `alternatives` says; what is wrong becomes a fault and says nothing.

    Args:
        node: The member `alternatives`.
        findings: Where faults and warnings go.
        is_strict: Whether an unknown field is a fault; else a warning.
    """
    if not node.is_list:
        findings.expected(node, "a list of objects", hint=_SHAPE_HINT)
    for item in node.items():
        if not item.is_object:
            findings.expected(item, "an object", hint=_SHAPE_HINT)
    return tuple(_read(item, findings, is_strict=is_strict) for item in node.items() if item.is_object)


def _read(node: Node, findings: Findings, *, is_strict: bool) -> DraftAlternative:
    found: dict[str, Any] = {}
    at = findings.places.at
    count = len(findings.faults)
    for key, member in node.members().items():
        field = _VALUES.get(key)
        if field is None and key not in LABELS:
            hint = "it is for the task to say, beside `alternatives`" if key in _OF_TASK else None
            findings.unknown(member, ALTERNATIVE_FIELDS, is_fault=is_strict, owner="an alternative", hint=hint)
        elif member.value is None:
            continue
        elif field is None:
            found[LABELS[key]] = read_labels(member, findings)
        elif (value := field.convert(member)) is None:
            refuse_value(findings, field, member)
        else:
            put_value(findings, found, field.target, Located(value, at(member.offset)), member)
    if len(findings.faults) > count:  # one fault is enough: it is not said besides that nothing is asked for
        found.setdefault("cpus", Located(1.0, at(node.offset)))
    return DraftAlternative(place=at(node.offset), **found)


def read_labels(node: Node, findings: Findings) -> tuple[Located[str], ...]:
    """Return the labels of a list of texts, or of one text; whether they can be labels is judged in `plan`."""
    at = findings.places.at
    texts = read_texts(findings, node, "a list of labels", "a label as a text")
    return tuple(Located(str(item.value), at(item.offset)) for item in texts)
