"""What a written value means: the one place that turns text into amounts, and values into messages.

Each parser raises `ValueError` with a text that says what was expected and fits behind the value shown.
"""

from __future__ import annotations

import math
import re

from taskexec.domain.resources import Route

__all__ = [
    "ROUTES",
    "forbidden_in_id",
    "parse_amount",
    "parse_count",
    "parse_integer",
    "parse_memory_mib",
    "parse_positive",
    "show",
]

ROUTES = {route.value: route for route in Route}
"""The routes by the word that names them in a plan, in small letters."""

_SHOWN_MAX = 60
_MEMORY_MAX_MIB = 2**53
_DECIMAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_MEMORY = re.compile(r"\+?(?P<number>\d{1,18}(?:\.\d*)?)\s*(?:(?P<unit>[KMG])i?B?)?", re.ASCII | re.IGNORECASE)
_MIB_PER_UNIT = {"k": 1 / 1024, "m": 1.0, "g": 1024.0}
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
    """Return a whole number of at most 18 digits."""
    if _INTEGER.fullmatch(text):
        return int(text)
    raise ValueError("a whole number, such as `5`, was expected")


def parse_count(text: str) -> int:
    """Return a whole number of at least 0."""
    if _INTEGER.fullmatch(text) and int(text) >= 0:
        return int(text)
    raise ValueError("a whole number of at least 0, such as `3`, was expected")


def parse_memory_mib(text: str) -> int:
    """Return MiB of memory, rounded up.

    A bare whole number is MiB; `K M G` and `Ki Mi Gi` (a `B` may follow) are powers of 1,024.
    """
    match = _MEMORY.fullmatch(text)
    if match and (match["unit"] or "." not in match["number"]):
        mib = math.ceil(float(match["number"]) * _MIB_PER_UNIT[(match["unit"] or "m").lower()])
        if mib <= _MEMORY_MAX_MIB:
            return mib
    raise ValueError("MiB as a whole number, or a number with `K`, `M` or `G`, such as `4G`, was expected")
