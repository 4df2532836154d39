"""A value of JSON or YAML that knows where it stands, and the findings about the file it stands in."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Protocol

from taskexec.domain.task import JSON
from taskexec.errors import Fault, Place
from taskexec.plan.suggestion import Suggestions
from taskexec.sources.values.amounts import show

__all__ = ["DEPTH_MAX", "Findings", "Node", "Places", "Unreadable", "did_you_mean"]

DEPTH_MAX = 100
"""Most lists and objects inside each other."""
_KNOWN_SHOWN = 12


class Places(Protocol):
    """Where the offsets of a text stand, such as `TextPlaces`, or those of a part of a larger file."""

    source: str
    """The file, as the user gave it."""

    def at(self, offset: int, /) -> Place:
        """Return the place of the character at an offset."""
        ...


class Unreadable(ValueError):
    """A text is not what was expected, so that there is no tree of it; the fault says why and where."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


@dataclass(slots=True, eq=False)
class Node:
    """One value."""

    value: JSON | list[Node] | dict[str, Node]
    """A scalar. Of a list or object, only the type counts: ask `items`, `members` or `plain`."""
    offset: int
    """Where it starts in the text."""
    key: str | int | None = None
    """Its key or index in `parent`."""
    key_offset: int = 0
    """Where its key starts, for a member of an object."""
    parent: Node | None = None
    written: str | None = None
    """A scalar as it is written, where that may differ from `str(value)`."""

    @property
    def path(self) -> str:
        """The way from the whole text to the value, such as `$.tasks[3].id`."""
        if self.parent is None:
            return "$"
        step = f"[{self.key}]" if isinstance(self.key, int) else f".{self.key}"
        return self.parent.path + step

    @property
    def kind(self) -> str:
        """What a person calls a value of this type."""
        if self.value is None:
            return "null"
        names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value"}
        return names.get(type(self.value), "a number")

    @property
    def is_object(self) -> bool:
        """Whether it has members, or could have."""
        return isinstance(self.value, dict)

    @property
    def is_list(self) -> bool:
        """Whether it has items, or could have."""
        return isinstance(self.value, list)

    def members(self) -> dict[str, Node]:
        """Return the members of an object; other values have none."""
        return self.value if isinstance(self.value, dict) else {}

    def items(self) -> list[Node]:
        """Return the items of a list; other values have none."""
        return self.value if isinstance(self.value, list) else []

    def plain(self) -> JSON:
        """Return the value as `json.loads` gives it."""
        if isinstance(self.value, dict):
            return {key: member.plain() for key, member in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return self.value

    def grown(self) -> Node:
        """Return the tree from here on with all members in `value`, for those who change it or ask often."""
        return self

    def text(self) -> str:
        """Return a scalar as it is written, a text without its quotes: `3.10` stays `3.10`; else its kind."""
        if isinstance(self.value, dict | list):
            return self.kind
        return str(self.value) if self.written is None else self.written


@dataclass(slots=True)
class Findings:
    """What is found wrong or noteworthy in one file."""

    places: Places
    """The places of the file's text."""
    code: str
    """What codes begin with, such as `workflow`."""
    faults: list[Fault] = field(default_factory=list)
    """What cannot be read; usually the draft's own list."""
    warnings: list[Fault] = field(default_factory=list)
    """What is read, but may not be what was meant; usually the draft's own list."""

    def fault(self, what: str, message: str, *offsets: int, hint: str | None = None) -> None:
        """Add a fault; its code is `what` behind the file's code."""
        places = tuple(map(self.places.at, offsets))
        self.faults.append(Fault(f"{self.code}.{what}", message, places, hint))

    def warn(self, what: str, message: str, *offsets: int, hint: str | None = None) -> None:
        """Add a warning; its code is `what` behind the file's code."""
        places = tuple(map(self.places.at, offsets))
        self.warnings.append(Fault(f"{self.code}.{what}", message, places, hint))

    def expected(self, node: Node, expected: str, *, hint: str | None = None) -> None:
        """Add a fault of code `shape`: a value is not what was expected at its place."""
        is_scalar = node.value is not None and not isinstance(node.value, dict | list)
        found = f"{node.kind} {show(node.text())}" if is_scalar else node.kind
        path = "the top" if node.parent is None else show(node.path)
        message = f"{found} stands at {path}, where {expected} was expected"
        self.fault("shape", message, node.offset, hint=hint or _remedy(node, expected))

    def unknown(
        self, node: Node, known: Collection[str], *, is_fault: bool, owner: str, hint: str | None = None
    ) -> None:
        """Say that a member's key means nothing, with the known name it may have been meant for.

        Args:
            node: The member.
            known: The names that would mean something.
            is_fault: Whether this is a fault; else a warning, and the member is ignored.
            owner: What the member belongs to, such as `a task`.
            hint: What to do; None names the nearest known name, or else some of them.
        """
        ignored = "" if is_fault else " and is ignored"
        message = f"field {show(node.path)} of {owner} means nothing{ignored}"
        say = self.fault if is_fault else self.warn
        hint = hint or did_you_mean(str(node.key), known) or _remove(known)
        say("unknown_field", message, node.key_offset, hint=hint)


def did_you_mean(name: str, known: Collection[str]) -> str | None:
    """Return a hint that names the known name nearest to an unknown one, or None."""
    likely = Suggestions(known).find(name)
    return None if likely is None else f"did you mean {show(likely)}?"


def _remedy(node: Node, expected: str) -> str:
    """Return what to do about a value that is not what was expected."""
    if isinstance(node.value, int | float) and ("a text" in expected or expected == "an id"):
        return f'put it in quotes: "{node.text()}"'
    expected = expected.removesuffix(",")
    if node.parent is None:
        return f"write {expected}"
    return f"write {expected}, or remove {'this item' if isinstance(node.key, int) else show(str(node.key))}"


def _remove(known: Collection[str]) -> str:
    """Return what to do about a name that means nothing and resembles no known one."""
    if "metadata" in known:
        return "remove it, or keep what it says in `metadata`"
    return f"remove it; known here: {', '.join(map(show, [*known][:_KNOWN_SHOWN]))}"
