"""What a task of a State of Truth is called: its id where the item has one, else its title, always a valid id.

An id stands first, in backticks or bold (`` `TASK-006` — Title ``, `**OPS-12: Title**`), or plainly before a dash or
colon (`TASK-006: Title`), or in brackets behind the title (`Title (WORKFLOW-006)`). A title of more than 200
characters is cut to 183 and gets `#` and 16 hexadecimal digits of the SHA-256 of all of it, so that the same title
always has the same id; dependencies may name the whole title all the same.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass, field

from taskexec.plan.limits import ID_MAX
from taskexec.plan.plan import normal_id
from taskexec.sources.sot.bullets import PLACEHOLDER

__all__ = ["Identity", "fit_id", "identify", "plain_name"]

_DIGEST_DIGITS = 16
_PLAIN_ID = r"[^\W\d_][^\W_]{0,40}(?:[-_.][^\W_]{1,40}){0,8}[-_]\d{1,20}[a-z]?"
_MARKED_ID = re.compile(rf"{_PLAIN_ID}|[A-Z]{{1,8}}\d[\d.]{{0,20}}[a-z]?|#\d{{1,20}}")
_STANDARD = re.compile(r"(?:AES|CP|GPT|HTTP|IEEE|ISO|MD|PEP|RFC|RSA|SHA|SHA3|UTF)[-_]\d+", re.IGNORECASE)
"""Names of standards, which stand in brackets behind a title without being its id."""
_LEADING = re.compile(
    r"(?P<id>" + _PLAIN_ID + r")(?:[ \t]*:[ \t]+|[ \t]+(?:[—–]|-{1,3})[ \t]+)(?P<rest>\S.*)", re.DOTALL
)
_WHOLE = re.compile(_PLAIN_ID)
_FIRST_WORD = re.compile(rf"(?P<id>{_PLAIN_ID})[ \t:]")
_TRAILING = re.compile(rf"[(\[]`?(?P<id>{_PLAIN_ID})`?[)\]]")
_MARKS = ("**", "__", "~~", "*", "_", "`")
_DASH = re.compile(r" (?:[—–]|-{1,3}) ")
_LINKING = " \t:—–-|"
_ID_HINT = re.compile(r"[-_]\d")
"""What every id has that is not marked; looking for it first saves most of the time."""
_TELLING = re.compile("[-*_~`<—–]")
"""What every name has that is more than its title: an id, a mark, a placeholder, a dash."""
_WORD = re.compile(r"[^\W_]")
_EMPHASIS = re.compile(r"\*\*|__|~~|`")


@dataclass(slots=True)
class Identity:
    """What an item is called."""

    id: str | None
    """The id that it states; None when its title stands for it."""
    title: str
    """Its title without the id, on one line; empty when there is only an id."""
    description: str = ""
    """What follows a name in bold."""
    names: list[str] = field(default_factory=list)
    """Further names that a dependency may call it by."""


def identify(text: str, known: Collection[str] = ()) -> Identity | None:
    """Return what an item is called, or None when its name is blank or only a placeholder.

    Args:
        text: The name as written, with what stands behind it up to the first field.
        known: Ids of the queues' tasks; one of them counts as an id where others need a number at their end.
    """
    text = " ".join(text.split())
    if text[:1].isalnum() and not _TELLING.search(text):
        return Identity(None, text)
    if _is_empty(text):
        return None
    identity = _marked(text, known) or _plain(text, known)
    if _is_empty(identity.id or identity.title):
        return None
    if _is_empty(identity.title):
        identity.title = ""
    identity.names += _further_names(text, identity.title)
    return identity


def fit_id(text: str, *, ending: str = "") -> str:
    """Return a text on one line, with an ending, as an id of at most 200 characters."""
    whole = normal_id(text + ending)
    if len(whole) <= ID_MAX:
        return whole
    digest = hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_DIGITS]
    return whole[: ID_MAX - _DIGEST_DIGITS - 1].rstrip() + "#" + digest


def plain_name(text: str) -> str:
    """Return a name in the form in which names are compared: no emphasis, case or blanks that matter."""
    if _EMPHASIS.search(text):
        text = _EMPHASIS.sub("", text)
    return normal_id(" ".join(text.split()).strip("*_ ")).casefold()


def _is_empty(text: str) -> bool:
    """Return whether a text has no letter or digit but those of placeholders."""
    return not _WORD.search(PLACEHOLDER.sub("", text) if "<" in text else text)


def _marked(text: str, known: Collection[str]) -> Identity | None:
    """Return the identity of an item that begins with something in backticks or bold."""
    for mark in _MARKS if text[0] in "*_~`" else ():
        if text.startswith(mark):
            end = text.find(mark, len(mark) + 1)
            return None if end < 0 else _of_marked(text[len(mark) : end].strip(), text[end + len(mark) :], mark, known)
    return None


def _of_marked(inner: str, rest: str, mark: str, known: Collection[str]) -> Identity | None:
    is_name = not rest or rest[0] in _LINKING
    rest = rest.lstrip(_LINKING).strip()
    inner = inner.strip("`") if mark != "`" else inner
    if is_name and (inner in known or _MARKED_ID.fullmatch(inner.rstrip(":"))):
        return Identity(inner.rstrip(":"), _without_mark(rest))
    if mark == "`" or not inner:
        return None
    if mark not in ("**", "__") and rest:  # `*new* thing` is emphasis within a name
        return None
    identity = _plain(inner.rstrip(": "), known)
    bracketed = _TRAILING.match(rest) if identity.id is None else None
    if bracketed:
        identity.id, rest = bracketed["id"], rest[bracketed.end() :].lstrip(_LINKING)
    identity.description = rest
    return identity


def _plain(text: str, known: Collection[str]) -> Identity:
    """Return the identity of an item whose name is not marked."""
    dash = _DASH.search(text) if known else None
    if dash and text[: dash.start()] in known:
        return Identity(text[: dash.start()], _without_mark(text[dash.end() :]))
    if not _ID_HINT.search(text):
        return Identity(None, text)
    leading = _LEADING.match(text)
    if leading:
        return Identity(leading["id"], _without_mark(leading["rest"]))
    if _WHOLE.fullmatch(text):
        return Identity(text, "")
    start = max(text.rfind("("), text.rfind("["))
    trailing = _TRAILING.fullmatch(text, start) if start > 0 and text[start - 1] == " " else None
    if trailing and text[:start].strip() and not _STANDARD.fullmatch(trailing["id"]):
        return Identity(trailing["id"], text[:start].strip(), names=[text])
    return Identity(None, text)


def _without_mark(text: str) -> str:
    """Return a text without the bold type around all of it."""
    for mark in _MARKS[:2]:
        inner = text[len(mark) : -len(mark)]
        if len(text) > 2 * len(mark) and text == f"{mark}{inner}{mark}" and mark not in inner:
            return inner.strip()
    return text


def _further_names(text: str, title: str) -> list[str]:
    first = _FIRST_WORD.match(title) if _ID_HINT.search(title) else None
    dash = _DASH.search(title)
    names = [text, title[: dash.start()] if dash else "", first["id"] if first else ""]
    return [name for name in names if name and name != title]
