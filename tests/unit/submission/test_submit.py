"""Tests of submitting: the compiled program is stored before its run is started."""

from __future__ import annotations

import zlib
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from support.submissions import submit

from taskexec.domain.program import Program, RunOptions
from taskexec.domain.task import Task
from taskexec.errors import ConnectionLost, Place
from taskexec.plan import Graph, Plan
from taskexec.store.memory import MemoryRunStore
from taskexec.submission import new_run_id

TASKS = (Task(id="a"), Task(id="b", depends_on=("a",)))
PLAN = Plan("p.csv", "csv", TASKS, (Place("p.csv", 2), Place("p.csv", 3)), Graph.of([[], [0]]))


class SpyStore:
    """Notes what is put and started."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    def put(self, program: Program) -> None:
        self.calls.append(("put", program))

    def start(self, run_id: str) -> None:
        self.calls.append(("start", run_id))


class BrokenStore(SpyStore):
    """Loses its server when a program is put."""

    def put(self, program: Program) -> None:
        raise ConnectionLost("gone")


def test_program_is_stored_and_then_started() -> None:
    store = SpyStore()

    submitted = submit(PLAN, store, RunOptions(fail_fast=True), run_id="r")  # type: ignore[arg-type]

    (put, program), (start, run_id) = store.calls
    assert (put, start, run_id, submitted.run_id, len(program.tasks)) == ("put", "start", "r", "r", 2)
    assert program.options.fail_fast
    assert [task.successors for task in program.tasks] == [(1,), ()]


def test_documents_of_the_store_are_those_of_the_evidence() -> None:
    store = SpyStore()

    submitted = submit(PLAN, store, RunOptions(), run_id="r")  # type: ignore[arg-type]

    program = store.calls[0][1]
    assert zlib.decompress(program.plan) == submitted.plan_json
    assert zlib.decompress(program.canvas) == submitted.canvas_json
    assert orjson.loads(submitted.plan_json)["digest"] == PLAN.digest


def test_run_that_could_not_be_stored_is_not_started() -> None:
    store = BrokenStore()

    with pytest.raises(ConnectionLost):
        submit(PLAN, store, RunOptions())  # type: ignore[arg-type]

    assert store.calls == []


def test_plan_that_is_done_has_succeeded_once_it_is_submitted() -> None:
    tasks = tuple(Task(id=name, is_satisfied=True) for name in "ab")
    store = MemoryRunStore()

    submit(Plan("p.csv", "csv", tasks, PLAN.places, Graph.of([[], [0]])), store, RunOptions(), run_id="r")

    head = store.head("r")
    assert (head.status, head.left, head.satisfied) == ("succeeded", 0, 2)
    assert store.queues == {}


def test_run_ids_sort_by_time_and_differ() -> None:
    early, late = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC)

    assert new_run_id(early).startswith("20260102-030405-")
    assert new_run_id(early) < new_run_id(late)
    assert len({new_run_id(early) for _ in range(50)}) == 50
