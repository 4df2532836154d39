"""Which tasks of the queues a ticked line says to be done, and which it only mentions.

Ids at its beginning count, one, a list or a range of them, before a dash or colon or as all there is, also behind a
date; so do ids in brackets at its end when nothing else stands in them:

    - [x] TASK-001, `TASK-002`–`TASK-004` and TASK-007 — all of them
    - [x] 2026-01-01 compile
    - [x] Pack the archive (`pack`)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from taskexec.errors import Fault
from taskexec.plan.draft import Located
from taskexec.plan.plan import normal_id
from taskexec.sources.sot.bullets import BulletReader
from taskexec.sources.sot.fields import INSTANT
from taskexec.sources.sot.identity import Identity
from taskexec.sources.sot.names import SotTask
from taskexec.sources.values.amounts import show

__all__ = ["Recorded", "Statement"]

_TOKEN = re.compile(r"(?P<bold>\*\*|__)?(?:`(?P<code>[^`]+)`|(?P<word>[^\W_][^\s`,;&/–—]*))(?(bold)(?P=bold))")
_SIGN = re.compile(r"\s*[,;&/+](?:\s*(?:and|und)\b)?\s*|\s+(?:and|und)\s+")
_RANGE = re.compile(r"\s*[–—]\s*|-(?=`)|\s+(?:-|to|through|bis)\s+")
_END = re.compile(r"\s*(?:[—–:]|-{1,3}(?=\s)|[.!]?\Z)\s*")
_DATE = re.compile(rf"[*_`(\[]{{0,3}}{INSTANT}[*_`)\]]{{0,3}}[ \t]+(?=\S)")
_MENTION = re.compile(r"`(?P<code>[^`]+)`|(?P<word>[^\W_][\w.-]*)")
_BLANK = re.compile(r"[\s`,;]")
_WORDS = re.compile(r"\w+(?:[.-]\w+)*")
_FIRST = re.compile(r"[^\W\d][\w]*(?=[ \t])")
"""A word before a blank; when it is no id of a queue, no list begins with it."""
_CLOSING = (")", "]", ".", "!")
_LOOKS_LIKE_ID = re.compile(r"[\d_-]")
_PLACES_MOST = 10
_LONGEST = 2000
"""Of a longer line only the beginning is searched for ids."""


@dataclass(slots=True)
class Statement:
    """What a ticked line says of the queues' tasks."""

    identities: list[Identity]
    time: str = ""
    """The date before the ids that no dash parts from them."""


