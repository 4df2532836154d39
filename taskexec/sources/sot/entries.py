"""Which list items of a State of Truth are tasks: those with a box, outside of any other, and what stands below them.

An item begins with `- [ ]` or `- [x]` (also `*`, `+`, `1.` and `[X]`). Boxes below such an item are part of it; below
a bullet without a box (`- TODOs`) they are items of their own. A line belongs to an item if it is indented by two
columns more, or goes on with its paragraph.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from taskexec.errors import Fault
from taskexec.sources.sot.bullets import Bullet, BulletReader
from taskexec.sources.sot.code import hide_code
from taskexec.sources.sot.markdown import Line
from taskexec.sources.values.amounts import show

__all__ = ["KNOWN_KEYS", "Entry", "EntryScanner", "is_block_start", "read_key"]

_KEYS = (
    "acceptance, acceptance criteria, agent, artefacts, artifact, artifacts, assignee, blockers, command, commands, "
    "context, deliverables, dependencies, dependency, depends, depends on, deps, due, due date, duration, estimate, "
    "evidence, hashes, impact, labels, lane, layer, mitigation, note, notes, owner, owners, priority, queue, "
    "rationale, repro, requirements, resources, retries, status, tags, target, target date, timeout"
)
KNOWN_KEYS = frozenset(map(str.strip, _KEYS.split(",")))
"""The keys that begin a field within a line, in small letters."""

_WRITTEN_KEYS = {written: key for key in KNOWN_KEYS for written in (key, key.capitalize(), key.title(), key.upper())}
"""The keys as most people write them, so that nothing else need be looked at."""
_KEY = re.compile(
    r"(?:\*\*|__|[*_])?(?P<key>[^\W\d_]+(?:[ \t_/-]{1,3}[^\W\d_]+){0,4})"
    r"(?:[ \t]{1,3}\([^()\n]{0,60}\))?(?:\*\*|__|[*_])?[ \t]{0,3}:(?:\*\*|__|[*_])?(?P<tail>[\s`<]|\Z)?"
)
_KEY_LONGEST = 40
_REMARK_LONGEST = 60
_BOX = re.compile(r"\[(?P<mark>[ xX\t])\](?=[ \t]|$)[ \t]*")
_ALMOST_BOX = re.compile(r"\[(?:|[ xX]{2,3}|[-~/*oOvV✓✔✗✘])\](?=[ \t]|$)")
_BLOCK_START = re.compile(r"#{1,6}(?:[ \t]|$)|>|\||(?:[-*_=][ \t]*){3,}$")
_CODE_INDENT = 4


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
        """Return whether a line stands below the item, by its indentation."""
        return line.indent >= self.indent + 2

    def add_below(self, line: Line, *, is_after_blank: bool) -> None:
        """Add a line that stands below the item."""
        is_deeper = bool(self.children) and line.indent > self._child_indent
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
        if self.children:
            self.children[-1].end = line.end
        else:
            self.end = line.end

    def _add_child(self, line: Line) -> None:
        key = read_key(line.text)
        if key is None:
            self.children.append(Bullet("", line.start, line.start, line.end))
        else:
            self.children.append(Bullet(key[0], line.body, line.body + key[1], line.end))


def read_key(text: str, *, may_be_unknown: bool = True) -> tuple[str, int] | None:
    """Return the key that a text begins with, in small letters with single blanks, and where its value starts.

    Args:
        text: `Depends on: x`, also with a remark (`Artifacts (planned):`) or in bold.
        may_be_unknown: Whether any words count; then a blank must follow the colon, unlike in `http://x`.
    """
    colon = text.find(":", 0, 2 * _KEY_LONGEST + _REMARK_LONGEST)
    if colon < 0:
        return None
    word = _WRITTEN_KEYS.get(text[:colon])
    if word is not None:
        return word, len(text) - len(text[colon + 1 :].lstrip(" \t"))
    match = _KEY.match(hide_code(text))
    if match is None or len(match["key"]) > _KEY_LONGEST:
        return None
    key = " ".join(match["key"].lower().replace("_", " ").split())
    if key not in KNOWN_KEYS and (match["tail"] is None or not may_be_unknown):
        return None
    end = match.end() if match["tail"] is None else match.start("tail")
    return key, len(text) - len(text[end:].lstrip(" \t"))


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
        if entry is not None and entry.holds(line):
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

    def _read_item(self, line: Line) -> None:
        if not line.text.startswith("["):
            return
        box = _BOX.match(line.text)
        if box is not None:
            is_done = box["mark"] in "xX"
            self._entry = Entry(line.body + box.end(), line.end, line.indent, is_done)
            self.entries.append(self._entry)
        elif almost := _ALMOST_BOX.match(line.text):
            message = f"{show(almost[0])} is no box, so that this is not read as a task"
            hint = "write `- [ ]` for a task to do, `- [x]` for one that is done"
            self._bullets.warnings.append(Fault("sot.box", message, (self._bullets.places.at(line.body),), hint))
