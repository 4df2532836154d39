"""JSON as a row of tokens: where something stands in a text that no decoder could read, or need not read whole."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["INTEGERS", "deeper_than", "find_constant", "find_integer", "is_storable", "open_brackets", "top_keys"]

INTEGERS = range(-(2**63), 2**64)
"""The whole numbers that every part of the program, and what it stores, can hold."""

_DIGITS_MAX = 25
_TOKEN = re.compile(
    r'(?P<text>"(?P<inside>(?:[^"\\]++|\\.)*+)"(?P<colon>\s*:)?)|(?P<open>[\[{])|(?P<close>[\]}])'
    r"|(?P<constant>-?Infinity|NaN)|(?P<integer>-?\d++(?!\.\d|[eE][-+]?\d))|(?P<number>-?\d++(?:\.\d++)?(?:[eE][-+]?\d++)?)",
    re.DOTALL,
)


def is_storable(digits: str) -> bool:
    """Return whether a whole number in decimal digits is one of `INTEGERS`."""
    return len(digits) <= _DIGITS_MAX and int(digits) in INTEGERS


def find_constant(text: str) -> re.Match[str] | None:
    """Return the first `NaN` or `Infinity` that is no part of a text."""
    return next((token for token in _TOKEN.finditer(text) if token["constant"]), None)


def find_integer(text: str) -> re.Match[str] | None:
    """Return the first whole number that cannot be stored."""
    integers = (token for token in _TOKEN.finditer(text) if token["integer"])
    return next((token for token in integers if not is_storable(token["integer"])), None)


def deeper_than(text: str, depth_max: int) -> int:
    """Return the offset of the first bracket that stands inside so many others; 0 when none does."""
    depth = 0
    for token in _TOKEN.finditer(text):
        depth += bool(token["open"]) - bool(token["close"])
        if depth > depth_max:
            return token.start()
    return 0


def open_brackets(text: str) -> list[int]:
    """Return the offsets of the brackets that are not closed, the outermost first."""
    opened: list[int] = []
    for token in _TOKEN.finditer(text):
        if token["open"]:
            opened.append(token.start())
        elif token["close"] and opened:
            opened.pop()
    return opened


def top_keys(text: str, end: int) -> Iterator[tuple[str, str]]:
    """Yield the keys of the outermost object as they are written, each with the first character of its value.

    Args:
        text: The text.
        end: The offset at which to stop looking.
    """
    depth = 0
    for token in _TOKEN.finditer(text, 0, end):
        depth += bool(token["open"]) - bool(token["close"])
        if depth == 1 and token["colon"]:
            yield token["inside"], text[token.end() : token.end() + 100].lstrip()[:1]
