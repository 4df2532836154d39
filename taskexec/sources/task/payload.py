"""What a task is to do, read from `payload`, `command` or `commands`: the payload that its agent gets."""

from __future__ import annotations

from typing import Any

from taskexec.sources.task.commands import CommandReader
from taskexec.sources.task.instructions import CommandWrong, payload_of
from taskexec.sources.tree.node import Node
from taskexec.sources.values.amounts import show

__all__ = ["INSTRUCTIONS", "read_payload"]

INSTRUCTIONS = ("payload", "command", "commands")
"""The fields that say what to do; a task has at most one of them."""

_CALL_HINT = 'write it as one text: `jobs:build {"n": 3}`'


def read_payload(node: Node, agent: str | None, commands: CommandReader) -> dict[str, Any]:
    """Return what a task's instructions mean to its agent; nothing when they have a fault.

    Args:
        node: The member that is one of `INSTRUCTIONS`.
        agent: The agent, or None when none is named.
        commands: Reads commands; faults go to its findings.
    """
    if node.key == "payload":
        if not node.is_object:
            commands.findings.expected(node, "an object", hint='write what the agent expects, as `{"n": 3}`')
            return {}
        plain: dict[str, Any] = node.plain()
        return plain
    if node.key == "commands":
        return {"commands": [command.to_json() for command in commands.read_list(node) or []]}
    if isinstance(node.value, str):
        return _of_text(node, node.value.strip(), agent, commands)
    if agent == "python":
        commands.findings.expected(node, "`module:function`, optionally followed by JSON arguments,", hint=_CALL_HINT)
        return {}
    argv = commands.read_words(node)
    return {} if argv is None else {"commands": [{"argv": list(argv)}]}


def _of_text(node: Node, text: str, agent: str | None, commands: CommandReader) -> dict[str, Any]:
    try:
        return payload_of(text, agent)
    except CommandWrong as wrong:
        commands.findings.fault("command", f"command {show(text)} {wrong}", node.offset, hint=wrong.hint)
        return {}
