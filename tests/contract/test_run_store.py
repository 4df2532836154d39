"""The contract of `RunStore`: start, claim, complete, fail, stop and the end of a run, on memory and on a server."""

from __future__ import annotations

import pytest
from support.plays import Play
from support.programs import Spec
from support.stages import ServerStage, Stage

from taskexec.domain.events import TransitionKind
from taskexec.domain.program import Member
from taskexec.errors import NotFound

CHAIN = ((), (0,), (1,))
DIAMOND = ((), (0,), (0,), (1, 2))


def test_stored_run_is_pending_and_not_active(run, stage: Stage) -> None:
    play = run(*CHAIN, start=False)

    assert play.status == "pending"
    assert stage.store.active() == []
    assert stage.store.listed() == [play.run_id]
    assert stage.store.documents(play.run_id) == (b"plan", b"canvas")


def test_start_queues_only_roots(run) -> None:
    play = run((), (0,), (), (1, 2))

    assert play.queued() == [((0, 1),), ((2, 1),)]
    assert play.states() == {0: "Q1", 2: "Q1"}
    assert play.lines() == ["A 0 0", "Q 0 1", "Q 2 1"]
    assert play.status == "running"


def test_start_may_be_repeated(run) -> None:
    play = run(*CHAIN)

    play.store.start(play.run_id)

    assert play.queued() == [((0, 1),)]
    assert play.lines() == ["A 0 0", "Q 0 1"]


def test_started_run_is_active(run, stage: Stage) -> None:
    play = run(*CHAIN)

    assert stage.store.active() == [play.run_id]


def test_claim_gives_lease_and_spec(run, stage: Stage) -> None:
    play = run(*CHAIN)

    claim = play.claim((0, 1), worker="w7", delivery="d9")

    assert [(won.member, won.dependencies, won.spec) for won in claim.members] == [
        (Member(0, 1), (), b'{"id":"task-0"}')
    ]
    assert stage.leases(play.run_id) == {"0|1|w7/d9"}
    assert play.states() == {0: "R1"}


def test_claim_gives_results_of_dependencies(run) -> None:
    play = run((), (), (), (0, 1, 2))
    for index in (0, 1):
        play.claim((index, 1))
        play.complete((index, 1), result=b"[%d]" % index)
    play.do((2, 1))

    claim = play.claim((3, 1))

    assert claim.members[0].dependencies == (0, 1, 2)
    assert claim.results == {0: b"[0]", 1: b"[1]"}


def test_duplicate_claim_gets_nothing(run) -> None:
    play = run(*CHAIN)
    play.claim((0, 1), delivery="first")

    again = play.claim((0, 1), delivery="second")

    assert again.members == ()
    assert play.short_lines("R") == ["R 0 1"]


def test_repeated_claim_with_same_token_gets_members_again(run) -> None:
    play = run(*CHAIN)
    first = play.claim((0, 1))

    again = play.claim((0, 1))

    assert again.members == first.members
    assert play.short_lines("R") == ["R 0 1"]


def test_claim_of_waiting_or_unknown_task_gets_nothing(run) -> None:
    play = run(*CHAIN)

    assert play.won((1, 1), (99, 1), (0, 2)) == []


def test_member_named_twice_in_one_claim_runs_once(run) -> None:
    play = run(*CHAIN)

    assert play.won((0, 1), (0, 1)) == [(0, 1)]
    assert play.short_lines("R") == ["R 0 1"]


def test_completion_publishes_successor_when_last_dependency_is_done(run) -> None:
    play = run((), (), (0, 1))
    play.do((0, 1))
    before = play.states()

    play.do((1, 1))

    assert before == {0: "S1", 1: "Q1"}
    assert play.states() == {0: "S1", 1: "S1", 2: "Q1"}
    assert play.queued() == [((0, 1),), ((1, 1),), ((2, 1),)]


def test_completing_both_sides_of_a_join_in_one_call_publishes_it_once(run) -> None:
    play = run(*DIAMOND)
    play.do((0, 1))
    play.claim((1, 1), (2, 1))

    play.complete((1, 1), (2, 1))

    assert play.queued()[-1] == ((3, 1),)
    assert play.short_lines("Q") == ["Q 0 1", "Q 1 1", "Q 2 1", "Q 3 1"]


