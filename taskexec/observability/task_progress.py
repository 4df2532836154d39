"""How far a task is by its own word: lines `::progress 0.4 compiling the kernels` in what it writes.

The number is a fraction from 0 to 1 or a percentage such as `40%`; what follows is the step that it is at. Other lines,
and those whose number is neither, mean nothing.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["MARK", "ProgressLines", "Reported", "read_progress"]

MARK = b"::progress"
"""What a line begins with that reports progress."""
_LONGEST_LINE = 4096
_LONGEST_STEP = 500
_LINE = re.compile(rb"\s*::progress\s+([0-9]{1,3}(?:\.[0-9]{0,9})?|\.[0-9]{1,9})\s*(%?)(?:\s+(.*?))?\s*", re.DOTALL)
_UNSEEN = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x1f\x7f-\x9f]")


class Reported(NamedTuple):
    """What a task said last."""

    fraction: float
    """0 to 1."""
    step: str | None
    """What it is doing; None when it did not say."""


def read_progress(line: bytes) -> Reported | None:
    """Return what a line reports; None when it is no report."""
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    fraction = float(found[1]) / (100 if found[2] else 1)
    if fraction > 1:
        return None
    step = _UNSEEN.sub("", (found[3] or b"").decode(errors="replace")).strip()[:_LONGEST_STEP]
    return Reported(fraction, step or None)


class ProgressLines:
    """Finds the reports in one stream, piece by piece."""

    def __init__(self) -> None:
        """Begin with a stream's first byte."""
        self._rest = b""
        self._is_too_long = False

    def feed(self, data: bytes) -> Reported | None:
        """Take in what comes next; return the last report in it, None when there is none."""
        *lines, rest = (self._rest + data).replace(b"\r", b"\n").split(b"\n")
        last = None
        for line in lines:
            if not self._is_too_long:
                last = read_progress(line) or last
            self._is_too_long = False
        self._is_too_long = self._is_too_long or len(rest) > _LONGEST_LINE
        self._rest = b"" if self._is_too_long else rest
        return last
