"""What PyYAML's messages mean in our words, and what to do about them."""

from __future__ import annotations

import yaml

__all__ = ["describe_problem"]

_QUOTE = "put a text that holds `: `, ` #`, or begins with one of `[]{}*&!|>%@` in quotes"
_TAB = "indent with spaces: YAML does not allow tabs there"
_ESCAPE = "write each backslash of a text in double quotes twice, or use single quotes"
_ANY = "look for a quote, a bracket or an indentation that is not as meant, here or in the lines before"
_REMEDIES = (
    ("cannot start any token", _QUOTE),
    ("mapping values are not allowed", "indent the line as those beside it, or " + _QUOTE),
    ("could not find expected ':'", "write `key: value`, and put a text of several lines in quotes or behind `|`"),
    ("did not find expected key", "indent all keys of an object alike, and " + _QUOTE),
    ("did not find expected '-' indicator", "indent all items of a list alike"),
    ("block end", "indent what belongs together alike, and " + _QUOTE),
    ("expected ',' or", "close the bracket; in brackets, put texts that hold `,[]{}` in quotes"),
    ("undefined tag handle", "remove the tag, or put the text in quotes"),
    ("undefined alias", "put a text that begins with `*` in quotes"),
    ("scanning an alias", "put a text that begins with `*` in quotes, such as a pattern of file names"),
    ("scanning an anchor", "put a text that begins with `&` in quotes"),
    ("unknown escape", _ESCAPE),
    ("hexadecimal number", _ESCAPE),
    ("end of stream", "close what is open: a quote or a bracket"),
    ("document start", "write `key: value` lines only; `---` may stand once, at the beginning"),
)
"""Part of a message, and the remedy; the first that is found counts."""


def describe_problem(error: yaml.MarkedYAMLError, text: str) -> tuple[str, str]:
    """Return what is wrong with a text that is no YAML, and what to do about it."""
    problem = " ".join(part for part in (error.problem, error.context) if part) or "it cannot be read"
    problem = problem.replace("hexdecimal", "hexadecimal")  # as libyaml spells it
    begin, end = error.context_mark, error.problem_mark
    if error.problem and begin is not None and end is not None and begin.line != end.line:
        problem += f", which begins in line {begin.line + 1}"
    if end is not None and text[end.index : end.index + 1] == "\t":
        return f"not YAML: a tab stands where none may: {problem}", _TAB
    lowered = problem.lower()
    return f"not YAML: {problem}", next((remedy for part, remedy in _REMEDIES if part in lowered), _ANY)
