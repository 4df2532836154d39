"""Reading lists of names in a State of Truth: `Dependencies: a, b` and `Depends on:`, with backticks or without.

Commas, semicolons and bullets part the names; a name that holds them itself is found as long as the file has it. What
is found nowhere stays as it is written, so that `plan.validation` reports it with the nearest name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from taskexec.errors import Fault, Place
from taskexec.plan.draft import Located
from taskexec.sources.sot.bullets import PLACEHOLDER, RANGE_SIGN, Bullet, BulletReader
from taskexec.sources.sot.code import code_spans, hide_code
from taskexec.sources.sot.names import Names, Queue, SotTask
from taskexec.sources.values.amounts import show

__all__ = ["Dependency", "DependencyReader"]

Dependency = tuple[Located[str], bool]
"""An id, and whether the file has a task of that name."""

_SIGN = re.compile(r"[,;]|\n[ \t]*(?:[-*+]|[0-9]{1,9}[.)])(?=[ \t])|\A[ \t]*[-*+](?=[ \t])")
_BOX = re.compile(r"\[[ xX]\][ \t]+")
_AND = re.compile(r"\s(?:and|&)\s")
_LEADING_AND = re.compile(r"\A(?:and|&)\s+")
_REMARK = re.compile(r"\([^()]{0,200}\)\Z")
_PLAIN_RANGE = re.compile(
    r"(?P<first>[^\W\d_][\w.-]{0,80}\d)(?:\s?[—–]\s?|\s(?:to|through|bis)\s)(?P<last>[^\W\d_][\w.-]{0,80}\d)"
)
_NOTHING = frozenset({"", "-", "—", "–", "none", "n/a", "na", "nil", "nothing", "no", "not applicable"})
_PLACES_MOST = 10
_CHARACTERS_COMPARED = 5_000_000
"""How many characters of names with commas are compared in one file; then commas only part names."""


class DependencyReader:
    """Reads lists of names, and says what is wrong with them."""

    def __init__(self, names: Names, bullets: BulletReader) -> None:
        self._names = names
        self._bullets = bullets
        self._text = bullets.places.text
        self._characters_left = _CHARACTERS_COMPARED
        self._chosen: dict[str, tuple[list[SotTask], tuple[Place, ...]]] = {}

    def read(self, bullet: Bullet) -> Iterator[Dependency]:
        """Yield the ids that a bullet's list stands for; a queue stands for its tasks."""
        pieces = self._pieces(bullet)
        index = 0
        while index < len(pieces):
            taken = self._longest(pieces, index)
            yield from self._read_piece(pieces[index][0], pieces[index + taken - 1][1])
            index += taken

    def _pieces(self, bullet: Bullet) -> list[tuple[int, int]]:
        """Return the trimmed stretches between commas, semicolons and bullets, placeholders left out."""
        hidden = hide_code(self._text[bullet.start : bullet.end])
        hidden = PLACEHOLDER.sub(lambda match: " " * len(match[0]), hidden)
        marks = [match.span() for match in _SIGN.finditer(hidden)]
        spans = zip([0, *(end for _, end in marks)], [*(start for start, _ in marks), len(hidden)], strict=True)
        found = []
        for start, end in spans:
            piece = hidden[start:end]
            if piece.strip():
                begin = start + len(piece) - len(piece.lstrip())
                box = _BOX.match(hidden, begin, end)
                found.append((bullet.start + (box.end() if box else begin), bullet.start + begin + len(piece.strip())))
        return found

    def _longest(self, pieces: list[tuple[int, int]], index: int) -> int:
        """Return how many pieces from one on make a known name together; 1 if no more do."""
        if index == len(pieces) - 1:
            return 1
        start, end = pieces[index]
        for length in self._names.lengths(self._text[start:end]):
            end = pieces[min(index + length, len(pieces)) - 1][1]
            self._characters_left -= end - start
            if self._characters_left >= 0 and self._names.is_known(_on_one_line(self._text[start:end])):
                return min(length, len(pieces) - index)
        return 1

    def _read_piece(self, start: int, end: int) -> Iterator[Dependency]:
        words = self._text[start:end]
        spans = code_spans(words, 0, len(words)) if "`" in words else []
        at = self._bullets.places.at
        if len(spans) == 1 and spans[0].outer_start == 0 and spans[0].outer_end == len(words):
            for name in self._bullets.codes(start, end):
                yield from self._resolve(Located(_on_one_line(name.value), name.place))
        elif self._names.is_known(_on_one_line(words)):
            inside = start + len(words) - len(words.lstrip("`*_ "))
            yield from self._resolve(Located(_on_one_line(words), at(inside)))
        elif (span := self._range(words, start)) is not None:
            for name in (span[0], *self._bullets.rest_of_range(*span)):
                yield from self._resolve(name)
        elif spans:
            for name in self._bullets.codes(start, end):
                yield from self._resolve(Located(_on_one_line(name.value), name.place))
        else:
            yield from self._read_words(words, at(start))

    def _read_words(self, words: str, place: Place) -> Iterator[Dependency]:
        """Yield what words without backticks stand for that are not known as they are."""
        name = _LEADING_AND.sub("", _on_one_line(words).strip("*_ "), count=1)
        bare = _REMARK.sub("", name.rstrip(".")).strip(" .*_")
        if bare.casefold() in _NOTHING:
            return
        halves = _AND.split(bare)
        if len(halves) > 1 and all(map(self._names.is_known, halves)):
            for half in halves:
                yield from self._resolve(Located(half.strip(), place))
        else:
            yield from self._resolve(Located(bare if self._names.is_known(bare) else name, place))

    def _range(self, words: str, start: int) -> tuple[Located[str], Located[str]] | None:
        """Return first and last id of a range, in backticks or plain, or None when words are none."""
        at = self._bullets.places.at
        spans = code_spans(words, 0, len(words)) if "`" in words else []
        if len(spans) == 2 and RANGE_SIGN.fullmatch(words, spans[0].outer_end, spans[1].outer_start):
            texts = [words[span.start : span.end].strip() for span in spans]
            if not any(map(PLACEHOLDER.search, texts)):
                first, last = (at(start + span.start) for span in spans)
                return Located(texts[0], first), Located(texts[1], last)
        plain = _PLAIN_RANGE.fullmatch(words)
        if plain is None or plain["first"].rstrip("0123456789") != plain["last"].rstrip("0123456789"):
            return None
        return Located(plain["first"], at(start)), Located(plain["last"], at(start + plain.start("last")))

    def _resolve(self, name: Located[str]) -> Iterator[Dependency]:
        """Yield the ids that one name stands for."""
        queues = self._names.queues(name.value)
        tasks = [] if queues else self._names.tasks(name.value)
        if len(queues) > 1:
            self._refuse_queues(name, queues)
        elif queues:
            yield from ((Located(task.draft.id.value, name.place), True) for task in queues[0].ends)
        elif len(tasks) > 1:
            yield from self._choose(name, tasks)
        elif tasks:
            yield Located(tasks[0].draft.id.value, name.place), True
        else:
            yield name, False

    def _refuse_queues(self, name: Located[str], queues: list[Queue]) -> None:
        places = [queue.name.place for queue in queues[:_PLACES_MOST] if queue.name is not None]
        message = f"{show(name.value)} may be any of {len(queues)} queues"
        hint = "write the queue's full name"
        self._bullets.fault("sot.ambiguous_queue", message, name.place, *places, hint=hint)

    def _choose(self, name: Located[str], tasks: list[SotTask]) -> Iterator[Dependency]:
        """Yield the one task to do among several of a name, else the first executed one; several to do are a fault."""
        if name.value not in self._chosen:  # thousands of tasks may depend on a title that stands thousands of times
            waiting = [task for task in tasks if not task.is_satisfied]
            self._chosen[name.value] = waiting, tuple(task.draft.id.place for task in tasks[:_PLACES_MOST])
        waiting, others = self._chosen[name.value]
        message = f"{show(name.value)} may be any of {len(tasks)} tasks"
        places = (name.place, *others)
        if len(waiting) > 1:
            self._bullets.fault("sot.ambiguous_task", message, *places, hint="write the id of the one that is meant")
            return
        reason = "the one to do" if waiting else "the first executed one"
        self._bullets.warnings.append(Fault("sot.ambiguous_task", f"{message}; taken is {reason}", places))
        yield Located((waiting or tasks)[0].draft.id.value, name.place), True


def _on_one_line(words: str) -> str:
    return " ".join(words.split())
