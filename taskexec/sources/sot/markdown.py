"""The live part of a Markdown text (with plain LF breaks): headings and lines, no comments, no code blocks.

Only as much Markdown as a State of Truth needs; rules are CommonMark's where it has one. Comments may nest,
which HTML's may not, because templates with commented-out comments are common. Everything takes time that grows
with the length of the text, whatever it holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

__all__ = [
    "Heading",
    "Line",
    "LiveText",
    "has_headings",
    "headings",
    "hide_dead_text",
    "read_live_text",
    "sections",
    "split_lines",
]

_HEADING = re.compile(
    r"^ {0,3}(?P<marks>#{1,6})(?P<text>[ \t][^\n]*)?$"
    r"|^ {0,3}(?P<title>[^\s#>|*+\-0-9][^\n]*)\n {0,3}(?P<rule>=+|--+)[ \t]*$",
    re.MULTILINE,
)
_HEADING_PREFIX = re.compile(r"(?:[A-Za-z]|\d++(?:\.\d++)*+)[.):]*+\s+")
_COMMENT_MARK = re.compile(r"<!--|-->")
_LIVE_TOKEN = re.compile(
    r"^[ \t]*(?:[-*+][ \t]+)?(?P<fence>`{3,}(?=[^`\n]*$)|~{3,})|(?P<code>`[^`\n]+`)|(?P<comment><!--)",
    re.MULTILINE,
)
_DEAD_MARKS = ("<!--", "```", "~~~")
_FENCE_AT_END = re.compile(r"^[ \t]*(?:`{3,}|~{3,})[ \t]*\Z", re.MULTILINE)
_LINE_REST_BLANK = re.compile(r"[ \t]*(?:\n|\Z)")
_BULLETS = ("- ", "* ", "+ ")
_MARK = re.compile(r"(?:[-*+]|[0-9]{1,9}[.)])(?=[ \t]|\Z)[ \t]*")
_MARK_BEGINS = frozenset("-*+0123456789")
_TAB = 4
_NESTING_ATTEMPTS = 50
"""After so many comments that nest but never close, nesting is given up, or a hostile file costs minutes."""


@dataclass(frozen=True, slots=True)
class LiveText:
    """A text with blanks for what is dead in it; every offset keeps its meaning."""

    text: str
    comments: int
    """How many comments were hidden, nested ones counted with the one around them."""
    code_blocks: int
    """How many fenced blocks were hidden."""
    open_comment: int | None = None
    """Where a comment begins that is never closed, so that it hides the rest."""
    open_fence: int | None = None
    """The same for a fenced block."""


@dataclass(frozen=True, slots=True)
class Heading:
    """One heading, underlined ones included."""

    level: int
    """1 to 6."""
    text: str
    """Without its marks."""
    start: int
    end: int


class Line(NamedTuple):
    """One line, by offsets of the text."""

    start: int
    end: int
    """Where the line break stands, or the text ends."""
    indent: int
    """Columns of blanks before anything else, tabs to every fourth column."""
    body: int
    """Where the text starts, behind the list mark if there is one."""
    is_listed: bool
    """Whether it has a list mark: a bullet or a number."""
    text: str
    """From `body` on."""


def read_live_text(text: str) -> LiveText:
    """Return a text with blanks for comments and fenced code.

    A comment ends where as many `-->` as `<!--` have been seen; with too few of them, at its first `-->`,
    as in HTML; without any, at the end of the text.
    """
    parts = []
    position = comments = code_blocks = 0
    open_comment = open_fence = None
    for start, end, is_comment in _dead_spans(text):
        blanks = "\n".join(" " * len(line) for line in text[start:end].split("\n"))
        parts += [text[position:start], blanks]
        position = end
        comments += is_comment
        code_blocks += not is_comment
        if is_comment and end == len(text) and not text.endswith("-->"):
            open_comment = start
        elif not is_comment and end == len(text) and not _FENCE_AT_END.search(text, text.find("\n", start) + 1):
            open_fence = start
    return LiveText("".join([*parts, text[position:]]), comments, code_blocks, open_comment, open_fence)


def hide_dead_text(text: str) -> str:
    """Return a text with blanks for comments and fenced code, as `read_live_text` does."""
    return read_live_text(text).text


def headings(text: str) -> Iterator[Heading]:
    """Yield the headings of a text without dead text."""
    for match in _HEADING.finditer(text):
        if match["title"] is not None:
            yield Heading(1 if match["rule"][0] == "=" else 2, match["title"].strip(), match.start(), match.end())
        else:
            yield Heading(len(match["marks"]), _without_closing_marks(match["text"] or ""), match.start(), match.end())


def sections(text: str, title: str, *, found: Iterable[Heading] | None = None) -> Iterator[tuple[int, int]]:
    """Yield start and end offset of what stands under each heading with a title.

    Args:
        text: Markdown without dead text.
        title: In small letters with single blanks and `&`; a heading may have a letter or number before it.
        found: The text's headings, for those who have them.
    """
    start: int | None = None
    level = 0
    for heading in headings(text) if found is None else found:
        if start is not None and heading.level <= level:
            yield start, heading.start
            start = None
        if start is None and title in _titles(heading.text):
            start, level = heading.end, heading.level
    if start is not None:
        yield start, len(text)


def has_headings(text: str) -> bool:
    """Return whether a text has a heading with `#`."""
    return any(match["marks"] and match["text"] for match in _HEADING.finditer(text))


def split_lines(text: str, start: int = 0, end: int | None = None) -> Iterator[Line]:
    """Yield the lines of a text between two offsets; what stands there of a line counts as one."""
    for whole in text[start:end].split("\n"):
        body = whole.lstrip(" \t")
        indent = len(whole) - len(body)
        if indent and "\t" in whole[:indent]:
            indent = len(whole[:indent].expandtabs(_TAB))
        text_behind = _behind_mark(body)
        stop = start + len(whole)
        if text_behind is None:
            yield Line(start, stop, indent, stop - len(body), False, body)
        else:
            yield Line(start, stop, indent, stop - len(text_behind), True, text_behind)
        start = stop + 1


def _behind_mark(body: str) -> str | None:
    """Return what stands behind a line's list mark, or None when it has none."""
    if body.startswith(_BULLETS):
        return body[2:].lstrip(" \t")
    mark = _MARK.match(body) if body[:1] in _MARK_BEGINS else None
    return None if mark is None else body[mark.end() :]


