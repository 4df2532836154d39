"""Why a text is no JSON, in our words, where exactly, and what to do about it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from taskexec.sources.tree.json_tokens import open_brackets
from taskexec.sources.values.amounts import show

__all__ = ["Problem", "describe_problem"]

_BLANK = " \t\r\n"
_WORD = re.compile(r"[^\W\d][\w$-]*")
_KEY = re.compile(r"[^\W\d][\w$-]*\s*:")
_PIECE = re.compile(r"[-+.\w]+|.", re.DOTALL)
_COMMENTS = ("//", "/*", "#")
_CURLY_QUOTES = frozenset("“”„‟«»‘’`´")
_WORDS = {"true": "true", "false": "false", "none": "null", "null": "null", "undefined": "null"}
_ESCAPE = 'write a backslash that is meant as one twice: `\\\\`; known are `\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u`'
_EXPECTED = (
    ("Expecting property name", "a key in double quotes", 'write each member as `"key": value`'),
    ("Expecting ','", "a comma or a closing bracket", 'write a comma between values, and a `"` inside a text as `\\"`'),
    ("Expecting ':'", "`:`", 'write each member as `"key": value`'),
)
"""Part of a decoder's message, what was expected, and the remedy; any other message means a value."""
_VALUE = ("", "a value", "a value is a text in double quotes, a number, `true`, `false`, `null`, `[…]` or `{…}`")


@dataclass(frozen=True, slots=True)
class Problem:
    """What keeps a text from being JSON."""

    message: str
    """What is wrong, without the words `not JSON`."""
    offsets: tuple[int, ...]
    """Where, the place of the fault first."""
    hint: str
    """What to do."""


def describe_problem(error: json.JSONDecodeError, text: str) -> Problem:
    """Return what is wrong with a text that the standard decoder refused; the same in every version of Python."""
    if not text.strip():
        return Problem("the text is empty", (0,), 'write an object: `{"key": value}`')
    if not error.msg.startswith("Expecting") and not error.msg.startswith("Illegal trailing"):
        return _in_text(error, text) or _behind(error.pos, text)
    at = error.pos
    while at < len(text) and text[at] in _BLANK:
        at += 1
    if at == len(text):
        return _cut_off(text)
    is_value = not error.msg.startswith(("Expecting ','", "Expecting ':'"))
    return (
        _comma(at, text)
        or _foreign(at, text)
        or (_word(at, text) if is_value else None)
        or _unexpected(error.msg, at, text)
    )


def _in_text(error: json.JSONDecodeError, text: str) -> Problem | None:
    """Return what is wrong inside a text in quotes, or None when there it is not."""
    if error.msg.startswith("Unterminated string"):
        return Problem('a text has no `"` at its end', (error.pos,), 'close it with `"`; the file may be cut off')
    if error.msg.startswith("Invalid control"):
        character = text[error.pos]
        if character in "\r\n":
            hint = 'close the text with `"` in its line; a line break inside it is written `\\n`'
            return Problem("a line ends inside a text in quotes", (error.pos,), hint)
        written = json.dumps(character)[1:-1]
        message = f"a text holds the control character {show(character)}"
        return Problem(message, (error.pos,), f"write it as `{written}`, or remove it")
    if error.msg.startswith("Invalid \\"):
        at = text.rfind("\\", 0, error.pos + 1)
        piece = text[at : at + (6 if text[at + 1 : at + 2] == "u" else 2)].splitlines()[0]
        return Problem(f"{show(piece)} is no escape of JSON", (at,), _ESCAPE)
    return None


def _behind(at: int, text: str) -> Problem:
    message = f"{show(_PIECE.match(text, at)[0])} stands behind the end of the value"  # type: ignore[index]  # not empty
    return Problem(message, (at,), "remove what stands there, or the closing bracket too many before it")


def _cut_off(text: str) -> Problem:
    opened = open_brackets(text)
    if not opened:
        return Problem("the text ends where a value was expected", (len(text),), _VALUE[2])
    closing = {"[": "]", "{": "}"}[text[opened[-1]]]
    message = f"the text ends before `{text[opened[-1]]}` is closed"
    hint = f"write the `{closing}` that is missing; if the file was cut off, copy or export it again"
    return Problem(message, (len(text), opened[-1]), hint)


def _comma(at: int, text: str) -> Problem | None:
    """Return what is wrong with a comma at or before an offset, or None."""
    before = len(text[:at].rstrip(_BLANK)) - 1
    behind = text[at + 1 :].lstrip(_BLANK)[:1] if text[at] == "," else text[at]
    comma = at if text[at] == "," else before
    if comma >= 0 and text[comma] == "," and behind and behind in "]}":
        return Problem(f"a comma stands before `{behind}`", (comma,), "remove the comma: the last value has none")
    if text[at] == ",":
        return Problem("a comma stands where a value was expected", (at,), "write the value, or remove the comma")
    return None


def _foreign(at: int, text: str) -> Problem | None:
    """Return which notation of other languages stands at an offset, or None."""
    if text.startswith(_COMMENTS, at):
        return Problem("a comment stands here, and JSON has none", (at,), "remove the comment")
    if text[at] == "'":
        hint = 'write double quotes around texts and keys: `"…"`'
        return Problem("a text stands in single quotes", (at,), hint)
    if text[at] in _CURLY_QUOTES:
        return Problem(f"{show(text[at])} is no quote of JSON", (at,), 'write straight double quotes: `"…"`')
    return None


def _word(at: int, text: str) -> Problem | None:
    """Return what is wrong with a word at an offset where a value or a key was expected, or None."""
    word = _WORD.match(text, at)
    if word is None:
        return None
    quoted = json.dumps(word[0], ensure_ascii=False)
    if _KEY.match(text, at):
        return Problem(
            f"key {show(word[0])} stands without quotes", (at,), f"write it in double quotes: {show(quoted)}"
        )
    meant = _WORDS.get(word[0].lower())
    if not text[:at].strip():
        return Problem(f"{show(word[0])} is no value of JSON", (at,), 'write an object: `{"key": value}`')
    hint = f"write `{meant}`" if meant else f"write a text in double quotes: {show(quoted)}"
    return Problem(f"{show(word[0])} is no value of JSON", (at,), hint)


def _unexpected(told: str, at: int, text: str) -> Problem:
    _, expected, hint = next((entry for entry in _EXPECTED if told.startswith(entry[0])), _VALUE)
    piece = _PIECE.match(text, at)
    assert piece is not None  # any character is one
    return Problem(f"{show(piece[0])} stands where {expected} was expected", (at,), hint)
