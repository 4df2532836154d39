"""The contract of running tasks again in place, of further lives, and of forgetting runs, on memory and on a server."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.plays import Play
from support.programs import Spec, make_program
from support.stages import ServerStage, Stage

from taskexec.domain.program import RunOptions
from taskexec.domain.proof import Seal, SignedHead, blocks_digest
from taskexec.errors import NotFound, TasksBlocked, TasksBusy

DIAMOND = (Spec(), Spec(after=(0,)), Spec(after=(0,)), Spec(after=(1, 2)))


def finished(run, *failing: int) -> Play:
    """Return a run of the diamond that has ended; these tasks failed."""
    play = run(*DIAMOND)
    for index in range(4):
        if play.states().get(index) == "Q1":
            play.do((index, 1), succeeded=index not in failing)
    return play


def test_failed_task_and_what_depends_on_it_run_again_and_the_rest_stands(run) -> None:
    play = finished(run, 1)
    before = play.states(), play.status

    again = play.retry(1)
    middle = play.states(), play.status, play.counts()
    play.do((1, 2), (3, 1))

    assert before == ({0: "S1", 1: "F1", 2: "S1", 3: "X0"}, "failed")
    assert again == [1, 3]
    assert middle == ({0: "S1", 1: "Q2", 2: "S1"}, "running", {"left": 2, "succeeded": 2})
    assert play.states() == {0: "S1", 1: "S2", 2: "S1", 3: "S1"}
    assert play.status == "succeeded"
    assert play.short_lines("OG") == ["O 0 0", "G 1 1", "G 3 0"]


def test_succeeded_task_runs_again_with_everything_behind_it(run) -> None:
    play = finished(run)

    again = play.retry(1)
    play.do((1, 2))

    assert again == [1, 3]
    assert play.states() == {0: "S1", 1: "S2", 2: "S1", 3: "Q2"}


def test_running_again_may_be_repeated(run) -> None:
    play = finished(run)
    play.retry(3)
    play.do((3, 2))
    lines = play.short_lines()

    assert play.retry() == []
    assert play.short_lines() == lines


def test_repeated_call_gets_the_first_answer_and_changes_nothing(run) -> None:
    play = finished(run, 1)

    first = play.retry(1, request="lost answer")
    lines = play.lines()
    second = play.retry(1, request="lost answer")

    assert first == second == [1, 3]
    assert play.lines() == lines


def test_deadline_that_has_passed_no_longer_holds_for_what_runs_again(run, stage: Stage) -> None:
    play = run(Spec(), deadline_at=1.0)
    play.reap()
    stopped = play.status, play.states()

    play.retry(0)
    play.do((0, 1))

    assert stopped == ("failed", {0: "C0"})
    assert play.status == "succeeded"


def test_task_that_is_queued_or_runs_cannot_run_again(run) -> None:
    play = run(*DIAMOND)
    play.do((0, 1))
    before = play.lines()

    with pytest.raises(TasksBusy) as caught:
        play.retry(0)

    assert sorted(caught.value.indexes) == [1, 2]
    assert play.lines() == before


def test_task_behind_a_failure_that_stays_cannot_run_again(run) -> None:
    play = finished(run, 1)

    with pytest.raises(TasksBlocked) as caught:
        play.retry(3)

    assert caught.value.indexes == (3,)
    assert play.status == "failed"


def test_what_stands_behind_another_failure_stays_skipped(run) -> None:
    play = finished(run, 1, 2)

    again = play.retry(1)
    play.do((1, 2))

    assert again == [1]
    assert play.states() == {0: "S1", 1: "S2", 2: "F1", 3: "X0"}
    assert play.status == "failed"


def test_part_of_a_run_that_goes_on_can_run_again(run) -> None:
    play = run(Spec(), Spec(), Spec(after=(0,)))
    play.do((0, 1), succeeded=False)

    play.retry(0)

    assert play.states() == {0: "Q2", 1: "Q1"}
    assert play.counts() == {"left": 3}


def test_cancelled_run_goes_on_when_its_tasks_run_again(run, stage: Stage) -> None:
    play = run(*DIAMOND)
    play.store.stop(play.run_id, kill=False)
    ended = play.status, stage.store.active()

    play.retry(0)
    play.do((0, 1), (1, 1), (2, 1), (3, 1))

    assert ended == ("cancelled", [])
    assert play.status == "succeeded"


def test_retries_and_lost_attempts_begin_anew(run) -> None:
    play = run(Spec(retries=1), lost_max=2)
    play.claim((0, 1))
    play.lose()
    play.do((0, 2), (0, 3), succeeded=False)
    failed = play.states()

    play.retry(0)
    play.claim((0, 4))
    play.lose()
    play.do((0, 5), succeeded=False)

    assert failed == {0: "F3"}
    assert play.states() == {0: "Q6"}


def test_result_of_an_attempt_before_is_not_given_to_dependents(run) -> None:
    play = run(Spec(), Spec(after=(0,)))
    play.claim((0, 1))
    play.complete((0, 1), result=b'"old"')
    play.do((1, 1))

    play.retry(0)
    play.claim((0, 2))
    play.complete((0, 2))

    assert play.claim((1, 2)).results == {}


def test_satisfied_task_never_runs(run) -> None:
    play = run(Spec(is_satisfied=True), Spec())
    play.do((1, 1))

    assert play.retry(0) == []
    assert play.status == "succeeded"


def test_unknown_run_cannot_run_again(stage: Stage) -> None:
    with pytest.raises(NotFound):
        stage.store.retry("nothing", [0], by=b"{}", request="one")


def further_life(stage: Stage, run_id: str) -> Play:
    """Start a run whose first task succeeded with attempt 2, and whose second was tried once, in an earlier life."""
    play = Play.__new__(Play)
    program = make_program(run_id, DIAMOND, RunOptions(batch_max=1))
    done, tried, *others = program.tasks
    tasks = [
        replace(done, state="S2", attempts_before=2, result=b'"kept"'),
        replace(tried, pending=0, attempts_before=1),
        replace(others[0], pending=0),
        others[1],
    ]
    play.stage, play.store, play.run_id = stage, stage.store, run_id
    play.lists = [f"cpu-{run_id}"]
    head = SignedHead(b'{"run":"x"}', "key", "signature")
    play.store.put(replace(program, tasks=tasks, head=head, leaves=b"x" * 128, is_continued=True))
    play.store.start(run_id)
    return play


def test_further_life_goes_on_with_what_is_left(stage: Stage) -> None:
    play = further_life(stage, "life1")
    at_first = play.states(), play.counts()

    claim = play.claim((1, 2))
    play.complete((1, 2))
    play.do((2, 1), (3, 1))

    assert at_first == ({0: "S2", 1: "Q2", 2: "Q1"}, {"left": 3, "succeeded": 1})
    assert claim.results == {0: b'"kept"'}
    assert play.status == "succeeded"
    assert play.lines()[0] == 'U 0 0 {"run":"x"}\tkey\tsignature'


def test_further_life_may_begin_with_tasks_that_run_again(stage: Stage) -> None:
    run_id = "life3"
    program = make_program(run_id, DIAMOND, RunOptions(batch_max=1))
    states = ("S1", "F2", "S1", "X0")
    tasks = [
        replace(task, state=state, attempts_before=int(state[1]), pending=0)
        for task, state in zip(program.tasks, states, strict=True)
    ]
    stage.store.put(replace(program, tasks=tasks, is_continued=True))

    again = stage.store.retry(run_id, [1], by=b"{}", request="one")
    stage.store.start(run_id)

    head = stage.store.head(run_id)
    assert again == [1, 3]
    assert (head.status, head.left, head.succeeded, head.failed) == ("running", 2, 2, 0)
    assert stage.store.states(run_id) == {0: "S1", 1: "Q3", 2: "S1"}
    assert stage.store.active() == [run_id]


def test_signed_head_and_leaves_are_given_back(stage: Stage) -> None:
    play = further_life(stage, "life2")

    assert play.store.signed_head("life2") == SignedHead(b'{"run":"x"}', "key", "signature")
    assert play.store.leaf_block("life2", 0) == b"x" * 128
    assert play.store.leaf_block("life2", 1) == b""
    assert play.store.leaf_blocks("life2") == blocks_digest(b"x" * 128)


def test_stored_run_is_not_stored_again(run) -> None:
    play = run(*DIAMOND)
    play.do((0, 1))
    before = play.states(), play.lines()

    play.store.put(make_program(play.run_id, DIAMOND))
    play.store.start(play.run_id)

    assert (play.states(), play.lines()) == before


def test_seal_of_a_completion_stands_in_its_log_entry(run) -> None:
    play = run(Spec(), Spec())
    play.claim((0, 1), (1, 1))

    play.complete((0, 1), (1, 1), seal=Seal("key", "signature", ("d0", "d1")))

    sealed = [entry.seal for entry in play.store.read_log(play.run_id) if entry.seal]
    assert sealed == [Seal("key", "signature", ())]


def test_seal_of_a_repeated_completion_names_all_that_it_covers(run) -> None:
    play = run(Spec(retries=1), Spec())
    play.claim((0, 1), (1, 1))
    play.complete((1, 1), seal=Seal("key", "one", ("d1",)))

    play.complete((0, 1), (1, 1), seal=Seal("key", "both", ("d0", "d1")))
    play.complete((1, 1), seal=Seal("key", "one", ("d1",)))

    sealed = [entry.seal for entry in play.store.read_log(play.run_id) if entry.seal]
    assert sealed == [Seal("key", "one", ()), Seal("key", "both", ("d0", "d1"))]


def test_run_that_goes_on_is_not_forgotten(run) -> None:
    play = run(*DIAMOND)

    with pytest.raises(TasksBusy):
        play.store.remove(play.run_id)

    assert play.status == "running"


def test_forgotten_run_leaves_nothing(run, stage: Stage) -> None:
    play = finished(run)

    first, second = play.store.remove(play.run_id), play.store.remove(play.run_id)

    assert (first, second) == (True, False)
    assert play.run_id not in stage.store.listed()
    if isinstance(stage, ServerStage):
        assert stage.connection.call("KEYS", f"tek:{{{play.run_id}}}*") == []
    with pytest.raises(NotFound):
        play.store.head(play.run_id)
