"""What a bullet under a queue of a State of Truth says: ids in backticks, ranges of them, amounts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from taskexec.errors import Fault, Place
from taskexec.plan.draft import Located
from taskexec.sources import values
from taskexec.sources.text_places import TextPlaces
from taskexec.sources.values import show

__all__ = ["PLACEHOLDER", "Bullet", "BulletReader", "Resources"]

PLACEHOLDER = re.compile(r"<[^<>`\r\n]+>")
"""Text that a template asks a person to fill in; it never means anything itself."""

_CODE = re.compile(r"`(?P<text>[^`]*)`")
_RANGE_SIGN = re.compile(r"\s*[—–]\s*|[ \t]*-\s*")  # a hyphen behind a line break starts a bullet
_NUMBERED_ID = re.compile(r"(?P<prefix>.*?)(?P<number>[0-9]+)", re.DOTALL)
_LIST_SIGN = re.compile(r"[,;\r\n]")
_WORD = re.compile(r"\w")
_RESOURCE = re.compile(r"\s*(?P<key>[A-Za-z_]+)\s*[=:]\s*(?P<value>[^,;=]*?)\s*")
_RANGE_MAX = 100_000
"""More ids than this in one range are a slip of the pen."""


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
    """What each task of a queue asks for; None means that the bullet does not say."""

    cpus: Located[float] | None = None
    memory_mib: Located[int] | None = None
    gpus: Located[float] | None = None


@dataclass(slots=True)
class BulletReader:
    """Reads the values of bullets; what cannot be read is appended to `faults` or `warnings`."""

    places: TextPlaces
    """The text that the bullets' offsets belong to."""
    faults: list[Fault] = field(default_factory=list)
    warnings: list[Fault] = field(default_factory=list)

    def ids(self, bullet: Bullet) -> list[Located[str]]:
        """Return the ids in backticks in their order, ranges spelled out, placeholders left out."""
        found: list[Located[str]] = []
        text = self.places.text
        previous: re.Match[str] | None = None
        for match in _CODE.finditer(text, bullet.start, bullet.end):
            between = text[previous.end() : match.start()] if previous else ""
            if not previous or not _RANGE_SIGN.fullmatch(between):
                found.extend(self._single(match))
            elif not PLACEHOLDER.search(previous["text"] + match["text"]):
                found.extend(self._rest_of_range(previous, match))
            previous = match
        self._warn_unquoted(bullet)
        return found

    def word(self, bullet: Bullet) -> Located[str] | None:
        """Return the bullet's value without backticks and emphasis, or None when it says nothing."""
        text = PLACEHOLDER.sub("", self.places.text[bullet.start : bullet.end])
        value = " ".join(text.split()).strip("`*_ ")
        return Located(value, self.places.at(bullet.start)) if value else None

    def resources(self, bullet: Bullet) -> Resources:
        """Return the amounts of `cpus=2, memory=4G, gpus=1`."""
        resources = Resources()
        text = self.places.text
        offset = bullet.start
        for piece in _LIST_SIGN.split(text[bullet.start : bullet.end]):
            words = PLACEHOLDER.sub("", piece).strip("` \t")
            if words:
                start = offset + len(piece) - len(piece.lstrip("` \t"))
                self._read_resource(words, self.places.at(start), resources)
            offset += len(piece) + 1
        return resources

    def fault(self, code: str, message: str, *places: Place, hint: str | None = None) -> None:
        """Append one fault."""
        self.faults.append(Fault(code, message, places, hint))

    def _single(self, match: re.Match[str]) -> Iterator[Located[str]]:
        value = " ".join(match["text"].split())
        if value and not PLACEHOLDER.search(value):
            forbidden = values.forbidden_in_id(value)
            place = self.places.at(match.start() + 1)
            if forbidden is not None:
                message = f"id {show(value)} holds the control character {show(forbidden)}"
                self.fault("sot.character", message, place)
            yield Located(value, place)

    def _rest_of_range(self, first: re.Match[str], last: re.Match[str]) -> Iterator[Located[str]]:
        """Yield the ids behind the first one of a range, which has been read already."""
        place = self.places.at(last.start() + 1)
        low = _NUMBERED_ID.fullmatch(first["text"].strip())
        high = _NUMBERED_ID.fullmatch(last["text"].strip())
        problem = _range_problem(low, high)
        if low is None or high is None or problem:
            message = f"the range {show(first['text'])} to {show(last['text'])} {problem}"
            hint = "write the ids one by one, separated by commas"
            self.fault("sot.range", message, self.places.at(first.start() + 1), place, hint=hint)
            return
        width = len(low["number"])
        for number in range(int(low["number"]) + 1, int(high["number"]) + 1):
            yield Located(f"{low['prefix']}{number:0{width}}", place)

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

    def _read_resource(self, words: str, place: Place, resources: Resources) -> None:
        match = _RESOURCE.fullmatch(words)
        key = match["key"].lower() if match else ""
        try:
            if match and key in ("cpus", "cpu"):
                resources.cpus = Located(values.parse_amount(match["value"]), place)
            elif match and key in ("gpus", "gpu"):
                resources.gpus = Located(values.parse_amount(match["value"]), place)
            elif match and key in ("memory", "memory_mb"):
                resources.memory_mib = Located(values.parse_memory_mib(match["value"]), place)
            else:
                message = f"{show(words)} is not a resource; `cpus=2`, `memory=4G` or `gpus=1` was expected"
                self.fault("sot.resource", message, place)
        except ValueError as error:
            self.fault("sot.number", f"{show(words)}: {error}", place)


def _range_problem(low: re.Match[str] | None, high: re.Match[str] | None) -> str:
    """Return why two ids do not make a range; empty when they do."""
    if low is None or high is None:
        return "needs two ids that end in a number"
    if low["prefix"] != high["prefix"]:
        return "needs two ids with the same text before the number"
    if len(low["number"]) != len(high["number"]):
        return "needs numbers with equally many digits"
    if int(low["number"]) > int(high["number"]):
        return "runs backwards"
    return "" if int(high["number"]) - int(low["number"]) < _RANGE_MAX else f"has more than {_RANGE_MAX} ids"
