"""The contract of `RunStore` for tasks that were done before the run: final from the start, sent to nobody."""

from __future__ import annotations

import pytest
from support.programs import Spec
from support.stages import Stage

DONE = Spec(is_satisfied=True)


def test_satisfied_task_is_final_and_counted_before_the_run_is_started(run) -> None:
    play = run(DONE, Spec(after=(0,)), start=False)

    assert play.states() == {0: "P0"}
    assert play.counts() == {"left": 1, "satisfied": 1}
    assert play.status == "pending"


def test_dependent_of_satisfied_tasks_only_is_queued_at_the_start(run) -> None:
    play = run(DONE, DONE, Spec(after=(0, 1)))

    assert play.queued() == [((2, 1),)]
    assert play.lines() == ["A 0 0", "P 0 0", "P 1 0", "Q 2 1"]


def test_dependent_of_a_satisfied_and_another_task_waits_for_the_other(run) -> None:
    play = run(DONE, Spec(), Spec(after=(0, 1)))
    before = play.states()

    play.do((1, 1))

    assert before == {0: "P0", 1: "Q1"}
    assert play.states() == {0: "P0", 1: "S1", 2: "Q1"}


def test_satisfied_task_does_not_wait_for_what_it_depends_on(run) -> None:
    play = run(Spec(), Spec(after=(0,), is_satisfied=True), Spec(after=(1,)))

    assert play.queued() == [((0, 1),), ((2, 1),)]


def test_many_satisfied_tasks_are_logged_once_in_plan_order(run) -> None:
    specs = [DONE if index % 3 else Spec() for index in range(2500)]
    play = run(*specs)

    play.store.start(play.run_id)

    expected = [f"P {index} 0" for index in range(2500) if index % 3]
    assert play.short_lines("P") == expected
    assert play.counts() == {"left": 2500 - len(expected), "satisfied": len(expected)}


def test_run_of_satisfied_tasks_only_succeeds_when_it_is_started(run, stage: Stage) -> None:
    play = run(DONE, Spec(after=(0,), is_satisfied=True))

    play.store.start(play.run_id)

    assert play.status == "succeeded"
    assert play.lines() == ["A 0 0", "P 0 0", "P 1 0", "E succeeded 0"]
    assert play.counts() == {"satisfied": 2}
    assert play.queued() == []
    assert stage.store.active() == []


def test_run_of_satisfied_tasks_only_is_forgotten_after_its_retention(run, stage: Stage) -> None:
    run(*[DONE] * 1200, retention_s=0)

    assert stage.store.listed() == []


def test_run_ends_with_the_last_task_that_is_performed(run) -> None:
    play = run(DONE, Spec(after=(0,)))

    play.do((1, 1))

    assert play.status == "succeeded"
    assert play.counts() == {"succeeded": 1, "satisfied": 1}


def test_claim_and_completion_of_a_satisfied_task_are_refused(run) -> None:
    play = run(DONE, Spec())

    assert play.won((0, 1), (0, 0)) == []
    assert play.complete((0, 1)) == [False]
    assert play.release((0, 1)) == play.lose((0, 1)) == 0
    assert play.states() == {0: "P0", 1: "Q1"}
    assert play.counts() == {"left": 1, "satisfied": 1}


@pytest.mark.parametrize("fail_fast", [False, True])
def test_failure_leaves_satisfied_tasks_and_what_follows_them_only_alone(run, fail_fast: bool) -> None:
    play = run(Spec(), Spec(after=(0,), is_satisfied=True), Spec(after=(1,)), Spec(after=(0, 1)), fail_fast=fail_fast)

    play.do((0, 1), succeeded=False)

    assert play.states() == {0: "F1", 1: "P0", 2: "C0" if fail_fast else "Q1", 3: "X0"}


@pytest.mark.parametrize("start", [True, False])
@pytest.mark.parametrize("kill", [True, False])
def test_stopping_leaves_satisfied_tasks_alone(run, kill: bool, start: bool) -> None:
    play = run(DONE, Spec(), Spec(after=(1,)), start=start)

    status = play.store.stop(play.run_id, kill=kill)

    assert status == "cancelled"
    assert play.states() == {0: "P0", 1: "C0", 2: "C0"}
    assert play.counts() == {"cancelled": 2, "satisfied": 1}
    assert play.short_lines("P") == ["P 0 0"]


def test_stopping_a_pending_run_of_satisfied_tasks_only_finds_it_succeeded(run) -> None:
    play = run(DONE, start=False)

    assert play.store.stop(play.run_id, kill=True) == "succeeded"
    assert play.lines() == ["P 0 0", "E succeeded 0"]


def test_reaping_leaves_satisfied_tasks_alone(run) -> None:
    play = run(DONE, Spec())
    play.claim((1, 1))

    play.keep_reaping(3)

    assert play.states() == {0: "P0", 1: "Q2"}
