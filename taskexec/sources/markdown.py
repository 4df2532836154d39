"""The live part of a Markdown text (with plain LF breaks): sections by heading, no comments, no code blocks.

Only as much Markdown as a State of Truth needs; rules are CommonMark's where it has one. Comments may nest,
which HTML's may not, because templates with commented-out comments are common.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["has_headings", "hide_dead_text", "sections"]

_HEADING = re.compile(r"^ {0,3}(?P<marks>#{1,6})[ \t]+(?P<text>[^\n]*?)(?:[ \t]+#+)?[ \t]*$", re.MULTILINE)
_HEADING_PREFIX = re.compile(r"(?:[A-Za-z]|\d+(?:\.\d+)*)[.):]*\s+")
_COMMENT_MARK = re.compile(r"<!--|-->")
_LIVE_TOKEN = re.compile(
    r"^[ \t]*(?:[-*+][ \t]+)?(?P<fence>`{3,}(?=[^`\n]*$)|~{3,})|(?P<code>`[^`\n]+`)|(?P<comment><!--)",
    re.MULTILINE,
)
_LINE_REST_BLANK = re.compile(r"[ \t]*(?:\n|\Z)")
_NOT_BREAK = re.compile(r"[^\n]")
_NESTING_ATTEMPTS = 50
"""After so many comments that nest but never close, nesting is given up, or a hostile file costs minutes."""


def hide_dead_text(text: str) -> str:
    """Return the text with blanks for comments and fenced code; every offset keeps its meaning.

    A comment ends where as many `-->` as `<!--` have been seen; with too few of them, at its first `-->`,
    as in HTML; without any, at the end of the text.
    """
    parts = []
    position = 0
    for start, end in _dead_spans(text):
        parts += [text[position:start], _NOT_BREAK.sub(" ", text[start:end])]
        position = end
    return "".join([*parts, text[position:]])


def sections(text: str, title: str) -> Iterator[tuple[int, int]]:
    """Yield start and end offset of what stands under each heading with a title.

    Args:
        text: Markdown without dead text.
        title: In small letters with single blanks and `&`; a heading may have a letter or number before it.
    """
    start: int | None = None
    level = 0
    for match in _HEADING.finditer(text):
        if start is not None and len(match["marks"]) <= level:
            yield start, match.start()
            start = None
        if start is None and title in _titles(match["text"]):
            start, level = match.end(), len(match["marks"])
    if start is not None:
        yield start, len(text)


def has_headings(text: str) -> bool:
    """Return whether a text has a heading."""
    return _HEADING.search(text) is not None


def _titles(heading: str) -> tuple[str, str]:
    """Return a heading's text in comparable form, with and without its leading letter or number."""
    plain = heading.replace("&amp;", "&").strip(" \t*_:")
    plain = " ".join(plain.casefold().replace(" and ", " & ").split())
    return plain, _HEADING_PREFIX.sub("", plain, count=1).lstrip("*_ ")


def _dead_spans(text: str) -> Iterator[tuple[int, int]]:
    attempts = _NESTING_ATTEMPTS
    position = 0
    while token := _LIVE_TOKEN.search(text, position):
        position = token.end()
        if token["fence"]:
            position = _fence_end(text, token.end(), token["fence"])
        elif token["comment"]:
            end = _nested_comment_end(text, token.start()) if attempts else None
            attempts -= end is None and attempts > 0
            position = _comment_end(text, token.end()) if end is None else end
        else:
            continue
        yield token.start(), position


def _fence_end(text: str, start: int, fence: str) -> int:
    closing = re.compile(rf"^[ \t]*{re.escape(fence)}{re.escape(fence[0])}*[ \t]*$", re.MULTILINE)
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
