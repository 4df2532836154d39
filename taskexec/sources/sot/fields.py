"""How a list item of a State of Truth falls into a time, a name and fields: ` — ` between them, or bullets below.

    - [x] 2025-10-05 12:04 UTC — Scan the archive — Artifacts: `a`, `b` — Notes: first — then the rest
    - [ ] Smoke harness — Rationale: catch broken boots
      - Dependencies: Scan the archive
      - Deliverables:
        - [ ] report

Within a line, only a key of `entries.KNOWN_KEYS` begins a field, so that names and notes may hold dashes; a
bullet below may have any key. What has none belongs to an empty field before it, else to the description.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from taskexec.sources.sot.bullets import Bullet
from taskexec.sources.sot.code import hide_code
from taskexec.sources.sot.entries import Entry
from taskexec.sources.sot.keys import DESCRIPTION, read_key

__all__ = ["DESCRIPTION", "INSTANT", "Parts", "split_entry"]

_DASH = " — "
_SEPARATOR = re.compile(r"[ \t\n](?:[—–]|-{1,3})(?=[ \t\n]|\Z)")
_LEADING_DASH = re.compile(r"\s*(?:[—–]|-{1,3})(?=\s|\Z)")
_MONTH = r"(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.?"
_DATE = (
    r"(?:[0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}|[0-9]{1,2}[./-][0-9]{1,2}[./-][0-9]{4}"
    rf"|{_MONTH} [0-9]{{1,2}},? [0-9]{{4}}|[0-9]{{1,2}} {_MONTH} [0-9]{{4}})"
)
_CLOCK = (
    r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,9})?)?(?: ?[–-] ?[0-9]{1,2}:[0-9]{2})?"
    r"(?: ?(?:Z|[A-Z]{2,5}|(?:UTC|GMT)? ?[+-][0-9]{2}:?[0-9]{2}))?"
)
INSTANT = rf"(?:{_DATE}(?:(?:T|,? {{1,2}}){_CLOCK}|(?: ?(?:Z|UTC))?)|[0-9]{{4}}-[0-9]{{2}}|{_CLOCK})"
_TIME = re.compile(rf"[*_`(\[]{{0,3}}{INSTANT}[*_`)\]]{{0,3}}")
_NEVER_NAMES = frozenset({"artifacts", "dependencies", "depends on", "due", "owner", "rationale", "target"})
_BEHIND_TIME = re.compile(r"[*_]{0,2}[:|][*_]{0,2}[ \t]{1,4}(?=\S)")
_TIME_PLACEHOLDER = re.compile(r"<[^<>]*(?:yyyy|hh:mm|date|time)[^<>]*>", re.IGNORECASE)


@dataclass(slots=True)
class Parts:
    """What an entry consists of, by offsets of the text."""

    time: tuple[int, int] | None
    """The instant that it begins with, as written."""
    name: tuple[int, int]
    """The name, with what stands behind it up to the first field; may be blank."""
    fields: list[Bullet]
    """In source order."""


def split_entry(entry: Entry, text: str) -> Parts:
    """Return the parts of an entry.

    Args:
        entry: The entry.
        text: The whole live text.
    """
    own = text[entry.start : entry.end]
    segments = _segments(own)
    time = _take_time(own, segments)
    is_named = bool(segments) and not _lacks_name(own, segments[0], is_behind=time is not None)
    name = segments.pop(0) if is_named else (0, 0)
    offset = entry.start
    fields: list[Bullet] = []
    for start, end in segments:
        key = read_key(own[start:end], may_be_unknown=False)
        if key is not None:
            fields.append(Bullet(key[0], offset + start, offset + start + key[1], offset + end))
        elif fields:
            fields[-1].end = offset + end
        elif time is None and _TIME.fullmatch(own, start, end):
            time = (start, end)
        else:
            name = (name[0], end)
    if entry.children:
        _add_children(fields, entry, text)
    moved = None if time is None else (offset + time[0], offset + time[1])
    return Parts(moved, (offset + name[0], offset + name[1]), fields)


def _lacks_name(own: str, first: tuple[int, int], *, is_behind: bool) -> bool:
    """Return whether an entry begins with a field; a name may begin like one (`Status: a page for it`)."""
    key = read_key(own[first[0] : first[1]], may_be_unknown=False)
    return key is not None and (is_behind or key[0] in _NEVER_NAMES or _LEADING_DASH.match(own) is not None)


def _segments(own: str) -> list[tuple[int, int]]:
    """Return the trimmed, non-blank stretches between the dashes; one in backticks parts nothing."""
    leading = None if own[:1].isalnum() else _LEADING_DASH.match(own)
    position = leading.end() if leading else 0
    pieces = _plain_pieces(own[position:])
    if pieces is None:
        return _odd_segments(hide_code(own), position)
    found = []
    for piece in pieces:
        words = piece.strip()
        if words:
            begin = position + (piece.index(words) if len(words) < len(piece) else 0)
            found.append((begin, begin + len(words)))
        position += len(piece) + len(_DASH)
    return found


def _plain_pieces(text: str) -> list[str] | None:
    """Return what stands between the dashes of most lines, at a third of the time; None for the others."""
    if "–" in text or " -" in text or "\n" in text or "``" in text:
        return None
    pieces = text.split(_DASH)
    for piece in pieces:
        if piece.count("`") % 2:
            return None
    return pieces


def _odd_segments(hidden: str, position: int) -> list[tuple[int, int]]:
    """Return the segments of an entry with any dashes, its code spans hidden, from a position on."""
    found = []
    for piece in _SEPARATOR.split(hidden[position:]):
        if words := piece.strip():
            begin = hidden.index(words[0], position)
            position = begin + len(words)
            found.append((begin, position))
    return found


def _take_time(own: str, segments: list[tuple[int, int]]) -> tuple[int, int] | None:
    """Take the time from the front of the segments, or the placeholder that a template has there."""
    if not segments:
        return None
    start, end = segments[0]
    match = _TIME.match(own, start, end)
    if match and match.end() == end and len(segments) > 1:
        return segments.pop(0)
    behind = _BEHIND_TIME.match(own, match.end(), end) if match else None
    if match and behind:
        segments[0] = (behind.end(), end)
        return match.span()
    if len(segments) > 1 and _TIME_PLACEHOLDER.fullmatch(own, start, end):
        segments.pop(0)
    return None


def _add_children(fields: list[Bullet], entry: Entry, text: str) -> None:
    """Add the bullets below an entry."""
    is_open = False
    for child in entry.children:
        if child.key:
            fields.append(child)
        elif fields and (is_open or not text[fields[-1].start : fields[-1].end].strip()):
            fields[-1].end = child.end
        else:
            fields.append(Bullet(DESCRIPTION, child.key_start, child.start, child.end))
        is_open = not child.key
