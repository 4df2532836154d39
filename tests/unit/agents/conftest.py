"""Assignments, and a runner that starts nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from taskexec.agents import Assignment, Exit
from taskexec.domain.command import Command


class ScriptedRunner:
    """Notes what it is asked for and gives the exits it was made with, in order."""

    def __init__(self, *exits: Exit | Exception, result: Any = None) -> None:
        self.commands: list[Command] = []
        self.requests: list[Mapping[str, Any]] = []
        self._exits = list(exits)
        self._result = result

    def run(self, command: Command) -> Exit:
        self.commands.append(command)
        return self._next()

    def ask(self, argv: Sequence[str], request: Mapping[str, Any]) -> Exit:
        self.requests.append(request)
        return self._next()

    def written_result(self) -> Any:
        if isinstance(self._result, Exception):
            raise self._result
        return self._result

    def _next(self) -> Exit:
        exit_ = self._exits.pop(0)
        if isinstance(exit_, Exception):
            raise exit_
        return exit_


@pytest.fixture(scope="session")
def scripted() -> type[ScriptedRunner]:
    """Return the runner's class."""
    return ScriptedRunner


@pytest.fixture(scope="session")
def assigned() -> Callable[..., Assignment]:
    """Return the first attempt at a task with this payload and these inputs."""

    def assignment(payload: Mapping[str, Any], **inputs: Any) -> Assignment:
        return Assignment(run_id="r", task_id="t", attempt=1, payload=payload, inputs=inputs)

    return assignment
