"""Sizes as people write them and as they are shown: MiB when bare, units are powers of 1,024."""

from __future__ import annotations

import math
import re

__all__ = ["parse_memory_mib", "show_mib"]

_MAX_MIB = 2**53
_SIZE = re.compile(
    r"\+?(?P<number>\d{1,18}(?:\.\d*)?)\s*(?:(?P<unit>[KMGTP])i?B?n?|(?P<bytes>B(?:ytes)?))?",
    re.ASCII | re.IGNORECASE,
)
_MIB_PER_UNIT = {"b": 2.0**-20, "k": 2.0**-10, "m": 1.0, "g": 2.0**10, "t": 2.0**20, "p": 2.0**30}


def parse_memory_mib(text: str, unit: str = "m") -> int:
    """Return MiB of memory or disk, rounded up.

    Units are powers of 1,024: `K M G T P`, as `Ki`, with a `B` behind, or bytes as `B`. Slurm's `n` (a node) behind
    a unit means nothing more.

    Args:
        text: The amount.
        unit: What a bare number counts: `b k m g t p`. Of MiB, only whole ones.

    Raises:
        ValueError: It is none; the text says what was expected.
    """
    match = _SIZE.fullmatch(text)
    if match and (match["unit"] or match["bytes"] or unit != "m" or not match["number"].partition(".")[2].strip("0")):
        written = "b" if match["bytes"] else (match["unit"] or unit).lower()
        mib = math.ceil(float(match["number"]) * _MIB_PER_UNIT[written])
        if mib <= _MAX_MIB:
            return mib
    raise ValueError("MiB as a whole number, or a number with `K`, `M` or `G`, such as `4G`, was expected")


def show_mib(mib: float) -> str:
    """Return a size for people, with the unit that leaves few digits.

    >>> show_mib(512), show_mib(24_105), show_mib(3 * 1024 * 1024)
    ('512M', '23.5G', '3T')
    """
    number, unit = float(mib), "M"
    for larger in "GT":
        if number < 1024:
            break
        number, unit = number / 1024, larger
    return f"{number:.1f}".removesuffix(".0") + unit
