"""What words such as `gpus=1`, `has=ssd` and `exclusive` ask for, and alternatives written in one line of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from taskexec.domain.resources import Needs
from taskexec.domain.sizes import parse_memory_mib
from taskexec.errors import Place
from taskexec.plan.draft import DraftAlternative, Located
from taskexec.sources.values.amounts import parse_amount, parse_count, parse_positive, show
from taskexec.sources.values.words import parse_truth

__all__ = [
    "BETWEEN_ALTERNATIVES",
    "LABELS",
    "NEED_FIELDS",
    "NEED_NAMES",
    "UnknownNeed",
    "located_alternative",
    "need_words",
    "parse_alternatives",
    "parse_need",
    "parse_nodes",
    "parse_yes",
]

BETWEEN_ALTERNATIVES = re.compile(r"[;|\r\n]")
"""What parts alternatives in one text."""

LABELS = {"has": "has", "not": "has_not"}
"""What is said of a worker's labels, and its field of a draft; each word adds one."""

_BETWEEN_WORDS = re.compile(r"[,\s]+")
_SIGN = re.compile("[=:]")


class UnknownNeed(ValueError):
    """A word asks for nothing that is known."""

    def __init__(self, word: str, key: str) -> None:
        super().__init__(f"{show(word)} is not a resource")
        self.key = key
        """What stands before its sign, as `NEED_NAMES` are written."""


def parse_yes(text: str) -> bool:
    """Return what `yes`, `no` and the like mean.

    Raises:
        ValueError: The text is another word.
    """
    truth = parse_truth(text)
    if truth is None or not text:
        raise ValueError("`yes` or `no` was expected")
    return truth


def parse_nodes(text: str) -> int:
    """Return how many ranks a task has.

    Raises:
        ValueError: The text is no whole number of at least 1.
    """
    try:
        count = parse_count(text)
    except ValueError:
        count = 0
    if count < 1:
        raise ValueError("a whole number of at least 1, such as `4`, was expected")
    return count


_PARSERS: tuple[tuple[str, str, Callable[[str], Any]], ...] = (
    ("cpus", "cpus cpu cores", parse_amount),
    ("memory_mib", "memory memory_mb mem", parse_memory_mib),
    ("gpus", "gpus gpu", parse_amount),
    ("gpu_memory_mib", "gpu_memory gpu_memory_mb", parse_memory_mib),
    ("disk_mib", "disk disk_mb tmp", parse_memory_mib),
    ("has", "has constraint", str),
    ("has_not", "not has_not", str),
    ("exclusive", "exclusive", parse_yes),
    ("nodes", "nodes ranks", parse_nodes),
    ("packed", "packed", parse_yes),
    ("weight", "weight", parse_positive),
)
_BY_NAME = {name: (field, parse) for field, names, parse in _PARSERS for name in names.split()}
_BARE = frozenset({"exclusive", "packed"})
_OF_TASK = frozenset({"nodes", "packed"})

NEED_NAMES = tuple(names.split()[0] for _, names, _ in _PARSERS)
"""The words before the sign, each in its first spelling."""

NEED_FIELDS = (*(field for field, _, _ in _PARSERS if field != "weight"), "alternatives")
"""The fields of a draft task that say what it asks for."""


def parse_need(word: str, *, is_alternative: bool = False) -> tuple[str, Any]:
    """Return the field of a draft that a word such as `memory=4G` means, and its value; a label by itself.

    Args:
        word: The word.
        is_alternative: Whether an alternative says it: these have a weight, and their task says how many ranks it has.

    Raises:
        UnknownNeed: It is no resource.
        ValueError: Its value cannot be read, or it is not for an alternative to say.
    """
    key, value = _parted(word)
    field, parse = _BY_NAME.get(key, ("", None))
    if parse is None:
        raise UnknownNeed(word, key)
    if field == "weight" and not is_alternative:
        raise ValueError("it is for an alternative to say")
    if is_alternative and field in _OF_TASK:
        raise ValueError("it is for the task to say, not for an alternative")
    return field, parse(value)


def _parted(word: str) -> tuple[str, str]:
    sign = _SIGN.search(word)
    if sign:
        return "_".join(word[: sign.start()].lower().split()), word[sign.end() :].strip()
    key = word.strip().lower()
    return (key, "yes") if key in _BARE else ("", "")


def parse_alternatives(text: str) -> tuple[Mapping[str, Any], ...]:
    """Return what each alternative of `gpus=1 gpu_memory=24G; cpus=16 weight=0.5` asks for, by fields of a draft.

    Raises:
        ValueError: A word cannot be read; the text says which one, and what was expected.
    """
    return tuple(_parse_alternative(part) for part in BETWEEN_ALTERNATIVES.split(text) if part.strip())


def located_alternative(found: Mapping[str, Any], place: Place) -> DraftAlternative:
    """Return an alternative of `parse_alternatives` that stands at a place."""
    said: dict[str, Any] = {
        name: tuple(Located(label, place) for label in value) if name in LABELS.values() else Located(value, place)
        for name, value in found.items()
    }
    return DraftAlternative(place=place, **said)


def _parse_alternative(text: str) -> Mapping[str, Any]:
    found: dict[str, Any] = {}
    for word in _BETWEEN_WORDS.split(text.strip(", \t")):
        field, value = _parse_of_alternative(word)
        if field in LABELS.values():
            found[field] = (*found.get(field, ()), value)
        elif field in found:
            raise ValueError(f"{show(word)} is said a second time; `;` parts alternatives")
        else:
            found[field] = value
    return found


def _parse_of_alternative(word: str) -> tuple[str, Any]:
    try:
        return parse_need(word, is_alternative=True)
    except UnknownNeed as error:
        raise ValueError(f"{error}; words such as `cpus=16`, `gpu_memory=24G` or `weight=0.5` were expected") from error
    except ValueError as error:
        raise ValueError(f"{show(word)}: {error}") from error


def need_words(needs: Needs, weight: float = 1.0) -> list[str]:
    """Return the words for what an alternative asks for; `parse_alternatives` reads them back."""
    words = [f"cpus={_plain(needs.cpus)}"]
    if needs.memory_mib:
        words.append(f"memory={needs.memory_mib}M")
    if needs.gpus != (1.0 if needs.gpu_memory_mib else 0.0):
        words.append(f"gpus={_plain(needs.gpus)}")
    if needs.gpu_memory_mib:
        words.append(f"gpu_memory={needs.gpu_memory_mib}M")
    if needs.disk_mib:
        words.append(f"disk={needs.disk_mib}M")
    words += [f"has={label}" for label in needs.has]
    words += [f"not={label}" for label in needs.has_not]
    words += ["exclusive"] * needs.exclusive
    return words + [f"weight={_plain(weight)}"] * (weight != 1.0)


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else repr(number)
