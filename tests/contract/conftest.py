"""The stages that every contract is played on: the memory twin and a real server."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest
from support.plays import Play
from support.programs import Spec
from support.stages import MemoryStage, ServerStage, Stage

from taskexec.domain.program import RunOptions

StartRun = Callable[..., Play]

_numbers = count(1)


@pytest.fixture(params=["memory", "server"])
def stage(request: pytest.FixtureRequest) -> Stage:
    """A stage of each kind, empty."""
    if request.param == "memory":
        return MemoryStage()
    return ServerStage(request.getfixturevalue("connection"))


@pytest.fixture
def run(stage: Stage) -> StartRun:
    """Return a function that puts a run on the stage and starts it: dependencies of each task, or a `Spec`."""

    def begin(*tasks: Spec | tuple[int, ...], start: bool = True, **options: object) -> Play:
        specs = [task if isinstance(task, Spec) else Spec(after=task) for task in tasks]
        chosen = RunOptions(**({"batch_max": 1} | options))  # type: ignore[arg-type]
        return Play(stage, f"run{next(_numbers)}", specs, chosen, start=start)

    return begin
