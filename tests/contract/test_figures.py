"""The figures of a cluster are those of what was played on it."""

from __future__ import annotations

import pytest
from support.plays import Play
from support.programs import Spec
from support.stages import ServerStage

from taskexec.domain.program import RunOptions
from taskexec.domain.states import TaskStatus
from taskexec.store.connection import Connection
from taskexec.store.figures import Figures, RedisFigures


@pytest.fixture
def stage(connection: Connection) -> ServerStage:
    return ServerStage(connection)


def figures(stage: ServerStage) -> Figures:
    return RedisFigures(stage.connection).read()


def play(stage: ServerStage, run_id: str, *specs: Spec, **options: object) -> Play:
    return Play(stage, run_id, list(specs), RunOptions(**({"batch_max": 1} | options)))  # type: ignore[arg-type]


def test_empty_server_has_nothing(stage: ServerStage) -> None:
    found = figures(stage)

    assert (found.runs, found.runs_past_deadline, dict(found.counted)) == (0, 0, {})
    assert sum(found.tasks.values()) == 0
    assert found.server is not None
    assert 0 < found.server.memory_used_bytes < found.server.memory_limit_bytes


def test_tasks_are_counted_by_where_they_stand(stage: ServerStage) -> None:
    run = play(stage, "run", Spec(), Spec(), Spec(after=(0,)), Spec(after=(0, 1)), Spec(is_satisfied=True))
    run.claim((0, 1))

    found = figures(stage)

    assert dict(found.tasks) == {
        TaskStatus.WAITING: 2,
        TaskStatus.READY: 0,
        TaskStatus.QUEUED: 1,
        TaskStatus.RUNNING: 1,
    }
    assert dict(found.running) == {"noop": 1, "": 0}
    assert found.queued["cpu"] == 1
    assert found.runs == 1


def test_backlog_waits_for_its_turn(stage: ServerStage) -> None:
    stage.set_slots("cpu", 1)
    play(stage, "run", *[Spec() for _ in range(40)])

    found = figures(stage)

    assert found.held["turn"] == 40 - found.tasks[TaskStatus.QUEUED] > 0
    assert found.queued["cpu"] == 40


def test_oldest_wait_is_that_of_its_route(stage: ServerStage) -> None:
    run = play(stage, "old", Spec(route="cpu"))
    stage.advance(run.run_id, 100.0, *run.lists)
    play(stage, "new", Spec(route="cpu"), Spec(route="gpu"))

    found = figures(stage)

    assert 100 <= found.oldest_s["cpu"] < 110
    assert 0 <= found.oldest_s["gpu"] < 10


def test_run_whose_time_is_up_is_told_until_somebody_stops_it(stage: ServerStage) -> None:
    run = play(stage, "run", Spec(), timeout_s=5.0)
    run.pass_time(10)
    assert figures(stage).runs_past_deadline == 1

    run.reap()

    assert figures(stage).runs_past_deadline == figures(stage).runs == 0


def test_number_of_questions_does_not_grow_with_tasks_or_runs(stage: ServerStage) -> None:
    def round_trips() -> int:
        asked: list[int] = []
        pipeline, call = stage.connection.pipeline, stage.connection.call
        stage.connection.pipeline = lambda commands: asked.append(1) or pipeline(commands)  # type: ignore[method-assign,func-returns-value]
        stage.connection.call = lambda *command: asked.append(1) or call(*command)  # type: ignore[method-assign,func-returns-value]
        try:
            figures(stage)
        finally:
            del stage.connection.pipeline, stage.connection.call
        return len(asked)

    play(stage, "first", Spec()).claim((0, 1))
    few = round_trips()
    for number in range(30):
        run = play(stage, f"run{number}", *[Spec() for _ in range(30)])
        run.claim((0, 1), (1, 1))

    assert round_trips() == few <= 6