def test_completion_ends_lease_and_stores_celery_result(run, stage: Stage) -> None:
    play = run(*CHAIN)

    play.do((0, 1))

    assert stage.leases(play.run_id) == set()
    assert stage.celery_result(f"result-{play.run_id}-0") == b"final"


def test_repeated_completion_is_accepted_and_changes_nothing(run) -> None:
    play = run(*CHAIN)
    play.do((0, 1))
    before = play.lines(), play.queued(), play.counts()

    accepted = play.complete((0, 1))

    assert accepted == [True]
    assert (play.lines(), play.queued(), play.counts()) == before


def test_member_named_twice_in_one_completion_counts_once(run) -> None:
    play = run((), (), (0, 1))
    play.claim((0, 1))

    assert play.complete((0, 1), (0, 1)) == [True, True]
    assert play.counts() == {"left": 2, "succeeded": 1}
    assert 2 not in play.states()


def test_completion_of_queued_attempt_is_refused(run) -> None:
    play = run(*CHAIN)

    assert play.complete((0, 1)) == [False]
    assert play.states() == {0: "Q1"}


def test_late_completion_of_old_attempt_is_refused_and_logged(run, stage: Stage) -> None:
    play = run(*CHAIN)
    play.claim((0, 1), worker="slow")
    play.lose(worker="slow")
    play.claim((0, 2))

    accepted = play.complete((0, 1), worker="slow")

    assert accepted == [False]
    assert play.states() == {0: "R2"}
    assert play.lines()[-1] == 'D 0 1 {"by":"test"}'
    assert stage.celery_result(f"result-{play.run_id}-0") is None


def test_completion_from_a_life_that_was_lost_does_not_come_before_the_head_of_the_next_one(run) -> None:
    play = run(*CHAIN, start=False)

    accepted = play.complete((0, 1))
    before = play.lines()
    play.store.start(play.run_id)

    assert accepted == [False]
    assert before == []
    assert play.short_lines()[0] == "A 0 0"


def test_failure_skips_all_descendants_and_nothing_else(run) -> None:
    play = run((), (), (0,), (1,), (2, 3), (4,), (3,))

    play.do((0, 1), succeeded=False)

    assert play.states() == {0: "F1", 1: "Q1", 2: "X0", 4: "X0", 5: "X0"}
    assert play.short_lines("X") == ["X 2 0", "X 4 0", "X 5 0"]
    assert play.counts() == {"left": 3, "failed": 1, "skipped": 3}


def test_independent_branches_go_on_after_a_failure(run) -> None:
    play = run((), (), (0,), (1,))
    play.do((0, 1), succeeded=False)

    play.do((1, 1), (3, 1))

    assert play.states() == {0: "F1", 1: "S1", 2: "X0", 3: "S1"}
    assert play.status == "failed"


def test_second_failure_above_a_skipped_task_skips_it_no_second_time(run) -> None:
    play = run((), (), (0, 1))
    play.do((0, 1), (1, 1), succeeded=False)

    assert play.counts() == {"failed": 2, "skipped": 1}
    assert play.short_lines("X") == ["X 2 0"]


def test_fail_fast_cancels_what_has_not_started(run) -> None:
    play = run((), (), (), (1,), (0,), fail_fast=True)
    play.claim((1, 1))

    play.do((0, 1), succeeded=False)

    assert play.states() == {0: "F1", 1: "R1", 2: "C0", 3: "C0", 4: "X0"}
    assert play.won((2, 1)) == []


def test_fail_fast_lets_running_tasks_finish_and_starts_nothing_after_them(run) -> None:
    play = run((), (), (1,), fail_fast=True)
    play.claim((1, 1))
    play.do((0, 1), succeeded=False)

    accepted = play.complete((1, 1))

    assert accepted == [True]
    assert play.counts() == {"succeeded": 1, "failed": 1, "cancelled": 1}
    assert play.status == "failed"


