"""How a table is written: which character parts its cells, what stands above its header."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from taskexec.sources.table.cells import Row, scan_rows
from taskexec.sources.table.fields import normalize
from taskexec.sources.table.header import recognized_fields
from taskexec.sources.text_places import LINE_BREAK

__all__ = ["Dialect", "count_fields", "find_dialect"]

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
"""What may stand between cells, and what a person calls it."""

_SEPARATOR_LINE = re.compile(r'\s*"?sep=(?P<delimiter>[^\r\n"])"?[ \t]*', re.IGNORECASE)
_ROWS_LOOKED_AT = 20
_FIELDS_OF_LATER_HEADER = 3


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one table is written."""

    delimiter: str
    header: Sequence[str]
    """What the cells say of the first row, or of a later one that is clearly the header."""
    above: int
    """Number of rows above the header that are not part of the table."""
    start: int
    """Offset of the line that `above` counts from."""
    line: int
    """Number of that line."""

    @property
    def name(self) -> str:
        """What a person calls the delimiter."""
        return DELIMITERS.get(self.delimiter, f"`{self.delimiter}`")


def find_dialect(text: str, own_names: Collection[str] = ()) -> Dialect | None:
    """Return how a table is written, or None when nothing stands in it.

    The delimiter is the one of Excel's `sep=` line, else the one that makes most known names of columns, then the one
    that parts the first rows into equally many cells. Lines that begin with `#` above the header are comments.

    Args:
        text: The whole table, without a byte order mark.
        own_names: The user's own names of columns, normalized; they count as known.
    """
    start, line, forced = _skip_preamble(text)
    if start >= len(text):
        return None
    choices = [forced] if forced else list(DELIMITERS)
    return max((_read_as(text, delimiter, start, line, own_names) for delimiter in choices), key=_likelihood)[0]


def count_fields(text: str) -> int:
    """Return how many known fields the header of a text names, if it is a table; 0 when it is none."""
    dialect = find_dialect(text)
    if dialect is None:
        return 0
    fields = recognized_fields(dialect.header)
    return len(fields) if len(fields) > 1 or (len(dialect.header) == 1 and "id" in fields) else 0


def _skip_preamble(text: str) -> tuple[int, int, str | None]:
    """Return offset and number of the first line that counts, and the delimiter of a `sep=` line."""
    forced = None
    is_first = True
    offset = 0
    for number, (start, end) in enumerate(_lines(text), 1):
        content = text[start:end]
        offset = start
        separator = _SEPARATOR_LINE.fullmatch(content) if is_first else None
        if separator:
            forced = separator["delimiter"]
        elif content.strip() and not _is_comment(content):
            return start, number, forced
        is_first = is_first and not content.strip()
        offset = end
    return max(offset, len(text)), 1, forced


def _lines(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for line_break in LINE_BREAK.finditer(text):
        yield start, line_break.start()
        start = line_break.end()
    yield start, len(text)


def _is_comment(line: str) -> bool:
    """Return whether a line begins with `#` and is not a header whose first column is called `#`."""
    if not line.lstrip().startswith("#"):
        return False
    first = re.split(r"[,;\t|]", line.strip(), maxsplit=1)[0].strip(' "')
    return first != "#"


def _read_as(text: str, delimiter: str, start: int, line: int, own_names: Collection[str]) -> tuple[Dialect, int, int]:
    """Return a table as read with one delimiter, how many columns its header names, and how even its rows are."""
    rows = list(islice(scan_rows(text, "", delimiter=delimiter, start=start, line=line), _ROWS_LOOKED_AT))
    counts = [_count_columns(row.texts, own_names) for row in rows]
    above = 0
    if counts and counts[0] < 2 and max(counts) >= _FIELDS_OF_LATER_HEADER:
        above = counts.index(max(counts))
        if any(_is_full(row, rows[above]) for row in rows[:above]):  # a row of data, not a line above the header
            above = 0
    header = rows[above].texts if rows else [""]
    even = sum(len(row) == len(header) for row in rows[above:]) if len(header) > 1 else 0
    return Dialect(delimiter, header, above, start, line), counts[above] if counts else 0, even


def _count_columns(texts: Sequence[str], own_names: Collection[str]) -> int:
    """Return how many columns a row would name if it were a header; no field counts twice."""
    named = sum(normalize(text) in own_names for text in texts) if own_names else 0
    return named + min(len(recognized_fields(texts)), sum(bool(recognized_fields([text])) for text in texts))


def _is_full(row: Row, header: Row) -> bool:
    """Return whether a row has more than half as many filled cells as a header."""
    return 2 * sum(bool(text.strip()) for text in row.texts) > sum(bool(text.strip()) for text in header.texts)


def _likelihood(candidate: tuple[Dialect, int, int]) -> tuple[int, int, int]:
    dialect, fields, even = candidate
    return fields, even, len(dialect.header)
