"""Rows of an RFC 4180 table with the physical places of their cells, which the standard library does not give.

More is accepted than the RFC allows: LF, CRLF and CR end a row; a quote inside an unquoted cell stands for
itself; blanks may surround a quoted cell. A cell that is quoted wrongly is reported and read as unquoted text
up to the end of its line, so that one bad quote does not swallow the rows behind it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from taskexec.errors import Place
from taskexec.sources.text_places import LINE_BREAK

__all__ = ["Cell", "Row", "scan_rows"]

_QUOTED = re.compile(r'[ \t]*"(?P<raw>[^"]*+(?:""[^"]*+)*+)"')
_OPENING = re.compile(r'[ \t]*"')
_QUOTED_BEHIND_TAB = re.compile(r' *"(?P<raw>[^"]*+(?:""[^"]*+)*+)"')
_OPENING_BEHIND_TAB = re.compile(r' *"')


_new_tuple = tuple.__new__  # half the time of `Place(…)`, and a large table has a million places


@dataclass(slots=True)
class Cell:
    """One cell of a row that has quotes, or one that is looked at more closely."""

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


class Row:
    """The cells of one row. Places are worked out when they are asked for: most cells need none."""

    __slots__ = ("_cells", "_places", "line", "size", "source", "texts")

    def __init__(
        self, texts: Sequence[str], line: int, *, source: str, size: int, cells: Sequence[Cell] | None = None
    ) -> None:
        self.texts = texts
        """What each cell says: quotes undone, not trimmed."""
        self.line = line
        """Physical line of the first character."""
        self.source = source
        """The file."""
        self.size = size
        """Characters of the row; no cell has more."""
        self._cells = cells
        self._places: list[Place] | None = None

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def has_quotes(self) -> bool:
        """Whether a quote stands anywhere in the row."""
        return self._cells is not None

    @property
    def is_blank(self) -> bool:
        """Whether no cell says anything."""
        return not any(map(str.strip, self.texts))

    @property
    def places(self) -> list[Place]:
        """The place of each cell; there may be one more behind the last."""
        if self._places is None:
            self._places = self._find_places()
        return self._places

    def _find_places(self) -> list[Place]:
        source, line = self.source, self.line
        if self._cells is not None:
            return [cell.place(source) for cell in self._cells]
        starts = accumulate(map(len, self.texts), initial=1)
        return [_new_tuple(Place, (source, line, start + index)) for index, start in enumerate(starts)]

    def cell(self, index: int) -> Cell:
        """Return one cell with its place."""
        if self._cells is not None:
            return self._cells[index]
        return Cell(self.texts[index], self.line, self.places[index].column)

    def part(self, width: int) -> Row:
        """Return the row's first cells."""
        cells = None if self._cells is None else self._cells[:width]
        return Row(self.texts[:width], self.line, source=self.source, size=self.size, cells=cells)

    def cells_with_quotes(self) -> Iterator[Cell]:
        """Yield the cells of a row that has a quote anywhere, else none."""
        return iter(self._cells or ())


def scan_rows(text: str, source: str, *, delimiter: str = ",", start: int = 0, line: int = 1) -> Iterator[Row]:
    """Yield the rows of a table; wholly blank lines are left out.

    Args:
        text: The table, without a byte order mark.
        source: The file, for places.
        delimiter: The one character between cells.
        start: Offset of the line to begin with.
        line: Number of that line.
    """
    scanner = _Scanner(text, source, delimiter, start, line)
    size = len(text)
    while scanner.position < size:
        row = scanner.next_row()
        if len(row) > 1 or row.texts[0].strip() or any(cell.is_quoted for cell in row.cells_with_quotes()):
            yield row


class _Scanner:
    def __init__(self, text: str, source: str, delimiter: str, start: int, line: int) -> None:
        self.position = start
        self._text = text
        self._source = source
        self._delimiter = delimiter
        self._plain = re.compile(f"[^{re.escape(delimiter)}\r\n]*")
        is_tab = delimiter == "\t"
        self._opening, self._quoted = (_OPENING_BEHIND_TAB, _QUOTED_BEHIND_TAB) if is_tab else (_OPENING, _QUOTED)
        self._line = line
        self._line_start = start

    def next_row(self) -> Row:
        """Return the cells from the position, which is the start of a line, to the end of their row."""
        line, start = self._line, self.position
        line_break = LINE_BREAK.search(self._text, self.position)
        end = line_break.start() if line_break else len(self._text)
        content = self._text[self.position : end]
        if '"' in content:
            cells = self._cells()
            self._pass_line_break()
            return Row(
                [cell.text for cell in cells], line, source=self._source, size=self.position - start, cells=cells
            )
        self.position = self._line_start = line_break.end() if line_break else end
        self._line += 1
        return Row(content.split(self._delimiter), line, source=self._source, size=len(content))

    def _cells(self) -> list[Cell]:
        cells = [self._next_cell()]
        while self._text.startswith(self._delimiter, self.position):
            self.position += len(self._delimiter)
            cells.append(self._next_cell())
        return cells

    def _next_cell(self) -> Cell:
        opening = self._opening.match(self._text, self.position)
        if opening is None:
            return self._unquoted_cell(None)
        quoted = self._quoted.match(self._text, self.position)
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
