"""JSON in which every value knows its line, column and path, and duplicate keys are seen."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

from taskexec.domain.task import JSON
from taskexec.errors import Fault, Place
from taskexec.sources.text_places import TextPlaces
from taskexec.sources.values import show

__all__ = ["JSONUnreadable", "Node", "parse_json"]

_DEPTH_MAX = 100
_TOKEN = re.compile(r'[ \t\r\n,:]*(?P<lexeme>"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]]|[^\s,:{}\[\]"]+)', re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")
_CONSTANTS = {"true": True, "false": False, "null": None}
_OPENING, _CLOSING = "{[", "}]"


class JSONUnreadable(ValueError):
    """A text is not the JSON that was expected; the fault says why and where."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


@dataclass(slots=True)
class Node:
    """One value."""

    value: JSON | list[Node] | dict[str, Node]
    """A scalar, or a list or dict whose members are nodes."""
    offset: int
    """Where it starts in the text."""
    key: str | int | None = None
    """Its key or index in `parent`."""
    key_offset: int = 0
    """Where its key starts, for a member of an object."""
    parent: Node | None = None

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


def parse_json(text: str, places: TextPlaces, *, code: str) -> tuple[Node, list[Fault]]:
    """Return the root of a JSON text, and a fault for each duplicate key (the last one's value is kept).

    Args:
        text: The whole text, without a byte order mark.
        places: The places of that text.
        code: Where faults belong, such as `hooks`; theirs are `hooks.json` and `hooks.duplicate_key`.

    Raises:
        JSONUnreadable: The text is no JSON, is nested more than 100 deep, or holds what cannot be stored.
    """
    code_of_fault = f"{code}.json"
    try:
        json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise _unreadable(code_of_fault, f"not JSON: {error.msg}", places.at(error.pos)) from error
    except ValueError as error:
        raise _unreadable(code_of_fault, f"not JSON: {error}", Place(places.source)) from error
    except RecursionError as error:
        raise _too_deep(code_of_fault, Place(places.source)) from error
    return _TreeBuilder(text, places, code).build()


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{show(name)} is not a value")


def _unreadable(code: str, message: str, place: Place) -> JSONUnreadable:
    return JSONUnreadable(Fault(code, message, (place,)))


def _too_deep(code: str, place: Place) -> JSONUnreadable:
    return _unreadable(code, f"nested more than {_DEPTH_MAX} deep", place)


class _TreeBuilder:
    """Builds the tree of a text that is known to be JSON, so that commas and colons need no look."""

    def __init__(self, text: str, places: TextPlaces, code: str) -> None:
        self._text = text
        self._places = places
        self._code = code
        self._faults: list[Fault] = []
        self._open: list[Node] = []

    def build(self) -> tuple[Node, list[Fault]]:
        lexemes = self._lexemes()
        root: Node | None = None
        key: tuple[str, int] | None = None
        for lexeme, offset in lexemes:
            if lexeme in _CLOSING:
                self._open.pop()
                continue
            if key is None and self._open and isinstance(self._open[-1].value, dict):
                key = (self._string(lexeme, offset), offset)
                continue
            node = self._node(lexeme, offset)
            self._attach(node, key)
            key = None
            root = root or node
            if lexeme in _OPENING:
                self._enter(node)
        assert root is not None  # JSON holds at least one value
        return root, self._faults

    def _lexemes(self) -> Iterator[tuple[str, int]]:
        for match in _TOKEN.finditer(self._text):
            yield match["lexeme"], match.start("lexeme")

    def _enter(self, node: Node) -> None:
        if len(self._open) >= _DEPTH_MAX:
            raise _too_deep(f"{self._code}.json", self._places.at(node.offset))
        self._open.append(node)

    def _attach(self, node: Node, key: tuple[str, int] | None) -> None:
        if not self._open:
            return
        node.parent = parent = self._open[-1]
        if key is None:
            node.key = len(parent.items())
            parent.items().append(node)
            return
        node.key, node.key_offset = key
        first = parent.members().get(key[0])
        if first is not None:
            places = (self._places.at(first.key_offset), self._places.at(node.key_offset))
            message = f"key {show(key[0])} stands twice in {show(parent.path)}"
            self._faults.append(Fault(f"{self._code}.duplicate_key", message, places, "keep one of them"))
        parent.members()[key[0]] = node

    def _node(self, lexeme: str, offset: int) -> Node:
        if lexeme == "{":
            return Node({}, offset)
        if lexeme == "[":
            return Node([], offset)
        if lexeme[0] == '"':
            return Node(self._string(lexeme, offset), offset)
        return Node(_CONSTANTS[lexeme] if lexeme in _CONSTANTS else self._number(lexeme, offset), offset)

    def _string(self, lexeme: str, offset: int) -> str:
        value = json.loads(lexeme) if "\\" in lexeme else lexeme[1:-1]
        match = _SURROGATE.search(value)
        if match:
            message = f"{show(value)} holds {show(match[0])}, which is not a character of a text"
            raise _unreadable(f"{self._code}.character", message, self._places.at(offset))
        return str(value)

    def _number(self, lexeme: str, offset: int) -> int | float:
        value = json.loads(lexeme)
        if isinstance(value, float) and not math.isfinite(value):
            raise _unreadable(f"{self._code}.number", f"{show(lexeme)} is too large", self._places.at(offset))
        return int(value) if isinstance(value, int) else float(value)
