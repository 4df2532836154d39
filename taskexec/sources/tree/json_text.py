"""JSON in which every value knows its line, column and path, and duplicate keys are seen.

The text is decoded at once by the standard library's scanner; where the members of an object stand is found out,
with the same scanner, when somebody asks for them. That is three times as fast as a tree of everything.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from json.decoder import scanstring  # type: ignore[attr-defined]  # not in the stubs
from typing import Any, NoReturn

from taskexec.domain.task import JSON
from taskexec.errors import Fault, Place
from taskexec.sources.tree.json_problems import describe_problem
from taskexec.sources.tree.json_tokens import deeper_than, find_constant, find_integer, is_storable
from taskexec.sources.tree.node import DEPTH_MAX, Node, Places, Unreadable
from taskexec.sources.values.amounts import show

__all__ = ["parse_json"]

_SURROGATE = re.compile("[\ud800-\udfff]")
_BLANKS = re.compile(r"[ \t\r\n]*").match
_FIRST = re.compile(r"[{\[][ \t\r\n]*").match
_NEXT = re.compile(r"[ \t\r\n]*,[ \t\r\n]*").match
_COLON = re.compile(r"[ \t\r\n]*:[ \t\r\n]*").match
_PLAIN_KEY = r'"([^"\\]*)"[ \t\r\n]*:[ \t\r\n]*'
_FIRST_KEY = re.compile(r"\{[ \t\r\n]*" + _PLAIN_KEY).match
_NEXT_KEY = re.compile(r"[ \t\r\n]*,[ \t\r\n]*" + _PLAIN_KEY).match
_SCAN = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # not in the stubs
_SHORT = 18
"""Digits of a whole number that is surely small enough."""


def parse_json(text: str, places: Places, *, code: str) -> tuple[Node, list[Fault]]:
    """Return the root of a JSON text, and a fault for each duplicate key (the last one's value is kept).

    Args:
        text: The whole text, without a byte order mark.
        places: The places of that text.
        code: Where faults belong, such as `hooks`; theirs are `hooks.json` and `hooks.duplicate_key`.

    Raises:
        Unreadable: The text is no JSON, is nested more than 100 deep, or holds what cannot be stored (numbers that
            are not finite, whole ones beyond 64 bits, halves of surrogate pairs).
    """
    decoder = _Decoder()
    try:
        value = decoder.decode(text)
    except json.JSONDecodeError as error:
        problem = describe_problem(error, text)
        found = tuple(map(places.at, problem.offsets))
        raise Unreadable(Fault(f"{code}.json", f"not JSON: {problem.message}", found, problem.hint)) from error
    except _UnusableNumber as error:
        raise _unusable_number(text, places, code) from error
    except RecursionError as error:
        raise _too_deep(code, places.at(deeper_than(text, DEPTH_MAX))) from error
    root = _JSONNode(value, match.end() if (match := _BLANKS(text)) else 0, text=text, end=len(text.rstrip(" \t\r\n")))
    if not decoder.is_suspicious and not _may_hold_surrogates(text) and not _is_too_deep(value):
        return root, []
    return root, list(_look_closely(root, places, code))


class _UnusableNumber(ValueError):
    """A number of the text is not finite, or a whole one beyond 64 bits."""


class _Decoder(json.JSONDecoder):
    """Decodes as `json.loads` does, refuses numbers that cannot be stored, and notices what to look at closely."""

    def __init__(self) -> None:
        super().__init__(
            object_pairs_hook=self._object,
            parse_float=self._float,
            parse_int=_storable,
            parse_constant=_refuse_constant,
        )
        self.is_suspicious = False
        """Whether a key stands twice in an object, or a number is beyond all floats."""

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) != len(pairs):
            self.is_suspicious = True
        return members

    def _float(self, text: str) -> float:
        number = float(text)
        if math.isinf(number):
            self.is_suspicious = True
        return number


class _JSONNode(Node):
    """A value of a text that is known to be JSON; it finds its members when it is asked for them."""

    __slots__ = ("_end", "_text")

    def __init__(
        self,
        value: JSON,
        offset: int,
        key: str | int | None = None,
        key_offset: int = 0,
        parent: Node | None = None,
        *,
        text: str,
        end: int,
    ) -> None:
        self.value = value
        self.offset = offset
        self.key = key
        self.key_offset = key_offset
        self.parent = parent
        self.written = None
        self._text = text
        self._end = end

    def members(self) -> dict[str, Node]:
        """Return the members, found anew each time: keep them."""
        return {str(node.key): node for node in self.every_member()} if isinstance(self.value, dict) else {}

    def items(self) -> list[Node]:
        """Return the items, found anew each time: keep them."""
        return list(self._every_item()) if isinstance(self.value, list) else []

    def plain(self) -> JSON:
        """Return the value as `json.loads` gives it."""
        return self.value

    def grown(self) -> Node:
        """Return the tree from here on with all members in `value`."""
        node = Node(self.value, self.offset, self.key, self.key_offset, self.parent)
        if isinstance(self.value, dict):
            node.value = {key: member.grown() for key, member in self.members().items()}
        elif isinstance(self.value, list):
            node.value = [item.grown() for item in self.items()]
        elif not isinstance(self.value, str):
            node.written = self.text()
        for child in (*node.members().values(), *node.items()):
            child.parent = node
        return node

    def text(self) -> str:
        """Return a scalar as it is written, a text without its quotes."""
        return self.value if isinstance(self.value, str) else self._text[self.offset : self._end]

    def every_member(self) -> Iterator[Node]:
        """Yield the members of an object in their order, those of duplicate keys as well."""
        text = self._text
        match = _FIRST_KEY(text, self.offset)
        end = 0 if match else self.offset
        while True:
            if match:
                key, key_offset, offset = match[1], match.start(1) - 1, match.end()
            elif self.value and (match := (_NEXT if end > self.offset else _FIRST)(text, end)):
                key_offset = match.end()
                key, end = scanstring(text, key_offset + 1, True)
                offset = _COLON(text, end).end()  # type: ignore[union-attr]  # the text is known to be JSON
            else:
                return
            value, end = _SCAN(text, offset)
            yield _JSONNode(value, offset, key, key_offset, self, text=text, end=end)
            match = _NEXT_KEY(text, end)

    def _every_item(self) -> Iterator[Node]:
        text, index = self._text, 0
        match = _FIRST(text, self.offset) if self.value else None
        while match:
            offset = match.end()
            value, end = _SCAN(text, offset)
            yield _JSONNode(value, offset, index, 0, self, text=text, end=end)
            match = _NEXT(text, end)
            index += 1


def _may_hold_surrogates(text: str) -> bool:
    return "\\ud" in text or "\\uD" in text or bool(not text.isascii() and _SURROGATE.search(text))


def _is_too_deep(value: JSON) -> bool:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(DEPTH_MAX):
        level = [member for container in level for member in _inside(container) if isinstance(member, dict | list)]
        if not level:
            return False
    return True


def _inside(container: JSON) -> Iterable[JSON]:
    return container.values() if isinstance(container, dict) else container


def _look_closely(root: _JSONNode, places: Places, code: str) -> Iterator[Fault]:
    """Yield a fault for each duplicate key, in the order of the text.

    Raises:
        Unreadable: Something else is wrong with a value; the first one is told.
    """
    waiting: list[tuple[Node, int]] = [(root, 1)]
    while waiting:
        node, depth = waiting.pop()
        if isinstance(node.value, dict | list) and depth > DEPTH_MAX:
            raise _too_deep(code, places.at(node.offset))
        _refuse_unstorable(node, places, code)
        children = list(node.every_member()) if isinstance(node, _JSONNode) and node.is_object else node.items()
        waiting += [(child, depth + 1) for child in reversed(children)]
        seen: dict[str, Node] = {}
        for child in children if node.is_object else ():
            key = _checked_text(str(child.key), child.key_offset, places, code)
            first = seen.setdefault(key, child)
            if first is not child:
                message = f"key {show(key)} stands twice in {show(node.path)}"
                offsets = (places.at(first.key_offset), places.at(child.key_offset))
                yield Fault(f"{code}.duplicate_key", message, offsets, "keep one of them")


def _refuse_unstorable(node: Node, places: Places, code: str) -> None:
    if isinstance(node.value, str):
        _checked_text(node.value, node.offset, places, code)
    elif isinstance(node.value, float) and not math.isfinite(node.value):
        hint = "write a number below 1e308, or leave it out"
        raise _unreadable(f"{code}.number", f"{show(node.text())} is too large", places.at(node.offset), hint)


def _checked_text(text: str, offset: int, places: Places, code: str) -> str:
    match = _SURROGATE.search(text)
    if match:
        message = f"{show(text)} holds {show(match[0])}, which is not a character of a text"
        hint = "write the character itself, or both halves of its pair: `\\ud83d\\ude00`"
        raise _unreadable(f"{code}.character", message, places.at(offset), hint)
    return text


def _storable(digits: str) -> int:
    if len(digits) <= _SHORT or is_storable(digits):
        return int(digits)
    raise _UnusableNumber(digits[:_SHORT])


def _refuse_constant(name: str) -> NoReturn:
    raise _UnusableNumber(name)


def _unusable_number(text: str, places: Places, code: str) -> Unreadable:
    """Return the fault of the first number that the decoder refused."""
    found = [match for match in (find_constant(text), find_integer(text)) if match]
    first = min(found, key=lambda match: match.start())
    place = places.at(first.start())
    if first["constant"]:
        hint = "write a number, or `null` where there is none"
        return _unreadable(f"{code}.json", f"not JSON: {show(first[0])} is not a value", place, hint)
    message = f"{show(first[0])} is a whole number beyond 64 bits"
    return _unreadable(f"{code}.number", message, place, "write it as a text, in quotes")


def _unreadable(code: str, message: str, place: Place, hint: str) -> Unreadable:
    return Unreadable(Fault(code, message, (place,), hint))


def _too_deep(code: str, place: Place) -> Unreadable:
    hint = "a plan needs few levels: look for a bracket that is not closed where it should be"
    return _unreadable(f"{code}.json", f"nested more than {DEPTH_MAX} deep", place, hint)
