"""What a bullet of a State of Truth says: its key, ids in backticks, ranges of them, amounts, plain text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from taskexec.errors import Fault, Place
from taskexec.plan.draft import DraftAlternative, DraftTask, Located
from taskexec.sources.sot.code import code_spans
from taskexec.sources.text_places import TextPlaces
from taskexec.sources.tree.node import did_you_mean
from taskexec.sources.values import amounts
from taskexec.sources.values.amounts import show
from taskexec.sources.values.needs import LABELS, NEED_FIELDS, NEED_NAMES, UnknownNeed, parse_need

__all__ = ["PLACEHOLDER", "RANGE_SIGN", "Bullet", "BulletReader", "Resources"]

PLACEHOLDER = re.compile(r"<[^<>`\r\n]+>")
"""Text that a template asks a person to fill in; it never means anything itself."""

_CODE = re.compile(r"`(?P<text>[^`]*)`")
RANGE_SIGN = re.compile(r"\s*[—–]\s*|[ \t]*-\s*|\s+(?:to|through|bis)\s+", re.IGNORECASE)
"""What stands between the ends of a range, a dash or a word; a hyphen behind a line break starts a bullet instead."""

_ITEM_MARK = re.compile(r"^[ \t]*(?:[-*+]|[0-9]{1,9}[.)])[ \t]+", re.MULTILINE)
_LIST_SIGN = re.compile(r"[,;\r\n]")
_WORD = re.compile(r"\w")
_KNOWN_RESOURCES = (
    "`cpus=2`, `memory=4G`, `gpus=1`, `gpu_memory=8G`, `disk=10G`, `has=ssd`, `not=slow`, `exclusive`, `nodes=4` or "
    "`packed`"
)
_RESOURCE_SIGN = re.compile("[=:]")
_RANGE_HINT = "write it as `T-001`–`T-020`, or the ids one by one with commas between them"
_RANGE_MAX = 100_000
"""More ids than this in one range are a slip of the pen."""
_DIGITS_MAX = 100
_RANGES_MAX = 1_000_000
"""Most ids that all ranges of a file may have together, so that a short text cannot fill the memory."""


@dataclass(slots=True)
class Bullet:
    """One bullet of a queue, by offsets of the text."""

    key: str
    """In small letters with single blanks, such as `tasks`; empty when the bullet has none."""
    key_start: int
    """Where the bullet's text starts."""
    start: int
    """Where what follows the key starts."""
    end: int
    """Where the last line that belongs to the bullet ends."""


@dataclass(slots=True)
class Resources:
    """What a task asks for, as far as it is said."""

    said: dict[str, Any] = field(default_factory=dict)
    """Fields of `DraftTask`, each with its value."""

    @classmethod
    def of(cls, task: DraftTask) -> Resources:
        """Return what a task asks for."""
        found = {name: getattr(task, name) for name in NEED_FIELDS}
        return cls({name: value for name, value in found.items() if value is not None})

    def give_to(self, task: DraftTask) -> None:
        """Give a task what is said; the rest stays as it is."""
        for name, value in self.said.items():
            setattr(task, name, value)


