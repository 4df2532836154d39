"""The code spans of a Markdown text: what stands in backticks, found in time that grows with the text's length."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["CodeSpan", "code_spans", "hide_code"]

_TICKS = re.compile("`+")


class CodeSpan(NamedTuple):
    """Text in backticks, by offsets."""

    outer_start: int
    start: int
    end: int
    outer_end: int


def code_spans(text: str, start: int, end: int) -> list[CodeSpan]:
    """Return the code spans between two offsets: from some backticks to the next ones of the same number."""
    if text.find("``", start, end) < 0:
        return _single_tick_spans(text, start, end)
    runs = [match.span() for match in _TICKS.finditer(text, start, end)]
    same: dict[int, list[int]] = {}
    for index in reversed(range(len(runs))):
        same.setdefault(runs[index][1] - runs[index][0], []).append(index)
    found = []
    index = 0
    while index < len(runs):
        opening = runs[index]
        later = same[opening[1] - opening[0]]
        while later and later[-1] <= index:
            later.pop()
        if later:
            index = later[-1]
            found.append(CodeSpan(opening[0], opening[1], runs[index][0], runs[index][1]))
        index += 1
    return found


def hide_code(text: str) -> str:
    """Return a text with nothing but backticks for each code span; every offset keeps its meaning."""
    if "`" not in text:
        return text
    if "``" not in text:
        pieces = text.split("`")
        for index in range(1, len(pieces) - 1, 2):
            pieces[index] = "`" * len(pieces[index])
        return "`".join(pieces)
    parts = []
    position = 0
    for span in code_spans(text, 0, len(text)):
        parts += [text[position : span.outer_start], "`" * (span.outer_end - span.outer_start)]
        position = span.outer_end
    return "".join([*parts, text[position:]])


def _single_tick_spans(text: str, start: int, end: int) -> list[CodeSpan]:
    found = []
    opening = text.find("`", start, end)
    while opening >= 0 and (closing := text.find("`", opening + 1, end)) >= 0:
        found.append(CodeSpan(opening, opening + 1, closing, closing + 1))
        opening = text.find("`", closing + 1, end)
    return found
