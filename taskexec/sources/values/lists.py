"""Lists in one text: words between separators, and sentences that may hold commas."""

from __future__ import annotations

import json
import re

__all__ = ["NONE_WORDS", "json_list", "split_texts", "split_words"]

_WORD_SEPARATOR = re.compile(r"[;|,\r\n]+")
_BRACKETED = re.compile(r"\[(?P<inside>[^\[\]]*)\]", re.DOTALL)
_LINES = re.compile(r"[\r\n]+")

NONE_WORDS = frozenset({"-", "—", "–", "none", "n/a", "null", "(null)", "(none)", "keine", "[]"})
"""What says that a list is empty, or an amount unknown, in small letters."""


def split_words(text: str) -> list[str]:
    """Return the words between `;`, `|`, commas and line breaks; a JSON list of texts is taken as it is."""
    if _says_nothing(text):
        return []
    words = _split(_WORD_SEPARATOR, text)
    bracketed = _BRACKETED.fullmatch(text.strip())
    if bracketed:  # `[x, y]` and `['x', 'y']`, as ClickUp and Python write them
        words = [word for part in _split(_WORD_SEPARATOR, bracketed["inside"]) if (word := part.strip("'\""))]
    return json_list(text) or words


def split_texts(text: str) -> list[str]:
    """Return the sentences of a text: between `|;`, else between lines, else between `|`, else between `;`.

    A JSON list of texts is taken as it is.
    """
    if _says_nothing(text):
        return []
    as_json = json_list(text)
    if as_json:
        return as_json
    if "|;" in text:
        return _split(re.compile(r"\|;"), text)
    for separator in (_LINES, re.compile(r"\|"), re.compile(";")):
        if separator.search(text):
            return _split(separator, text)
    return [text.strip()]


def json_list(text: str) -> list[str]:
    """Return the texts of a JSON list that is not empty; an empty list for any other text."""
    if not text.lstrip().startswith('["'):
        return []
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return []
    return found if isinstance(found, list) and all(isinstance(item, str) for item in found) else []


def _says_nothing(text: str) -> bool:
    return not text or text.isspace() or text.strip().casefold() in NONE_WORDS


def _split(separator: re.Pattern[str], text: str) -> list[str]:
    return [part for piece in separator.split(text) if (part := piece.strip())]