@dataclass(slots=True)
class BulletReader:
    """Reads the values of bullets; what cannot be read is appended to `faults` or `warnings`."""

    places: TextPlaces
    """The text that the bullets' offsets belong to."""
    faults: list[Fault] = field(default_factory=list)
    warnings: list[Fault] = field(default_factory=list)
    placeholders: int = 0
    """How many placeholders stood where a task would."""
    _range_ids: int = 0

    def ids(self, bullet: Bullet) -> list[Located[str]]:
        """Return the ids in backticks in their order, ranges spelled out, placeholders left out."""
        found: list[Located[str]] = []
        text = self.places.text
        previous: re.Match[str] | None = None
        for match in _CODE.finditer(text, bullet.start, bullet.end):
            between = text[previous.end() : match.start()] if previous else ""
            if not previous or not RANGE_SIGN.fullmatch(between):
                found.extend(self._single(match))
            elif not PLACEHOLDER.search(previous["text"] + match["text"]):
                first = Located(previous["text"].strip(), self.places.at(previous.start() + 1))
                last = Located(match["text"].strip(), self.places.at(match.start() + 1))
                found.extend(self.rest_of_range(first, last))
            previous = match
        self._warn_unquoted(bullet)
        return found

    def text(self, bullet: Bullet) -> str:
        """Return what a bullet says on one line, bullets below it parted by `; `; empty when it is a placeholder."""
        text = self.places.text[bullet.start : bullet.end]
        if "<" in text and not _WORD.search(PLACEHOLDER.sub("", text)):
            return ""
        if "\n" not in text and (bullet.start > bullet.key_start or not self._starts_line(bullet.start)):
            return " ".join(text.split())
        return "; ".join(" ".join(self.places.text[start:end].split()) for start, end in self.pieces(bullet))

    def pieces(self, bullet: Bullet) -> list[tuple[int, int]]:
        """Return start and end of the bullet's own text and of each bullet below it, blank ones left out."""
        text = self.places.text
        marks = [match.span() for match in _ITEM_MARK.finditer(text, bullet.start, bullet.end)]
        starts = [bullet.start, *(end for _, end in marks)]
        ends = [*(start for start, _ in marks), bullet.end]
        return [(start, end) for start, end in zip(starts, ends, strict=True) if text[start:end].strip()]

    def codes(self, start: int, end: int) -> list[Located[str]]:
        """Return what stands in the code spans between two offsets, placeholders and blank ones left out."""
        text = self.places.text
        found = []
        for span in code_spans(text, start, end):
            words = text[span.start : span.end].replace("\n", " ").strip()
            if words and not PLACEHOLDER.fullmatch(words):
                found.append(Located(words, self.places.at(span.start)))
        return found

    def word(self, bullet: Bullet) -> Located[str] | None:
        """Return the bullet's value without backticks and emphasis, or None when it says nothing."""
        text = PLACEHOLDER.sub("", self.places.text[bullet.start : bullet.end])
        value = " ".join(text.split()).strip("`*_ ")
        return Located(value, self.places.at(bullet.start)) if value else None

    def resources(self, bullet: Bullet) -> Resources:
        """Return what `cpus=2, memory=4G, has=ssd | gpus=1, weight=0.5` asks for; alternatives stand behind `|`."""
        alternatives: list[DraftAlternative] = []
        said: dict[str, Any] = {}
        offset = bullet.start
        for part in self.places.text[bullet.start : bullet.end].split("|"):
            found = self._read_resources(part, offset, is_alternative=offset > bullet.start)
            if offset == bullet.start:
                said = found
            elif found:
                place = self.places.at(offset + len(part) - len(part.lstrip()))
                alternatives.append(DraftAlternative(place=place, **found))
            offset += len(part) + 1
        return Resources(said | ({"alternatives": tuple(alternatives)} if alternatives else {}))

    def _read_resources(self, text: str, offset: int, *, is_alternative: bool) -> dict[str, Any]:
        """Return what a list of words asks for, by fields of a draft; `offset` is where it starts."""
        found: dict[str, Any] = {}
        for piece in _LIST_SIGN.split(text):
            words = PLACEHOLDER.sub("", piece).lstrip("-*+` \t").rstrip("` \t")
            if words:
                start = offset + len(piece) - len(piece.lstrip("-*+` \t"))
                self._read_resource(words, self.places.at(start), found, is_alternative=is_alternative)
            offset += len(piece) + 1
        return found

    def rest_of_range(self, first: Located[str], last: Located[str]) -> Iterator[Located[str]]:
        """Yield the ids behind the first one of a range; a range that is none is a fault."""
        low, high = _numbered(first.value), _numbered(last.value)
        problem = _range_problem(low, high)
        if not problem and self._range_ids > _RANGES_MAX:
            problem = f"brings the ids of all ranges to more than {_RANGES_MAX:,}"
        if problem:
            message = f"the range {show(first.value)} to {show(last.value)} {problem}"
            self.fault("sot.range", message, first.place, last.place, hint=_RANGE_HINT)
            return
        width = len(low[1])
        self._range_ids += int(high[1]) - int(low[1])
        for number in range(int(low[1]) + 1, int(high[1]) + 1):
            yield Located(f"{low[0]}{number:0{width}}", last.place)

    def _starts_line(self, offset: int) -> bool:
        return offset == 0 or self.places.text[offset - 1] == "\n"

    def fault(self, code: str, message: str, *places: Place, hint: str | None = None) -> None:
        """Append one fault."""
        self.faults.append(Fault(code, message, places, hint))

    def _single(self, match: re.Match[str]) -> Iterator[Located[str]]:
        value = " ".join(match["text"].split())
        if PLACEHOLDER.search(value):
            self.placeholders += 1
        elif value:
            forbidden = amounts.forbidden_in_id(value)
            place = self.places.at(match.start() + 1)
            if forbidden is not None:
                message = f"id {show(value)} holds the control character {show(forbidden)}"
                self.fault("sot.character", message, place, hint="write the id with visible characters")
            yield Located(value, place)

    def _warn_unquoted(self, bullet: Bullet) -> None:
        """Warn of words that may have been meant as ids: list members without anything in backticks."""
        text = self.places.text
        hidden = _CODE.sub(lambda match: "`" * len(match[0]), text[bullet.start : bullet.end])
        offset = bullet.start
        for piece in _LIST_SIGN.split(hidden):
            words = PLACEHOLDER.sub("", piece)
            if "`" not in words and _WORD.search(words) and words.strip(" .").lower() not in ("none", "and"):
                message = f"{show(words.strip())} is not in backticks and is not taken as an id"
                place = self.places.at(offset + len(piece) - len(piece.lstrip()))
                self.warnings.append(Fault("sot.unquoted", message, (place,), "write ids in backticks"))
            offset += len(piece) + 1

    def _read_resource(self, words: str, place: Place, found: dict[str, Any], *, is_alternative: bool) -> None:
        try:
            name, value = parse_need(words, is_alternative=is_alternative)
        except UnknownNeed as unknown:
            message = f"{unknown}; {_KNOWN_RESOURCES} was expected"
            hint = (
                did_you_mean(unknown.key, NEED_NAMES)
                or "write one of these, or keep it as a field of its own below a task"
            )
            self.fault("sot.resource", message, place, hint=hint)
        except ValueError as error:
            key = _RESOURCE_SIGN.split(words, maxsplit=1)[0].strip().lower()
            hint = f"correct the value, or remove {show(key)}: it then has its default"
            self.fault("sot.number", f"{show(words)}: {error}", place, hint=hint)
        else:
            located = Located(value, place)
            found[name] = (*found.get(name, ()), located) if name in LABELS.values() else located


def _numbered(name: str) -> tuple[str, str]:
    """Return an id without the number at its end, and that number, which is empty when there is none."""
    prefix = name.rstrip("0123456789")
    return prefix, name[len(prefix) :]


def _range_problem(low: tuple[str, str], high: tuple[str, str]) -> str:
    """Return why two ids do not make a range; empty when they do."""
    if not low[1] or not high[1]:
        return "needs two ids that end in a number"
    if low[0] != high[0]:
        return "needs two ids with the same text before the number"
    if max(len(low[1]), len(high[1])) > _DIGITS_MAX:
        return f"has numbers of more than {_DIGITS_MAX} digits"
    number = int(high[1]) - int(low[1]) + 1
    if number > _RANGE_MAX:
        return f"has {number:,} ids; {_RANGE_MAX:,} are the most" if number < 10**15 else f"has over {10**15:,} ids"
    if number < 1:
        return "runs backwards"
    return "" if len(low[1]) == len(high[1]) else "needs numbers with equally many digits, such as `08` and `12`"
