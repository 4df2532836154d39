"""Where an offset of a text stands: physical lines (LF, CRLF or CR) and character columns, both from 1."""

from __future__ import annotations

import re
from bisect import bisect_right

from taskexec.errors import Place

__all__ = ["LINE_BREAK", "TextPlaces", "with_plain_breaks"]

LINE_BREAK = re.compile(r"\r\n|\r|\n")
"""What ends a physical line; other Unicode separators do not, as in editors and compilers."""


def with_plain_breaks(text: str) -> str:
    """Return the text with LF for every line break and a blank before it for each CRLF: offsets stay."""
    return text.replace("\r\n", " \n").replace("\r", "\n") if "\r" in text else text


class TextPlaces:
    """The places of one text."""

    def __init__(self, text: str, source: str) -> None:
        self.text = text
        self.source = source
        self._starts = [0, *(match.end() for match in LINE_BREAK.finditer(text))]

    def at(self, offset: int) -> Place:
        """Return the place of the character at an offset, which may be the end of the text."""
        index = bisect_right(self._starts, offset) - 1
        return Place(self.source, index + 1, offset - self._starts[index] + 1)

    def lines(self) -> list[tuple[int, int]]:
        """Return start and end offset of each line, its line break excluded."""
        ends = [match.start() for match in LINE_BREAK.finditer(self.text)]
        return list(zip(self._starts, [*ends, len(self.text)], strict=True))
