"""Tests of what Flower keeps of tasks whose beginning and end it is told at once."""

from __future__ import annotations

from typing import Any

import orjson
from flower.events import EventsState  # type: ignore[import-untyped]  # Flower has no types

from taskexec.broker.flower_app import RunState
from taskexec.broker.task_events import Kinds, TaskEvents
from taskexec.domain.events import LogEntry, Transition, parse_entry

RECORD = orjson.dumps({"started_at": "2026-01-01T00:00:00.000Z", "finished_at": "2026-01-01T00:00:01.500Z"}).decode()


def run_of(tasks: int) -> TaskEvents:
    described = [{"id": f"t{index}", "agent": "shell", "route": "cpu"} for index in range(tasks)]
    return TaskEvents("run-1", {"tasks": described}, Kinds())


def history(worker: str, tasks: int) -> list[Transition]:
    """Tasks that all succeed but the last one."""
    indexes = range(tasks)
    lines = [f"Q {index} 1" for index in indexes] + [f"R {index} 1" for index in indexes]
    lines += [f"S {index} 1 {RECORD}" for index in indexes[:-1]] + [f"F {indexes[-1]} 1 {RECORD}"]
    return [*parse_entry(LogEntry("1-0", 1_000_000, worker, "\n".join(lines)))]


def ordered(events: Any) -> list[dict[str, Any]]:
    return [event | {"clock": clock} for clock, event in enumerate(events)]


def samples(state: Any, worker: str) -> dict[tuple[str, str, str], float]:
    """Return what the metrics say of a worker."""
    families = [family for metric in vars(state.metrics).values() for family in metric.collect()]
    return {
        (sample.name, sample.labels.get("type", ""), sample.labels.get("le", "")): sample.value
        for family in families
        for sample in family.samples
        if sample.labels.get("worker") == worker and not sample.name.endswith("_created")
    }


def test_what_is_told_at_once_is_counted_as_if_it_was_told_one_by_one() -> None:
    single, joint = EventsState(max_tasks_in_memory=100), RunState(100)
    maker = run_of(5)
    for event in ordered(event for transition in history("single", 5)[5:] for event in maker.take(transition)):
        single.event(event)

    joint.take(ordered(run_of(5).take_together(history("joint", 5))))

    assert joint.counter["joint"] == single.counter["single"]
    assert samples(joint, "joint") == samples(single, "single")
    assert {task.state for task in joint.tasks.values()} == {"SUCCESS", "FAILURE"}


def test_oldest_tasks_go_where_there_are_more_and_are_indexed_no_more() -> None:
    state = RunState(4)

    state.take(ordered(run_of(8).take_together(history("w", 8))))
    state.search_engine.search(state.tasks)

    assert [*state.tasks] == [f"run-1.{index}" for index in (4, 5, 6, 7)]
    assert set(state.search_engine.documents) == set(state.tasks)