def test_fail_fast_and_retry_in_one_call_cancel_the_retried_task_once(run) -> None:
    play = run(Spec(retries=1), Spec(), fail_fast=True)
    play.claim((0, 1), (1, 1))

    play.fail((0, 1), (1, 1))

    assert play.states() == {0: "C1", 1: "F1"}
    assert play.counts() == {"failed": 1, "cancelled": 1}


def test_failed_attempt_is_tried_again_until_retries_are_used_up(run, stage: Stage) -> None:
    play = run(Spec(retries=2), Spec(after=(0,)))

    play.do((0, 1), (0, 2), succeeded=False)
    between = play.states(), stage.celery_result(f"result-{play.run_id}-0")
    play.do((0, 3), succeeded=False)

    assert between == ({0: "Q3"}, b"retry")
    assert play.states() == {0: "F3", 1: "X0"}
    assert stage.celery_result(f"result-{play.run_id}-0") == b"final"
    assert play.short_lines("TF") == ["T 0 1", "T 0 2", "F 0 3"]


def test_retried_task_may_succeed(run) -> None:
    play = run(Spec(retries=1), Spec(after=(0,)))
    play.do((0, 1), succeeded=False)

    play.do((0, 2), (1, 1))

    assert play.states() == {0: "S2", 1: "S1"}
    assert play.status == "succeeded"


def test_lost_attempts_do_not_use_up_retries(run) -> None:
    play = run(Spec(retries=1))
    play.claim((0, 1))
    play.lose()

    play.do((0, 2), succeeded=False)

    assert play.states() == {0: "Q3"}


def test_stop_drain_cancels_what_has_not_started(run, stage: Stage) -> None:
    play = run((), (), (0,))
    play.claim((0, 1))

    status = play.store.stop(play.run_id, kill=False)

    assert status == "running"
    assert play.states() == {0: "R1", 1: "C0", 2: "C0"}
    assert play.complete((0, 1)) == [True]
    assert play.status == "cancelled"
    assert play.counts() == {"succeeded": 1, "cancelled": 2}


def test_stop_kill_cancels_running_tasks_and_refuses_their_results(run, stage: Stage) -> None:
    play = run((), (0,))
    play.claim((0, 1))

    status = play.store.stop(play.run_id, kill=True)

    assert status == "cancelled"
    assert play.states() == {0: "C1", 1: "C0"}
    assert stage.leases(play.run_id) == set()
    assert play.renew((0, 1)) == [0]
    assert play.complete((0, 1)) == [False]
    assert play.short_lines("D") == ["D 0 1"]


def test_stop_may_be_repeated_and_sharpened(run) -> None:
    play = run((), ())
    play.claim((0, 1))

    statuses = [play.store.stop(play.run_id, kill=kill) for kill in (False, False, True, True)]

    assert statuses == ["running", "running", "cancelled", "cancelled"]
    assert play.short_lines("CE") == ["C 1 0", "C 0 1", "E cancelled 0"]


def test_stopping_a_pending_run_ends_it(run, stage: Stage) -> None:
    play = run(*CHAIN, start=False)

    status = play.store.stop(play.run_id, kill=False)
    play.store.start(play.run_id)

    assert status == "cancelled"
    assert play.counts() == {"cancelled": 3}
    assert play.queued() == []
    assert stage.store.active() == []


@pytest.mark.parametrize("way", ["release", "lose", "retry"])
def test_attempt_that_comes_back_in_a_stopping_run_is_cancelled(run, way: str) -> None:
    play = run(Spec(retries=5))
    play.claim((0, 1))
    play.store.stop(play.run_id, kill=False)

    {"release": play.release, "lose": play.lose, "retry": play.fail}[way]((0, 1))

    assert play.states() == {0: "C0" if way == "release" else "C1"}
    assert play.status == "cancelled"


def test_stopping_an_ended_run_changes_nothing(run) -> None:
    play = run(())
    play.do((0, 1))

    assert play.store.stop(play.run_id, kill=True) == "succeeded"
    assert play.counts() == {"succeeded": 1}


