"""Which lines of a State of Truth's queue section are queues, bullets and tasks, before they mean anything."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from taskexec.plan.draft import Located
from taskexec.sources.sot.bullets import PLACEHOLDER, Bullet, BulletReader
from taskexec.sources.sot.entries import BOX, Entry, is_block_start
from taskexec.sources.sot.keys import DEPENDENCY_KEYS, QUEUE_KEYS, read_key
from taskexec.sources.sot.markdown import Line
from taskexec.sources.sot.suspects import may_be_box, warn_of_box
from taskexec.sources.values.amounts import show

__all__ = ["QueueLines", "QueueScanner"]

_QUEUE_WORD = re.compile(r"[*_ \t]*queue\b", re.IGNORECASE)
_QUEUE_HEADING = re.compile(r"#{1,6}[ \t]+[*_]*queue[ \t]+\w{1,4}[ \t]*(?:[—–:]|-|[*_]*$)", re.IGNORECASE)
_TASK_WORD = re.compile(r"(?:\*\*|__)?task(?:\*\*|__)?[ \t]*:?(?:\*\*|__)?[ \t]*(?=`)", re.IGNORECASE)
_BOLD = ("**", "__")
_NAME_HINT = "write a numbered line with a name in bold: `1. **Queue A — Name**`"


@dataclass(slots=True)
class QueueLines:
    """One queue as its lines are read, before they mean anything."""

    name: Located[str] | None
    bullets: list[Bullet | Entry] = field(default_factory=list)
    """The queue's own bullets, and its tasks with a bullet each."""
    is_refused: bool = False
    """Whether its name has been reported, so that nothing more is said of it."""


class QueueScanner:
    """Finds queues and their bullets, line by line."""

    def __init__(self, bullets: BulletReader) -> None:
        self.queues: list[QueueLines] = []
        self._bullets = bullets
        self._text = bullets.places.text
        self._is_after_blank = False
        self._last: Bullet | Entry | None = None
        self._indent = 0

    def read(self, lines: Iterable[Line]) -> None:
        """Read the lines of one section."""
        self.queues.append(QueueLines(None))
        self._last = None
        for line in lines:
            if not line.is_listed and (not line.text or line.text.isspace()):
                self._is_after_blank = True
                continue
            self._read_line(line, line.text)
            self._is_after_blank = False

    def _read_line(self, line: Line, rest: str) -> None:
        last = self._last
        is_numbered = line.is_listed and self._text[line.start : line.body].lstrip()[:1].isdigit()
        if isinstance(last, Entry) and last.holds(line):
            last.add_below(line, is_after_blank=self._is_after_blank)
        elif not line.is_listed and may_be_box(rest):
            warn_of_box(rest, self._bullets.places.at(line.body), self._bullets)
        elif isinstance(last, Bullet) and self._is_field(line, rest):
            self._last = self._read_bullet(line, rest)
            self.queues[-1].bullets.append(self._last)
        elif isinstance(last, Bullet) and self._continues(line, rest):
            last.end = line.end
        elif is_numbered:
            self._last = None
            self._read_numbered(line, rest)
        elif line.is_listed:
            self._indent = line.indent
            self._last = self._read_bullet(line, rest)
            self.queues[-1].bullets.append(self._last)
        else:
            self._last = None
            self._refuse_unnumbered(line, rest)

    def _is_field(self, line: Line, rest: str) -> bool:
        """Return whether a line without a bullet begins with the key of a queue's bullet."""
        key = None if line.is_listed else read_key(rest)
        return key is not None and (key[0] in QUEUE_KEYS or key[0] in DEPENDENCY_KEYS)

    def _continues(self, line: Line, rest: str) -> bool:
        """Return whether a line belongs to the bullet before it."""
        if line.is_listed or self._is_after_blank:
            return line.indent > self._indent
        return line.indent > 0 or not (is_block_start(rest) or self._is_queue_name(rest))

    def _read_numbered(self, line: Line, rest: str) -> None:
        """Start a queue; any other numbered line ends the one before it."""
        bold = _bold(rest)
        self.queues.append(QueueLines(None))
        if PLACEHOLDER.search(rest):
            return
        if bold is not None and _QUEUE_WORD.match(rest[bold[0] : bold[1]]):
            place = self._bullets.places.at(line.body + bold[0])
            self.queues[-1].name = Located(rest[bold[0] : bold[1]], place)
        elif _QUEUE_WORD.match(rest):
            self._refuse(line, f"{show(rest.strip())} is a queue without its name in bold")

    def _refuse_unnumbered(self, line: Line, rest: str) -> None:
        """Report a queue that is no numbered line: what stands below it would join the queue before."""
        if not PLACEHOLDER.search(rest) and (self._is_queue_name(rest) or _QUEUE_HEADING.match(rest)):
            self.queues.append(QueueLines(None))
            self._refuse(line, f"{show(rest.strip())} looks like a queue and is not numbered")

    def _refuse(self, line: Line, message: str) -> None:
        self.queues[-1].is_refused = True
        self._bullets.fault("sot.queue", message, self._bullets.places.at(line.body), hint=_NAME_HINT)

    def _is_queue_name(self, rest: str) -> bool:
        """Return whether a line begins with a queue's name in bold."""
        bold = _bold(rest)
        return bold is not None and bool(_QUEUE_WORD.match(rest[bold[0] : bold[1]]))

    def _read_bullet(self, line: Line, rest: str) -> Bullet | Entry:
        box = BOX.match(rest)
        begin = box.end() if box else 0
        task = _TASK_WORD.match(rest, begin)
        if task is not None or (box and rest.startswith("`", begin)):
            start = line.body + (task.end() if task else begin)
            return Entry(start, line.end, line.indent, is_done=box is not None and box["mark"] in "xX")
        if box:
            return Bullet("", line.body, line.body, line.end)
        key = read_key(rest)
        if key is None:
            self._refuse_unnumbered(line, rest)
            return Bullet("", line.body, line.body, line.end)
        return Bullet(key[0], line.body, line.body + key[1], line.end)


def _bold(text: str) -> tuple[int, int] | None:
    """Return where the text in bold stands that a line begins with, or None."""
    mark = text[:2]
    end = text.find(mark, 3) if mark in _BOLD else -1
    inner = text[2:end]
    if end < 0 or not inner.strip():
        return None
    start = 2 + len(inner) - len(inner.lstrip(" \t"))
    return start, start + len(inner.strip(" \t"))
