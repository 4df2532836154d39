"""Cells of an RFC 4180 table with their physical places, which the standard library's reader does not give.

More is accepted than the RFC allows: LF, CRLF and CR end a row; a quote inside an unquoted cell stands for
itself; blanks may surround a quoted cell. A cell that is quoted wrongly is reported and read as unquoted text
up to the end of its line, so that one bad quote does not swallow the rows behind it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from taskexec.errors import Place
from taskexec.sources.text_places import LINE_BREAK

__all__ = ["Cell", "scan_rows"]

_QUOTED = re.compile(r'[ \t]*"(?P<raw>[^"]*+(?:""[^"]*+)*+)"')
_OPENING = re.compile(r'[ \t]*"')


@dataclass(slots=True)
class Cell:
    """One cell of a table."""

    text: str
    """What it says: quotes undone, not trimmed."""
    line: int
    """Physical line of its first character."""
    column: int
    """Character column of its first character; for a quoted cell, of the opening quote."""
    is_quoted: bool = False
    """Whether it stands in quotes; then its text begins one column later and may go over several lines."""
    problem: str | None = None
    """What is wrong with its quotes; the text is then the raw one."""

    def place(self, source: str) -> Place:
        """Return the place of the cell."""
        return Place(source, self.line, self.column)

    def places_of(self, offsets: Iterable[int], source: str) -> Iterator[Place]:
        """Yield the places of characters of the text, by ascending offsets; none may be a line break."""
        if not self.is_quoted:
            for offset in offsets:
                yield Place(source, self.line, self.column + offset)
            return
        line, column, position = self.line, self.column + 1, 0
        for offset in offsets:
            raw = self.text[position:offset].replace('"', '""')
            position = offset
            column += len(raw)
            for line_break in LINE_BREAK.finditer(raw):
                line, column = line + 1, len(raw) - line_break.end() + 1
            yield Place(source, line, column)


def scan_rows(text: str, *, delimiter: str = ",") -> Iterator[list[Cell]]:
    """Yield the rows of a table; wholly blank lines are left out.

    Args:
        text: The table, without a byte order mark.
        delimiter: The one character between cells.
    """
    scanner = _Scanner(text, delimiter)
    while scanner.position < len(text):
        row = scanner.next_row()
        if len(row) > 1 or row[0].is_quoted or row[0].text.strip():
            yield row


class _Scanner:
    def __init__(self, text: str, delimiter: str) -> None:
        self.position = 0
        self._text = text
        self._delimiter = delimiter
        self._plain = re.compile(f"[^{re.escape(delimiter)}\r\n]*")
        self._line = 1
        self._line_start = 0

    def next_row(self) -> list[Cell]:
        """Return the cells from the position, which is the start of a line, to the end of their row."""
        line_break = LINE_BREAK.search(self._text, self.position)
        end = line_break.start() if line_break else len(self._text)
        content = self._text[self.position : end]
        if '"' in content:
            row = self._row_with_quotes()
        else:
            row = self._row_without_quotes(content)
            self.position = end
        self._pass_line_break()
        return row

    def _row_without_quotes(self, content: str) -> list[Cell]:
        row = []
        column = 1
        for value in content.split(self._delimiter):
            row.append(Cell(value, self._line, column))
            column += len(value) + 1
        return row

    def _row_with_quotes(self) -> list[Cell]:
        row = [self._next_cell()]
        while self._text.startswith(self._delimiter, self.position):
            self.position += len(self._delimiter)
            row.append(self._next_cell())
        return row

    def _next_cell(self) -> Cell:
        opening = _OPENING.match(self._text, self.position)
        if opening is None:
            return self._unquoted_cell(None)
        quoted = _QUOTED.match(self._text, self.position)
        if quoted is None:
            return self._unquoted_cell("a quote is opened and never closed")
        tail = self._plain_end(quoted.end())
        if not self._text[quoted.end() : tail].isspace() and tail > quoted.end():
            return self._unquoted_cell("text follows the closing quote")
        cell = Cell(quoted["raw"].replace('""', '"'), self._line, self._column(opening.end() - 1), True)
        for line_break in LINE_BREAK.finditer(self._text, quoted.start("raw"), quoted.end("raw")):
            self._line += 1
            self._line_start = line_break.end()
        self.position = tail
        return cell

    def _unquoted_cell(self, problem: str | None) -> Cell:
        end = self._plain_end(self.position)
        cell = Cell(self._text[self.position : end], self._line, self._column(self.position), False, problem)
        self.position = end
        return cell

    def _plain_end(self, start: int) -> int:
        match = self._plain.match(self._text, start)
        assert match is not None  # the pattern matches the empty text
        return match.end()

    def _column(self, offset: int) -> int:
        return offset - self._line_start + 1

    def _pass_line_break(self) -> None:
        line_break = LINE_BREAK.match(self._text, self.position)
        if line_break:
            self.position = self._line_start = line_break.end()
            self._line += 1