@pytest.mark.parametrize(
    ("failing", "stopped", "status"),
    [((), False, "succeeded"), ((0,), False, "failed"), ((), True, "cancelled"), ((0,), True, "failed")],
)
def test_run_ends_with_the_gravest_outcome(run, failing: tuple[int, ...], stopped: bool, status: str) -> None:
    play = run((), ())
    play.do((0, 1), succeeded=0 not in failing)
    if stopped:
        play.store.stop(play.run_id, kill=False)
    else:
        play.do((1, 1))

    assert play.status == status
    assert play.lines()[-1] == f"E {status} 0"


def test_ended_run_is_written_once_and_leaves_the_active_ones(run, stage: Stage) -> None:
    play = run(*DIAMOND)

    play.do((0, 1), (1, 1), (2, 1), (3, 1))
    play.complete((3, 1))
    play.complete((0, 7))
    play.reap()

    ends = [step for step in play.transitions() if step.kind is TransitionKind.ENDED]
    assert [(step.index, step.detail) for step in ends] == [(-1, "succeeded")]
    assert stage.store.active() == []
    head = stage.store.head(play.run_id)
    assert head.started_at is not None
    assert head.finished_at is not None


def test_counters_add_up_at_the_end(run) -> None:
    play = run((), (), (0,), (2,), (1,), ())
    play.do((0, 1), succeeded=False)
    play.do((1, 1))
    play.store.stop(play.run_id, kill=True)

    head = play.store.head(play.run_id)

    assert play.counts() == {"succeeded": 1, "failed": 1, "skipped": 2, "cancelled": 2}
    assert head.left == 0
    assert head.succeeded + head.failed + head.skipped + head.cancelled == head.tasks


def test_log_is_read_from_an_entry_on(run) -> None:
    play = run(())
    first = play.store.read_log(play.run_id)[-1]
    play.do((0, 1))

    later = play.store.read_log(play.run_id, first.id)

    assert [entry.lines.split("\n")[0][0] for entry in later] == ["R", "S"]
    assert play.store.read_log(play.run_id, later[-1].id, wait_s=0.01) == []


def test_output_is_read_from_a_chunk_on(run) -> None:
    play = run(())
    for offset in (0, 3):
        play.store.append_output(play.run_id, {"i": 0, "offset": offset, "data": b"abc"})

    chunks = play.store.read_output(play.run_id)

    assert [chunk for _, chunk in chunks] == [
        {"i": b"0", "offset": b"0", "data": b"abc"},
        {"i": b"0", "offset": b"3", "data": b"abc"},
    ]
    assert play.store.read_output(play.run_id, chunks[0][0]) == chunks[1:]


@pytest.mark.parametrize("method", ["start", "head", "documents", "stop"])
def test_unknown_run_is_not_found(stage: Stage, method: str) -> None:
    arguments = {"kill": False} if method == "stop" else {}

    with pytest.raises(NotFound):
        getattr(stage.store, method)("nowhere", **arguments)


def test_calls_for_an_unknown_run_leave_nothing_behind(stage: Stage) -> None:
    play = Play.__new__(Play)
    play.stage, play.store, play.run_id, play.lists = stage, stage.store, "nowhere", []

    assert play.won((0, 1)) == []
    assert play.complete((0, 1)) == [False]
    assert play.release((0, 1)) == 0
    assert play.lose((0, 1)) == 0
    assert play.renew((0, 1)) == [0]
    assert play.reap() == (0, 0)
    assert play.lines() == []
    assert play.states() == {}
    if isinstance(stage, ServerStage):
        assert stage.connection.call("KEYS", "tek:*") == []


def test_run_is_forgotten_after_its_retention(run, stage: Stage) -> None:
    play = run((), retention_s=0)

    play.do((0, 1))

    assert stage.store.listed() == []
    with pytest.raises(NotFound):
        stage.store.head(play.run_id)


def test_completion_with_another_token_is_refused(run) -> None:
    play = run(*CHAIN)
    play.claim((0, 1), worker="slow", delivery="d1")
    play.release((0, 1), worker="slow", delivery="d1")
    play.claim((0, 1), worker="quick", delivery="d2")

    accepted = play.complete((0, 1), worker="slow", delivery="d1")

    assert accepted == [False]
    assert play.states() == {0: "R1"}
    assert play.complete((0, 1), worker="quick", delivery="d2") == [True]
