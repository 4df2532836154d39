"""Which list items of a State of Truth are tasks: those with a box, outside of any other, and what stands below them.

An item begins with `- [ ]` or `- [x]` (also `*`, `+`, `1.` and `[X]`). Boxes below such an item are part of it; below
a bullet without a box (`- TODOs`) they are items of their own. A line belongs to an item if it is indented by two
columns more, or goes on with its paragraph.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from taskexec.sources.sot.bullets import Bullet, BulletReader
from taskexec.sources.sot.keys import read_key
from taskexec.sources.sot.markdown import Line
from taskexec.sources.sot.suspects import may_be_box, warn_of_box

__all__ = ["BOX", "Entry", "EntryScanner", "is_block_start"]

BOX = re.compile(r"\[(?P<mark>[ xX\t])\](?=[ \t]|$)[ \t]*")
_BLOCK_START = re.compile(r"#{1,6}(?:[ \t]|$)|>|\||(?:[-*_=][ \t]*){3,}$")
_OF_A_QUEUE = re.compile(r"\[|[*_]*(?:tasks?|order|lane)\b", re.IGNORECASE)
_CODE_INDENT = 4
_BOX_BEGINS = ("[", "☐", "☑", "☒")
_LISTED_BEGINS = frozenset("-*+>0123456789")


@dataclass(slots=True)
class Entry:
    """A list item that is a task: its own text, and the bullets below it, by offsets of the text."""

    start: int
    """Where its text starts, behind the list mark and the box."""
    end: int
    """Where its own text ends."""
    indent: int
    """Columns before its list mark."""
    is_done: bool = False
    """Whether its box is ticked."""
    children: list[Bullet] = field(default_factory=list)
    """Those directly below; deeper ones belong to them. One without a key starts at its list mark."""
    _child_indent: int = 0

    def holds(self, line: Line) -> bool:
        """Return whether a line stands below the item, by its indentation; of a field, one blank is enough."""
        if line.indent != self.indent + 1:
            return line.indent > self.indent
        return line.is_listed and read_key(line.text) is not None and not _OF_A_QUEUE.match(line.text)

    def add_below(self, line: Line, *, is_after_blank: bool) -> None:
        """Add a line that stands below the item."""
        is_deeper = bool(self.children) and line.indent > self._child_indent
        if not is_deeper and not line.is_listed and self._add_field(line):
            self._child_indent = line.indent
            return
        if line.is_listed and not is_deeper:
            self._child_indent = line.indent
            self._add_child(line)
        elif self.children and (is_deeper or not is_after_blank):
            self.children[-1].end = line.end
        elif is_after_blank:
            self._child_indent = line.indent
            self.children.append(Bullet("", line.start, line.start, line.end))
        else:
            self.end = line.end

    def add_unindented(self, line: Line) -> None:
        """Add a line that goes on with the paragraph before it, as Markdown allows without indentation."""
        if self._add_field(line):
            self._child_indent = line.indent
        elif self.children:
            self.children[-1].end = line.end
        else:
            self.end = line.end

    def _add_field(self, line: Line) -> bool:
        """Add a line without a bullet that begins with a known key; return whether it does."""
        key = read_key(line.text, may_be_unknown=False)
        if key is not None:
            self.children.append(Bullet(key[0], line.body, line.body + key[1], line.end))
        return key is not None

    def _add_child(self, line: Line) -> None:
        key = read_key(line.text)
        if key is None:
            self.children.append(Bullet("", line.start, line.start, line.end))
        else:
            self.children.append(Bullet(key[0], line.body, line.body + key[1], line.end))


def is_block_start(text: str) -> bool:
    """Return whether a line without its indentation begins something new: heading, quotation, table, rule."""
    return _BLOCK_START.match(text) is not None


class EntryScanner:
    """Finds the entries, line by line."""

    def __init__(self, bullets: BulletReader) -> None:
        self.entries: list[Entry] = []
        self._bullets = bullets
        self._entry: Entry | None = None
        self._is_after_blank = True
        self._is_in_list = False

    def read(self, lines: Iterable[Line]) -> None:
        """Read lines that follow each other; nothing goes on from the lines of an earlier call."""
        self._entry, self._is_after_blank, self._is_in_list = None, True, False
        for line in lines:
            if not line.is_listed and (not line.text or line.text.isspace()):
                self._is_after_blank = True
                continue
            self._read_line(line)
            self._is_after_blank = False

    def _read_line(self, line: Line) -> None:
        entry = self._entry
        if not line.is_listed and line.text[0] in _LISTED_BEGINS and self._is_odd_box(line):
            self._entry = None
            warn_of_box(line.text, self._bullets.places.at(line.body), self._bullets)
        elif entry is not None and entry.holds(line):
            entry.add_below(line, is_after_blank=self._is_after_blank)
        elif line.is_listed:
            self._entry = None
            if line.indent < _CODE_INDENT or self._is_in_list:
                self._is_in_list = True
                self._read_item(line)
        elif entry is not None and not self._is_after_blank and not is_block_start(line.text):
            entry.add_unindented(line)
        else:
            self._entry = None
            self._is_in_list = self._is_in_list and line.indent > 0

    def _is_odd_box(self, line: Line) -> bool:
        """Return whether a line was meant as an item and is none: `-[ ] x`, `> - [ ] x`."""
        return (line.indent < _CODE_INDENT or self._is_in_list) and may_be_box(line.text)

    def _read_item(self, line: Line) -> None:
        if line.text[:1] not in _BOX_BEGINS:
            return
        box = BOX.match(line.text)
        if box is not None:
            is_done = box["mark"] in "xX"
            self._entry = Entry(line.body + box.end(), line.end, line.indent, is_done)
            self.entries.append(self._entry)
        else:
            warn_of_box(line.text, self._bullets.places.at(line.body), self._bullets)
