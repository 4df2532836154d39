"""The commands of a task or hook, as JSON and YAML write them: `{"cmd": …, "cwd": …, "env": {…}}`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from taskexec.domain.command import Command, parse_command
from taskexec.sources.tree.node import Findings, Node
from taskexec.sources.values.amounts import show

__all__ = ["COMMAND_FIELDS", "CommandReader"]

COMMAND_FIELDS = ("cmd", "cwd", "env")
"""The fields of one command."""


@dataclass(slots=True)
class CommandReader:
    """Reads commands; what is wrong becomes a fault at its value."""

    findings: Findings
    """Where faults and warnings go."""
    hint: str | None = None
    """What every fault of shape suggests."""
    is_strict: bool = False
    """Whether an unknown field is a fault; else a warning."""
    check_folder: Callable[[Node], bool] = lambda _folder: True
    """Returns whether a `cwd` may be used; what is wrong with it, it has said itself."""

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
            self._expected(node, "a list of words or a text")
            return None
        try:
            return parse_command(node.value).argv
        except ValueError as error:
            self.findings.fault("shape", f"command {show(node.value)} {error}", node.offset, hint=self.hint)
            return None

    def _word_list(self, node: Node) -> tuple[str, ...] | None:
        for item in node.items():
            if not _is_text(item):
                self._expected(item, "a text without NUL")
                return None
        words = tuple(str(item.value) for item in node.items())
        if not words or not words[0]:
            self.findings.fault("shape", f"the command at {show(node.path)} is empty", node.offset, hint=self.hint)
            return None
        return words

    def _folder(self, node: Node | None) -> tuple[str | None, bool]:
        """Return the folder, and whether there is no fault in it."""
        if node is None or node.value is None:
            return None, True
        if not _is_text(node):
            self._expected(node, "a folder")
            return None, False
        return str(node.value), self.check_folder(node)

    def _environment(self, node: Node | None) -> dict[str, str] | None:
        if node is None or node.value is None:
            return {}
        if not node.is_object:
            self._expected(node, "an object of variables")
            return None
        wrong = [name for name, member in node.members().items() if not self._is_variable(name, member)]
        return None if wrong else {name: member.text() for name, member in node.members().items()}

    def _is_variable(self, name: str, node: Node) -> bool:
        if not name or "=" in name or "\0" in name:
            message = f"{show(name)} is no name of a variable: it must not be empty or hold `=` or NUL"
            self.findings.fault("env", message, node.key_offset)
            return False
        if node.value is None or node.is_object or node.is_list or "\0" in node.text():
            self._expected(node, "a text without NUL")
            return False
        return True

    def _expected(self, node: Node, expected: str) -> None:
        self.findings.expected(node, expected, hint=self.hint)


def _is_text(node: Node) -> bool:
    return isinstance(node.value, str) and "\0" not in node.value
