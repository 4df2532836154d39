"""What an `Artifacts:` field names: paths one by one, with the braces of `src/{a,b}.rs` spelled out as a shell does."""

from __future__ import annotations

import re

from taskexec.sources.sot.code import hide_code

__all__ = ["list_artifacts"]

_SPELLED_MAX = 1000
"""An entry whose braces stand for more paths stays as it is written."""

_SIGN = re.compile("[,;]")
_BRACKET = re.compile(r"[(){}\[\]]")
_MARK = re.compile(r"[,;(){}\[\]]")
_TOKEN = re.compile(r"[{},]")


def list_artifacts(text: str) -> list[str]:
    """Return the artifacts in their order, repeats included.

    Commas and semicolons part them, but not within backticks or brackets; backticks are left out.

    Args:
        text: One line, such as `` `a.md`, `src/{x,y}.rs` ``.
    """
    found = []
    for entry in _split(text):
        words = " ".join(entry.split())
        if "{" in words:
            found += _spell_out(words)
        elif words:
            found.append(words)
    return found


def _split(text: str) -> list[str]:
    """Return the entries of a list, without backticks."""
    pieces = text.split("`")
    if len(pieces) % 2 and not "".join(pieces[::2]).strip(",; \t\n"):
        return pieces[1::2]
    hidden = hide_code(text)
    if "`" not in hidden and not _BRACKET.search(hidden):
        return _SIGN.split(text)
    if not _BRACKET.search(hidden):
        ends = [match.start() for match in _SIGN.finditer(hidden)]
        spans = zip([0, *(end + 1 for end in ends)], [*ends, None], strict=True)
        return [text[start:end].replace("`", "") for start, end in spans]
    is_balanced = all(hidden.count(a) == hidden.count(b) for a, b in ("()", "{}", "[]"))
    depth = start = 0
    entries = []
    for match in _MARK.finditer(hidden):
        mark = match[0]
        if mark in ",;":
            if depth <= 0:
                entries.append(text[start : match.start()].replace("`", ""))
                start = match.end()
        elif is_balanced:
            depth += 1 if mark in "({[" else -1
    return [*entries, text[start:].replace("`", "")]


def _spell_out(words: str) -> list[str]:
    """Return what the braces of one entry stand for; braces without a comma stay, unbalanced ones as well."""
    head, _, rest = words.partition("{")
    choices, closing, tail = rest.partition("}")
    if closing and "," in choices and "{" not in rest and "}" not in head and "}" not in tail:
        return [head + choice + tail for choice in choices.split(",")]
    stack: list[list[list[str]]] = [[[""]]]  # for each open brace: its alternatives, each a list of texts
    position = 0
    for token in _TOKEN.finditer(words):
        _append(stack[-1], [words[position : token.start()]])
        position = token.end()
        if token[0] == "{":
            stack.append([[""]])
        elif token[0] == "," and len(stack) > 1:
            stack[-1].append([""])
        elif token[0] == "}" and len(stack) > 1:
            _close(stack)
        else:
            _append(stack[-1], [token[0]])
        if _size(stack[-1]) > _SPELLED_MAX:
            return [words]
    _append(stack[-1], [words[position:]])
    return stack[0][0] if len(stack) == 1 else [words]


def _size(alternatives: list[list[str]]) -> int:
    return sum(len(texts) for texts in alternatives[-1:]) + len(alternatives)


def _append(alternatives: list[list[str]], tails: list[str]) -> None:
    """Continue the last alternative with each of some texts."""
    if tails != [""]:
        alternatives[-1] = [head + tail for head in alternatives[-1] for tail in tails]


def _close(stack: list[list[list[str]]]) -> None:
    """End the innermost braces: their alternatives continue what stands before them."""
    alternatives = stack.pop()
    texts = [text for texts in alternatives for text in texts]
    _append(stack[-1], texts if len(alternatives) > 1 else [f"{{{text}}}" for text in texts])
