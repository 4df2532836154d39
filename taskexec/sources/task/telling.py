"""How the values of a task's fields are taken, and how wrong and contradicting ones are told."""

from __future__ import annotations

from typing import Any

from taskexec.errors import Fault
from taskexec.plan.draft import Located
from taskexec.sources.task.values import ValueField
from taskexec.sources.tree.node import Findings, Node
from taskexec.sources.values.amounts import show

__all__ = ["KEEP_ONE", "put_value", "read_texts", "refuse_nul", "refuse_value"]

KEEP_ONE = "keep one of them"
"""What to do about two values where one is meant."""


def put_value(findings: Findings, found: dict[str, Any], target: str, value: Located[Any], node: Node) -> None:
    """Add a value that two fields may give; both may stand there if they agree."""
    first: Located[Any] | None = found.setdefault(target, value)
    if first is not None and first.value != value.value:
        siblings = () if node.parent is None else node.parent.members().values()
        stands_first = (other for other in siblings if findings.places.at(other.offset) == first.place)
        other = next(stands_first, None)
        told = "another field says otherwise" if other is None else f"`{other.key}` says {show(other.text())}"
        message = f"{show(node.path)} says {show(node.text())}, {told}"
        places = tuple(sorted((first.place, value.place)))
        findings.faults.append(Fault(f"{findings.code}.shape", message, places, KEEP_ONE))


def refuse_value(findings: Findings, field: ValueField, node: Node) -> None:
    """Add the fault of a value that a field cannot have."""
    if isinstance(node.value, str) and "\0" in node.value:
        refuse_nul(findings, node)
        return
    problem, hint = field.problem(node), field.remedy(node)
    if problem is None:
        is_quotable = field.expected == "a text" and isinstance(node.value, int | float)
        findings.expected(node, field.expected, hint=None if is_quotable else hint)
    else:
        message = f"a text {show(node.text())} stands at {show(node.path)}: {problem}"
        findings.fault("shape", message, node.offset, hint=hint)


def refuse_nul(findings: Findings, node: Node) -> None:
    """Add the fault of a text that holds NUL."""
    message = f"{show(node.text())} holds a NUL character"
    findings.fault("character", message, node.offset, hint="write the text without it")


def read_texts(findings: Findings, node: Node, expected: str = "a list of texts", each: str = "a text") -> list[Node]:
    """Return the texts of a list; a text by itself is a list of one. What is none is a fault."""
    if isinstance(node.value, str):
        if "\0" in node.value:
            refuse_nul(findings, node)
        return [] if "\0" in node.value else [node]
    if not node.is_list:
        findings.expected(node, expected)
    items = node.items()
    for item in items:
        if not isinstance(item.value, str):
            findings.expected(item, each)
        elif "\0" in item.value:
            refuse_nul(findings, item)
    return [item for item in items if isinstance(item.value, str) and "\0" not in item.value]
