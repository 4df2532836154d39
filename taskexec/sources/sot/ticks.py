"""Which tasks of a queue are ticked: `` - [x] `a` `` in its list, `` Task `b` [x] `` and `` Task `c` — ✅ done ``."""

from __future__ import annotations

import re

from taskexec.errors import Fault
from taskexec.plan.draft import Located
from taskexec.sources.sot.bullets import Bullet, BulletReader
from taskexec.sources.sot.code import hide_code
from taskexec.sources.values.amounts import show

__all__ = ["read_listed", "take_tick"]

_TICK = r"(?:\[[xX]\]|[✅✔☑]\ufe0f?)(?:\s*(?i:done|completed?|finished|erledigt)\b)?"
_BOX = r"\[[ \t]?\]"
_ANY = re.compile(rf"{_TICK}|{_BOX}")
_LEADING = re.compile(rf"\s*[—–:-]*\s*(?:(?P<tick>{_TICK})|{_BOX})(?=[\s—–:.,;)-]|\Z)\s*(?:[—–:]|-{{1,3}}(?=\s))?\s*")
_TRAILING = re.compile(rf"(?:\s+(?:[—–:]|-{{1,3}}))?\s*(?:(?P<tick>{_TICK})|(?<=\s){_BOX})[\s.]*\Z")
_SIGN = re.compile(r"[,;]")
_HINT = "write `- [x] `id`` on a line of its own for each task that is done"


def read_listed(bullets: BulletReader, bullet: Bullet) -> list[tuple[Located[str], bool]]:
    """Return the ids that a list `Tasks` holds, and whether each is ticked.

    Args:
        bullets: The reader of the file.
        bullet: The list; the one box of a bullet is for all of its ids, any other for one.
    """
    text = bullets.places.text
    hidden = hide_code(text[bullet.start : bullet.end])
    if not _ANY.search(hidden):
        return [(name, False) for name in bullets.ids(bullet)]
    found = []
    for start, end in bullets.pieces(bullet):
        line = hidden[start - bullet.start : end - bullet.start]
        leading = _LEADING.match(line) if start > bullet.start else None
        if leading and _ANY.search(line, leading.end()):
            leading = None
        if leading:
            start, line = start + leading.end(), line[leading.end() :]
        cuts = [match.start() for match in _SIGN.finditer(line)]
        for first, last in zip([0, *(cut + 1 for cut in cuts)], [*cuts, len(line)], strict=True):
            is_done = bool(leading and leading["tick"])
            found += _read_entry(bullets, start + first, line[first:last], is_done=is_done)
    return found


def take_tick(title: str) -> tuple[str, bool]:
    """Return a title without the tick or empty box at its beginning or end, and whether it was ticked."""
    leading = _LEADING.match(title)
    if leading:
        return title[leading.end() :], leading["tick"] is not None
    trailing = _TRAILING.search(title) if title[-1:] and _ANY.search(title) else None
    return (title[: trailing.start()], trailing["tick"] is not None) if trailing else (title, False)


def _read_entry(bullets: BulletReader, start: int, hidden: str, *, is_done: bool) -> list[tuple[Located[str], bool]]:
    """Return the ids of what stands between two commas, its code spans hidden."""
    leading = _LEADING.match(hidden)
    if leading:
        start, hidden, is_done = start + leading.end(), hidden[leading.end() :], bool(leading["tick"])
    trailing = _TRAILING.search(hidden) if _ANY.search(hidden) else None
    end = trailing.start() if trailing else len(hidden)
    ids = bullets.ids(Bullet("", start, start, start + end))
    is_ticked = trailing is not None and trailing["tick"] is not None
    is_one = len(re.findall("`+[^`]*", hidden[:end])) <= 1 or bool(re.fullmatch(r"\s*`+\s*[—–-]\s*`+\s*", hidden[:end]))
    if _ANY.search(hidden[:end]) or (is_ticked and not is_one and not is_done):
        names = ", ".join(show(name.value) for name in ids[:3])
        message = f"which of {names} the tick belongs to is not clear; it is not read"
        bullets.warnings.append(Fault("sot.tick", message, (bullets.places.at(start),), _HINT))
        is_ticked = False
    return [(name, is_done or is_ticked) for name in ids]
