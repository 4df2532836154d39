"""What a task is to do, as the one text that a person would write, where there is such a text."""

from __future__ import annotations

import json

from taskexec.domain.command import Command, parse_call, parse_command
from taskexec.domain.task import Task

__all__ = ["command_text", "implied_agent"]

_OWN_AGENTS = ("noop", "shell", "python")


def implied_agent(task: Task) -> str:
    """Return the agent that a task has if its source names none."""
    return "shell" if task.payload.get("commands") else "noop"


def command_text(task: Task) -> str | None:
    """Return the text of a `command` that means exactly the payload of a task, or None when there is none."""
    text = _text(task)
    if not text or text != text.strip() or "\0" in text:
        return None
    return text if _means(task, text) else None


def _text(task: Task) -> str:
    if task.agent == "python":
        return _call_text(task)
    if task.agent not in _OWN_AGENTS:
        command = task.payload.get("command")
        return command if isinstance(command, str) else ""
    commands = task.payload.get("commands")
    if not isinstance(commands, list) or len(commands) != 1:
        return ""
    try:
        return Command.from_json(commands[0]).text
    except (KeyError, TypeError, AttributeError):
        return ""


def _call_text(task: Task) -> str:
    call, arguments, named = (task.payload.get(name) for name in ("call", "args", "kwargs"))
    if not isinstance(call, str) or (arguments and named):
        return ""
    given = arguments or named
    return f"{call} {json.dumps(given, ensure_ascii=False)}" if given else call


def _means(task: Task, text: str) -> bool:
    """Return whether a reader understands a text as the payload of a task."""
    try:
        if task.agent == "python":
            call = parse_call(text)
            return task.payload == {"call": call.target, "args": list(call.args), "kwargs": dict(call.kwargs or {})}
        if task.agent not in _OWN_AGENTS:
            return task.payload == {"command": text}
        return task.payload == {"commands": [parse_command(text).to_json()]}
    except (ValueError, RecursionError):
        return False