@dataclass(slots=True)
class Recorded:
    """Looks for the ids of the queues' tasks in ticked lines."""

    bullets: BulletReader
    queued: Mapping[str, SotTask]
    """The tasks of the queues by normal id."""
    mentions: dict[str, list[int]] = field(default_factory=dict)
    """Where lines name a task without saying that it is done, by its id."""

    def read(self, written: str, offset: int) -> Statement | None:
        """Return what a line says, or None when its name is not made of ids.

        Args:
            written: The line's name, with what stands behind it up to the first field.
            offset: Where it stands.
        """
        first = _FIRST.match(written)
        if first and first[0] not in self.queued and written[-1:] not in _CLOSING:
            return None
        date = _DATE.match(written) if written[:1].isdigit() or written[:1] in "*_`([" else None
        start = date.end() if date else 0
        time = " ".join(written[:start].strip("*_`()[] ").split())
        found = self._list(written, start, offset)
        end = _END.match(written, found[1]) if found else None
        if found and end:
            title = " ".join(written[end.end() :].split())
            return Statement([Identity(name, title) for name in found[0]], time)
        opening = max(written.rfind("("), written.rfind("["))
        if found and _SIGN.match(written, found[1]):
            self.mentions.setdefault(normal_id(next(filter(self._is_queued, found[0]))), []).append(offset + start)
        if opening < start or not written.rstrip(" .!").endswith((")", "]")):
            return None
        found = self._list(written, opening + 1, offset)
        if found is None or written[found[1] :].rstrip(" .!") not in (")", "]"):
            return None
        title = " ".join(written[start:opening].split()).rstrip(" —–:-")
        return Statement([Identity(name, title) for name in found[0]], time)

    def note(self, start: int, end: int) -> None:
        """Remember which queued tasks a stretch of the text names."""
        text = self.bullets.places.text
        stretch = text[start : min(end, start + _LONGEST)]
        if "`" not in stretch and self.queued.keys().isdisjoint(_WORDS.findall(stretch)):
            return
        for match in _MENTION.finditer(text, start, min(end, start + _LONGEST)):
            name = normal_id(" ".join((match["code"] or match["word"].rstrip(".-")).split()))
            is_meant = match["code"] is not None or _LOOKS_LIKE_ID.search(name)
            if is_meant and name in self.queued:
                self.mentions.setdefault(name, []).append(match.start())

    def warn(self) -> None:
        """Warn of the tasks that ticked lines name and that are to be run all the same."""
        for name, offsets in self.mentions.items():
            if not self.queued[name].is_satisfied:
                places = tuple(self.bullets.places.at(offset) for offset in offsets[:_PLACES_MOST])
                message = f"a ticked line names {show(name)} and does not say that it is done; it will be run"
                hint = f"if it is done, begin a line with its id: `- [x] {name} — …`"
                self.bullets.warnings.append(Fault("sot.named_in_ledger", message, places, hint))

    def _list(self, written: str, start: int, offset: int) -> tuple[list[str], int] | None:
        """Return the ids that a text lists from an offset on, and where they end; None if there is no list.

        Words without backticks must all be ids of the queues, of names in backticks only one.
        """
        names: list[str] = []
        position = start
        token = self._token(written, start)
        while token is not None:
            name, position = token
            names.append(name)
            span = _RANGE.match(written, position)
            last = self._token(written, span.end()) if span else None
            if last is not None and self._is_range(name, last[0]):
                place = self.bullets.places.at(offset)
                ends = Located(name, place), Located(last[0], place)
                rest = (found.value for found in self.bullets.rest_of_range(*ends))
                names += filter(self._is_queued, rest)
                position = last[1]
            sign = _SIGN.match(written, position)
            token = self._token(written, sign.end()) if sign else None
        is_known = any(map(self._is_queued, names))
        return (list(dict.fromkeys(names)), position) if is_known else None

    def _token(self, written: str, start: int) -> tuple[str, int] | None:
        """Return a name in backticks, or a word that is a queue's id, and where it ends."""
        match = _TOKEN.match(written, start)
        if match is None:
            return None
        if match["code"] is not None:
            name = " ".join(match["code"].split())
            return (name, match.end()) if name else None
        found = ((word, end) for word, end in self._words(match, written) if normal_id(word) in self.queued)
        word, end = next(found, ("", start))
        bold = match["bold"] or "*"
        return (word, end + (len(bold) if written.startswith(bold, end) else 0)) if word else None

    def _words(self, match: re.Match[str], written: str) -> Iterator[tuple[str, int]]:
        """Yield what a word without backticks may be: with the signs behind it, which ids may hold, or without."""
        begin = match.start("word")
        blank = _BLANK.search(written, begin, begin + 300)
        whole = written[begin : blank.start() if blank else begin + 300]
        for word in dict.fromkeys((whole, match["word"])):
            yield word, begin + len(word)
            bare = word.rstrip(":.!)]*_")
            if bare != word:
                yield bare, begin + len(bare)

    def _is_queued(self, name: str) -> bool:
        return normal_id(name) in self.queued

    def _is_range(self, first: str, last: str) -> bool:
        digits = "0123456789"
        is_known = self._is_queued(first) and self._is_queued(last)
        return is_known and first != last and first.rstrip(digits) == last.rstrip(digits)
