"""The fields of a task in a State of Truth that say how it is tried again, until when, and which files it declares."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from taskexec.plan.draft import DraftTask, Located
from taskexec.sources.sot.bullets import Bullet, BulletReader
from taskexec.sources.sot.code import hide_code
from taskexec.sources.values.attempts import parse_backoff, parse_factor, parse_reasons, parse_share
from taskexec.sources.values.durations import parse_duration_s
from taskexec.sources.values.instants import parse_instant

__all__ = ["PATHS", "POLICY", "give_value", "read_paths", "seconds_above_zero"]

_BETWEEN_COMMAS = re.compile(r"[^,;\s][^,;]*")
_OF_RETRY = "retry."


def seconds_above_zero(text: str) -> float:
    """Return the seconds of a duration.

    Raises:
        ValueError: The text is none, or nothing.
    """
    seconds = parse_duration_s(text)
    if seconds <= 0:
        raise ValueError("a duration above 0 was expected")
    return seconds


POLICY: dict[str, tuple[str, Callable[[str], Any]]] = {
    "total timeout": ("total_timeout_s", seconds_above_zero),
    "deadline": ("deadline_at", parse_instant),
    "retry delay": (f"{_OF_RETRY}delay_s", parse_duration_s),
    "retry backoff": (f"{_OF_RETRY}backoff", parse_backoff),
    "retry factor": (f"{_OF_RETRY}factor", parse_factor),
    "retry max delay": (f"{_OF_RETRY}max_delay_s", seconds_above_zero),
    "retry jitter": (f"{_OF_RETRY}jitter", parse_share),
    "retry on": (f"{_OF_RETRY}on", parse_reasons),
    "retry memory": (f"{_OF_RETRY}memory_factor", parse_factor),
}
"""For each key: the field that `give_value` knows, and what reads it."""

PATHS = ("inputs", "outputs")
"""The keys of files that a task declares; fields of `DraftTask` as well."""


def give_value(draft: DraftTask, field: str, value: Located[Any]) -> None:
    """Give a task one value of `POLICY`, or of any field of a draft."""
    if field.startswith(_OF_RETRY):
        draft.retry = {**(draft.retry or {}), field.removeprefix(_OF_RETRY): value}
    else:
        setattr(draft, field, value)


def read_paths(bullets: BulletReader, bullet: Bullet) -> tuple[list[Located[str]], list[Located[str]]]:
    """Return what stands in backticks in a bullet, and what stands between commas without any."""
    paths: list[Located[str]] = []
    words: list[Located[str]] = []
    for start, end in bullets.pieces(bullet):
        for match in _BETWEEN_COMMAS.finditer(hide_code(bullets.places.text[start:end])):
            codes = bullets.codes(start + match.start(), start + match.end())
            text = bullets.text(Bullet("", start, start + match.start(), start + match.end()))
            paths += codes
            if text and not codes:
                words.append(Located(text, bullets.places.at(start + match.start())))
    return paths, words
