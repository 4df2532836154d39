"""Commands and Python calls as data, and the one rule of when a command needs a shell."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

__all__ = ["SHELL_CHARACTERS", "Call", "Command", "needs_shell", "parse_call", "parse_command"]

SHELL_CHARACTERS = "|&;<>()$`*?[]{}~!#\n"
"""A command text that holds one of these anywhere, or `=` in its first word, is given to `/bin/sh -c`.

Any other text is split into words as a POSIX shell would (quotes and backslashes) and run without a shell.
"""

_SHELL = re.compile(f"[{re.escape(SHELL_CHARACTERS)}]")
_QUOTING = re.compile(r"""[\\'"]""")
_BLANKS = re.compile(r"[ \t\r]+")
_SHELL_WORDS = ("/bin/sh", "-c")
_CALL = re.compile(r"(?P<call>[A-Za-z_][\w.]*:[A-Za-z_][\w.]*)(?:\s+(?P<arguments>[\[{].*))?\s*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Command:
    """One process to start."""

    argv: tuple[str, ...]
    """Program and arguments, at least one; for shell text `("/bin/sh", "-c", text)`."""
    cwd: str | None = None
    """Working folder, relative to the worker's project folder; None is that folder."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables that are added to the environment of the process; no name is empty or holds `=`."""

    @property
    def text(self) -> str:
        """The command as a person would write it: shell text as it is, else the words quoted."""
        is_shell_text = len(self.argv) == 3 and self.argv[:2] == _SHELL_WORDS
        return self.argv[2] if is_shell_text else shlex.join(self.argv)

    def to_json(self) -> dict[str, Any]:
        """Return the command as it stands in a task's payload."""
        shape: dict[str, Any] = {"argv": list(self.argv)}
        if self.cwd is not None:
            shape["cwd"] = self.cwd
        if self.env:
            shape["env"] = dict(self.env)
        return shape

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Command:
        """Return the command that `to_json` wrote."""
        return cls(tuple(data["argv"]), data.get("cwd"), data.get("env") or {})


@dataclass(frozen=True, slots=True)
class Call:
    """A Python callable with JSON arguments."""

    target: str
    """`module:function`, both possibly dotted."""
    args: tuple[Any, ...] = ()
    """Positional arguments, JSON values."""
    kwargs: Mapping[str, Any] | None = None
    """Named arguments, JSON values."""


def needs_shell(text: str) -> bool:
    """Return whether a command text is given to a shell (see `SHELL_CHARACTERS`)."""
    if _SHELL.search(text):
        return True
    return "=" in text and "=" in text.split(maxsplit=1)[0]


def parse_command(text: str) -> Command:
    """Return the command that a `command` cell means.

    Raises:
        ValueError: The text is empty, holds a NUL character, or has an unclosed quote.
    """
    if "\0" in text:
        raise ValueError("holds a NUL character")
    if needs_shell(text):
        return Command((*_SHELL_WORDS, text))
    words = _split_words(text)
    if not words or not words[0]:
        raise ValueError("is empty")
    return Command(tuple(words))


def _split_words(text: str) -> list[str]:
    """Split as a POSIX shell would; `shlex` takes 18 µs for the shortest text and gets quoted ones only."""
    if not _QUOTING.search(text):
        return [word for word in _BLANKS.split(text) if word]
    try:
        return shlex.split(text)
    except ValueError as error:
        raise ValueError("has an unclosed quote, or a backslash at its end") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"holds `{name}`, which is not JSON")


def parse_call(text: str) -> Call:
    """Return the call that a `command` cell of a `python` task means: `module:function [JSON arguments]`.

    A JSON object gives named arguments, a JSON array positional ones.

    Raises:
        ValueError: The text has another form, or the arguments are not JSON.
    """
    match = _CALL.fullmatch(text.strip())
    if match is None:
        raise ValueError('is not `module:function`, optionally followed by JSON arguments such as {"n": 3}')
    arguments = json.loads(match["arguments"], parse_constant=_refuse_constant) if match["arguments"] else {}
    if isinstance(arguments, list):
        return Call(match["call"], tuple(arguments))
    return Call(match["call"], (), arguments)
