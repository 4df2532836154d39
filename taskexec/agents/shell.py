"""The agent of commands: runs each in turn, stops at the first that fails."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskexec.agents.base import Assignment, Exit, Outcome, ProcessRunner
from taskexec.domain.command import Command
from taskexec.domain.states import Reason
from taskexec.domain.task import JSON

__all__ = ["ShellAgent"]


class ShellAgent:
    """Runs the payload's `commands`: `[{"argv": [program, argument, …], "cwd": folder, "env": {name: value}}]`.

    Values of variables may be secrets: neither messages nor records nor descriptions hold them.
    """

    def check(self, payload: Mapping[str, JSON]) -> None:
        """Refuse a payload without commands, or with one whose words, folder or variables have another form."""
        commands = payload.get("commands")
        if not isinstance(commands, list) or not commands:
            raise ValueError("a `shell` task needs at least one command")
        for command in commands:
            if not isinstance(command, dict):
                raise ValueError(f"`{command}` is not a command: expected an object with `argv`")
            _check_command(command)

    def describe(self, assignment: Assignment) -> str:
        """Return the commands that would run, with the names of their variables."""
        return "; ".join("run " + _description(command) for command in _commands(assignment))

    def perform(self, assignment: Assignment, runner: ProcessRunner) -> Outcome:
        """Run the commands; the attempt fails with the first one that does."""
        done: list[dict[str, Any]] = []
        last = Exit(0, None, 0.0)
        for command in _commands(assignment):
            try:
                last = runner.run(command)
            except OSError as error:
                return _not_started(command, error, done)
            done.append(_account(command, exit_status=last.status, duration_s=last.duration_s))
            failure = last.failure()
            if failure is not None:
                reason, words = failure
                error_text = f"`{_shown(command)}`: {words}"
                return Outcome(
                    succeeded=False,
                    reason=reason,
                    error=error_text,
                    exit_status=last.status,
                    signal=last.signal,
                    commands=done,
                )
        try:
            result = runner.written_result()
        except ValueError as error:
            return Outcome(succeeded=False, reason=Reason.EXIT, error=str(error), exit_status=0, commands=done)
        return Outcome(succeeded=True, exit_status=last.status, result=result, commands=done)


def _check_command(command: Mapping[str, JSON]) -> None:
    argv = command.get("argv")
    if not isinstance(argv, list) or not argv or not all(isinstance(word, str) for word in argv):
        raise ValueError(f"`{argv}` is not a command: expected a list of words in `argv`")
    if not isinstance(command.get("cwd"), str | None):
        raise ValueError(f"`{command['cwd']}` is not a folder: expected a text in `cwd`")
    variables = command.get("env")
    if variables is None:
        return
    if not isinstance(variables, dict):
        raise ValueError("`env` of a command is not an object of names and texts")
    for name, value in variables.items():
        if not isinstance(name, str) or not name or "=" in name or "\0" in name:
            raise ValueError(f"{name!r} in `env` is not the name of a variable: expected a text without `=` and NUL")
        if not isinstance(value, str) or "\0" in value:
            raise ValueError(f"the value of `{name}` in `env` is not a text without NUL")


def _description(command: Command) -> str:
    return " ".join([*(f"{name}=…" for name in command.env), command.text])


def _account(command: Command, *, exit_status: int | None, duration_s: float) -> dict[str, JSON]:
    """Return what the record says of a command that was executed."""
    account = command.to_json()
    if command.env:
        account["env"] = list(command.env)
    return account | {"exit_status": exit_status, "duration_s": round(duration_s, 6)}


def _commands(assignment: Assignment) -> list[Command]:
    return [Command.from_json(data) for data in assignment.payload["commands"]]


def _shown(command: Command) -> str:
    text = command.text
    return text if len(text) <= 80 else text[:79] + "…"


def _not_started(command: Command, error: OSError, done: list[dict[str, Any]]) -> Outcome:
    where = f" in `{command.cwd}`" if command.cwd else ""
    text = f"`{command.argv[0]}` cannot be started{where}: {error.strerror or error}"
    done.append(_account(command, exit_status=127, duration_s=0.0))
    return Outcome(succeeded=False, reason=Reason.EXIT, error=text, exit_status=127, commands=done)
