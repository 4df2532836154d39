"""What a written amount means: the one place that turns text into numbers, and values into messages.

Each parser raises `ValueError` with a text that says what was expected and fits behind the value shown.
"""

from __future__ import annotations

import math
import re

from taskexec.domain.resources import Route
from taskexec.domain.sizes import parse_memory_mib

__all__ = [
    "ROUTES",
    "forbidden_in_id",
    "parse_amount",
    "parse_count",
    "parse_integer",
    "parse_memory_mib",
    "parse_positive",
    "show",
    "with_decimal_point",
]

ROUTES = {route.value: route for route in Route}
"""The routes by the word that names them in a plan, in small letters."""

_SHOWN_MAX = 60
_DECIMAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_INTEGER = re.compile(r"(?P<integer>[+-]?\d{1,18})(?:\.0*)?", re.ASCII)
_COMMA = re.compile(r"(?<=\d),(?=\d)", re.ASCII)
_MAY_BE_THOUSANDS = re.compile(r"[1-9]\d{0,2},\d{3}(?!\d)", re.ASCII)
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def show(value: str) -> str:
    """Return a value for a message: in backticks, control characters escaped, cut at 60 characters."""
    cut = value if len(value) <= _SHOWN_MAX else value[: _SHOWN_MAX - 1] + "…"
    if not cut.isprintable():
        cut = "".join(character if character.isprintable() else ascii(character)[1:-1] for character in cut)
    return f"`{cut}`"


def forbidden_in_id(text: str) -> str | None:
    """Return the first character that an id may not hold, or None.

    These are control characters other than tab and line breaks, and halves of surrogate pairs (they have no
    UTF-8 form, so that nothing downstream could store them).
    """
    match = _FORBIDDEN.search(text)
    return match[0] if match else None


def with_decimal_point(text: str) -> str:
    """Return a number's text with a point for its decimal comma.

    Raises:
        ValueError: The comma may as well part thousands, as in `1,500`.
    """
    if "," not in text:
        return text
    if _MAY_BE_THOUSANDS.match(text.lstrip("+-")):
        digits, point = text.replace(",", "", 1), text.replace(",", ".", 1)
        raise ValueError(f"the comma may part thousands or decimals; {show(digits)} or {show(point)} was expected")
    return _COMMA.sub(".", text, count=1)


def parse_amount(text: str) -> float:
    """Return a finite number of at least 0."""
    if _DECIMAL.fullmatch(text):
        value = float(text)
        if 0 <= value < math.inf:
            return value + 0.0  # -0.0 becomes 0.0
    raise ValueError("a number of at least 0, such as `2` or `0.5`, was expected")


def parse_positive(text: str) -> float:
    """Return a finite number above 0."""
    if _DECIMAL.fullmatch(text):
        value = float(text)
        if 0 < value < math.inf:
            return value
    raise ValueError("a number above 0, such as `30`, was expected")


def parse_integer(text: str) -> int:
    """Return a whole number of at most 18 digits; `3.0` is one."""
    match = _INTEGER.fullmatch(text)
    if match:
        return int(match["integer"])
    raise ValueError("a whole number, such as `5`, was expected")


def parse_count(text: str) -> int:
    """Return a whole number of at least 0."""
    match = _INTEGER.fullmatch(text)
    if match and int(match["integer"]) >= 0:
        return int(match["integer"])
    raise ValueError("a whole number of at least 0, such as `3`, was expected")
