"""The commands of a task or hook, as JSON and YAML write them: `{"cmd": …, "cwd": …, "env": {…}}`."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

from taskexec.domain.command import Command, parse_command
from taskexec.sources.tree.node import Findings, Node
from taskexec.sources.values.amounts import show

__all__ = ["COMMAND_FIELDS", "CommandReader"]

_ENV_HINT = 'write variables as an object of texts: `{"CI": "1"}`'
_QUOTE_HINT = "close the quote, or write the command as a list of words"
_EMPTY_HINT = "write the program and its arguments, or remove the command"
_NUL_HINT = "write it without NUL"

COMMAND_FIELDS = ("cmd", "cwd", "env")
"""The fields of one command."""


@dataclass(slots=True)
class CommandReader:
    """Reads commands; what is wrong becomes a fault at its value."""

    findings: Findings
    """Where faults and warnings go."""
    hint: str | None = None
    """What a fault suggests that is about the shape of the whole; None suggests what fits the place."""
    is_strict: bool = False
    """Whether an unknown field is a fault; else a warning."""
    is_confined: bool = False
    """Whether a `cwd` that is absolute, or leaves the plan's folder by `..`, is a fault."""

    def read_list(self, node: Node) -> list[Command] | None:
        """Return the commands of a list, or None when one of them has a fault."""
        if not node.is_list:
            self._expected(node, "a list of commands")
            return None
        commands = [self.read(item) for item in node.items()]
        found = [command for command in commands if command is not None]
        return found if len(found) == len(commands) else None

    def read(self, node: Node) -> Command | None:
        """Return one command, or None when it has a fault."""
        members = node.members()
        if "cmd" not in members:
            self._expected(node, "a command with `cmd`")
            return None
        for key, member in members.items():
            if key not in COMMAND_FIELDS:
                self.findings.unknown(member, COMMAND_FIELDS, is_fault=self.is_strict, owner="a command")
        argv = self.read_words(members["cmd"])
        cwd, is_usable = self._folder(members.get("cwd"))
        env = self._environment(members.get("env"))
        if argv is None or env is None or not is_usable:
            return None
        return Command(argv, cwd, env)

    def read_words(self, node: Node) -> tuple[str, ...] | None:
        """Return program and arguments of a text or of a list of words, or None when there is a fault."""
        if node.is_list:
            return self._word_list(node)
        if not isinstance(node.value, str):
            self.findings.expected(node, "a list of words or a text", hint='write `"make test"` or `["make", "test"]`')
            return None
        try:
            return parse_command(node.value).argv
        except ValueError as error:
            hint = _EMPTY_HINT if not node.value.strip() else _NUL_HINT if "\0" in node.value else _QUOTE_HINT
            self.findings.fault("shape", f"command {show(node.value)} {error}", node.offset, hint=hint)
            return None

    def _word_list(self, node: Node) -> tuple[str, ...] | None:
        for item in node.items():
            if not _is_text(item):
                self._expected_text(item)
                return None
        words = tuple(str(item.value) for item in node.items())
        if not words or not words[0]:
            self.findings.fault("shape", f"the command at {show(node.path)} is empty", node.offset, hint=_EMPTY_HINT)
            return None
        return words

    def _folder(self, node: Node | None) -> tuple[str | None, bool]:
        """Return the folder, and whether there is no fault in it."""
        if node is None or node.value is None:
            return None, True
        if not _is_text(node):
            hint = "write the path of a folder inside the plan's folder, in quotes"
            self.findings.expected(node, "the path of a folder as a text", hint=hint)
            return None, False
        return str(node.value), not self.is_confined or self._is_inside(node)

    def _is_inside(self, folder: Node) -> bool:
        """Return whether a folder is the plan's or lies in it; one outside is a fault."""
        path = posixpath.normpath(str(folder.value))
        if not (path.startswith("/") or path.split("/", 1)[0] == ".."):
            return True
        message = f"`cwd` {show(str(folder.value))} leaves the plan's folder"
        hint = "name a folder inside it, or allow others with `--allow-outside`"
        self.findings.fault("cwd", message, folder.offset, hint=hint)
        return False

    def _environment(self, node: Node | None) -> dict[str, str] | None:
        if node is None or node.value is None:
            return {}
        if not node.is_object:
            self.findings.expected(node, "an object of variables", hint=_ENV_HINT)
            return None
        wrong = [name for name, member in node.members().items() if not self._is_variable(name, member)]
        return None if wrong else {name: member.text() for name, member in node.members().items()}

    def _is_variable(self, name: str, node: Node) -> bool:
        if not name or "=" in name or "\0" in name:
            message = f"{show(name)} is no name of a variable: it must not be empty or hold `=` or NUL"
            self.findings.fault("env", message, node.key_offset, hint="name it with letters, digits and `_`")
            return False
        if node.value is None or node.is_object or node.is_list or "\0" in node.text():
            self._expected_text(node)
            return False
        return True

    def _expected_text(self, node: Node) -> None:
        is_text = isinstance(node.value, str)
        self.findings.expected(node, "a text without NUL" if is_text else "a text", hint=_NUL_HINT if is_text else None)

    def _expected(self, node: Node, expected: str) -> None:
        self.findings.expected(node, expected, hint=self.hint)


def _is_text(node: Node) -> bool:
    return isinstance(node.value, str) and "\0" not in node.value
