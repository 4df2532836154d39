"""What the text of a `command` means to an agent, and which text means what a task is to do: both ways in one place."""

from __future__ import annotations

import json
from typing import Any

import orjson

from taskexec.domain.command import Command, parse_call, parse_command
from taskexec.domain.task import Task

__all__ = ["NEED_COMMAND", "CommandWrong", "command_text", "implied_agent", "payload_of", "takes_text"]

NEED_COMMAND = ("shell", "python")
"""The agents that do nothing without a command."""

_OWN_AGENTS = ("noop", *NEED_COMMAND)
_CALL_HINT = 'write `module:function`, its arguments behind it as JSON: `jobs:build {"n": 3}`'
_QUOTE_HINT = "quote as in a POSIX shell: close each quote, and write a backslash twice"
_EMPTY_HINT = "write what is to be run, or take the command out"


class CommandWrong(ValueError):
    """A text is no command of its agent; says what is wrong, fit to stand behind it, and what to do about it."""

    def __init__(self, problem: str, hint: str) -> None:
        super().__init__(problem)
        self.hint = hint


def takes_text(agent: str | None) -> bool:
    """Return whether an agent gets the text of a command as it stands: those of other packages do."""
    return agent is not None and agent not in _OWN_AGENTS


def payload_of(text: str, agent: str | None) -> dict[str, Any]:
    """Return what a command means to an agent: a call to `python`, one command to `shell` and `noop`, else the text.

    Args:
        text: The command, without blanks around it.
        agent: Name of the agent; None is `shell`.

    Raises:
        CommandWrong: It is none that the agent could perform.
    """
    if takes_text(agent):
        return {"command": text}
    try:
        if agent != "python":
            return {"commands": [parse_command(text).to_json()]}
        call = parse_call(text)
        payload = {"call": call.target, "args": list(call.args), "kwargs": dict(call.kwargs or {})}
        orjson.dumps(payload)  # refuses what no store can hold
    except (ValueError, RecursionError, TypeError) as error:
        hint = _CALL_HINT if agent == "python" else _EMPTY_HINT if str(error) == "is empty" else _QUOTE_HINT
        raise CommandWrong(_problem(error), hint) from error
    return payload


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
    if takes_text(task.agent):
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
        return task.payload == payload_of(text, task.agent)
    except CommandWrong:
        return False


def _problem(error: ValueError | RecursionError | TypeError) -> str:
    if isinstance(error, RecursionError):
        return "has arguments that are nested too deep"
    if isinstance(error, json.JSONDecodeError):
        return f"has arguments that are not JSON: {error.msg}, at character {error.pos + 1} of them"
    if isinstance(error, TypeError) or "digits" in str(error):
        return "has arguments that cannot be stored, such as whole numbers beyond 64 bits"
    return str(error)