def _without_closing_marks(text: str) -> str:
    text = text.strip(" \t")
    stripped = text.rstrip("#")
    return stripped.rstrip(" \t") if stripped[-1:] in ("", " ", "\t") else text


def _titles(heading: str) -> tuple[str, str]:
    """Return a heading's text in comparable form, with and without its leading letter or number."""
    plain = heading.replace("&amp;", "&").strip(" \t*_:")
    plain = " ".join(plain.casefold().replace(" and ", " & ").split())
    prefix = _HEADING_PREFIX.match(plain)
    return plain, plain[prefix.end() if prefix else 0 :].lstrip("*_ ")


def _dead_spans(text: str) -> Iterator[tuple[int, int, bool]]:
    """Yield start and end of what is dead, and whether it is a comment."""
    attempts = _NESTING_ATTEMPTS
    position = 0
    last = max(map(text.rfind, _DEAD_MARKS))
    while position <= last and (token := _LIVE_TOKEN.search(text, position)):
        position = token.end()
        if token["fence"]:
            position = _fence_end(text, token.end(), token["fence"])
        elif token["comment"]:
            end = _nested_comment_end(text, token.start()) if attempts else None
            attempts -= end is None and attempts > 0
            position = _comment_end(text, token.end()) if end is None else end
        else:
            continue
        yield token.start(), position, token["comment"] is not None


def _fence_end(text: str, start: int, fence: str) -> int:
    closing = re.compile(rf"^[ \t]*{re.escape(fence[0])}{{{len(fence)},}}[ \t]*$", re.MULTILINE)
    match = closing.search(text, start)
    return match.end() if match else len(text)


def _nested_comment_end(text: str, start: int) -> int | None:
    """Return where a comment ends if the ones in it are closed too, else None.

    The last mark of several must end its line: an arrow `A --> B` far below closes nothing.
    """
    depth = deepest = 0
    for mark in _COMMENT_MARK.finditer(text, start):
        depth += 1 if mark[0] == "<!--" else -1
        deepest = max(depth, deepest)
        if depth == 0:
            return mark.end() if deepest == 1 or _LINE_REST_BLANK.match(text, mark.end()) else None
    return None


def _comment_end(text: str, start: int) -> int:
    end = text.find("-->", start)
    return len(text) if end < 0 else end + len("-->")
