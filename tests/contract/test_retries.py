"""The contract of attempts that follow each other: policies, delays, limits of time, on memory and on a server."""

from __future__ import annotations

import pytest
from support.programs import Spec
from support.stages import Stage

from taskexec.domain.retry import AttemptPolicy

TEN_S = 10_000_000


def fail(play, attempt: int, reason: str = "exit", exit_status: int | None = None) -> None:
    assert play.won((0, attempt)) == [(0, attempt)]
    play.complete((0, attempt), succeeded=False, reason=reason, exit_status=exit_status)


def test_task_with_a_delay_is_held_until_it_is_over(run, stage: Stage) -> None:
    play = run(Spec(policy=AttemptPolicy(retries=1, delay_us=TEN_S)), Spec(after=(0,)))
    fail(play, 1)
    held = play.states(), play.queued()[1:], play.due_s()
    stage.advance(play.run_id, 10.1)

    play.reap()

    assert held == ({0: "H2"}, [], 10)
    assert play.states() == {0: "Q2"}
    assert play.short_lines("THQ") == ["Q 0 1", "T 0 1", "H 0 2", "Q 0 2"]
    assert play.due_s() is None


def test_delay_is_over_by_itself_even_while_leases_are_left_alone(run, stage: Stage) -> None:
    play = run(Spec(policy=AttemptPolicy(retries=1, delay_us=TEN_S)))
    fail(play, 1)
    stage.advance(play.run_id, 5000.0)

    play.reap()  # the first round after a gap ends no lease

    assert play.states() == {0: "Q2"}


@pytest.mark.parametrize(
    ("reason", "status", "state"),
    [("exit", 75, "Q2"), ("exit", 1, "F1"), ("timeout", None, "Q2"), ("signal", None, "F1")],
)
def test_policy_says_after_what_a_task_is_tried_again(run, reason: str, status: int | None, state: str) -> None:
    play = run(Spec(policy=AttemptPolicy(retries=3, on=("exit 75", "timeout"))))

    fail(play, 1, reason, status)

    assert play.states() == {0: state}


def test_refused_attempt_is_not_tried_again_by_default(run) -> None:
    play = run(Spec(retries=5))

    fail(play, 1, "refused")

    assert play.states() == {0: "F1"}


def test_fault_of_ours_counts_against_lost_attempts_and_waits(run, stage: Stage) -> None:
    play = run(Spec(), lost_max=2)
    fail(play, 1, "infrastructure")
    held = play.states()
    stage.advance(play.run_id, 1.5)
    play.reap()

    fail(play, 2, "infrastructure")

    assert held == {0: "H2"}
    assert play.states() == {0: "F2"}


def test_lost_attempt_is_not_replaced_when_the_policy_excludes_it(run) -> None:
    play = run(Spec(policy=AttemptPolicy(retries=3, on=("exit",))))
    play.claim((0, 1))

    play.lose()

    assert play.states() == {0: "F1"}


def test_memory_grows_with_each_attempt_that_ran_out_of_it(run) -> None:
    play = run(Spec(policy=AttemptPolicy(retries=5, memory=2.0)))
    ratios = []
    for attempt, reason in ((1, "out_of_memory"), (2, "exit"), (3, "out_of_memory"), (4, "exit")):
        ratios.append(play.claim((0, attempt)).members[0].memory_ratio)
        play.complete((0, attempt), succeeded=False, reason=reason)

    assert ratios == [1.0, 2.0, 2.0, 4.0]


def test_claim_says_how_much_time_a_task_has_left_over_all_attempts(run, stage: Stage) -> None:
    play = run(Spec(policy=AttemptPolicy(retries=5, budget_us=TEN_S)))
    first = play.claim((0, 1)).members[0].left_s
    stage.advance(play.run_id, 4.0)
    play.complete((0, 1), succeeded=False)

    second = play.claim((0, 2)).members[0].left_s

    assert first == 10.0
    assert second is not None
    assert round(second) == 6


def test_task_whose_time_is_used_up_is_not_tried_again(run, stage: Stage) -> None:
    play = run(Spec(policy=AttemptPolicy(retries=5, budget_us=TEN_S)))
    play.claim((0, 1))
    stage.advance(play.run_id, 11.0)

    play.complete((0, 1), succeeded=False, reason="timeout")

    assert play.states() == {0: "F1"}


def test_run_whose_time_is_up_is_stopped_and_has_failed(run, stage: Stage) -> None:
    play = run(Spec(), Spec(), Spec(after=(0,)), timeout_s=10.0)
    play.claim((0, 1))
    before = play.due_s()
    stage.advance(play.run_id, 11.0)

    play.reap()

    assert before == 10
    assert play.states() == {0: "C1", 1: "C0", 2: "C0"}
    assert play.status == "failed"
    assert play.short_lines("KCE")[:1] == ["K 0 0"]
    assert play.complete((0, 1)) == [False]


def test_nothing_starts_in_a_run_whose_time_is_up(run, stage: Stage) -> None:
    play = run(Spec(), timeout_s=10.0)
    stage.advance(play.run_id, 11.0)

    assert play.won((0, 1)) == []


def test_run_without_a_limit_of_time_has_nothing_due(run) -> None:
    assert run(Spec()).due_s() is None


@pytest.mark.parametrize("kill", [False, True])
def test_held_task_is_cancelled_with_its_run(run, kill: bool) -> None:
    play = run(Spec(policy=AttemptPolicy(retries=1, delay_us=TEN_S)))
    fail(play, 1)

    play.store.stop(play.run_id, kill=kill)

    assert play.states() == {0: "C1"}
    assert play.status == "cancelled"


def test_lease_that_had_lapsed_is_renewed_and_that_is_told(run, stage: Stage) -> None:
    play = run(Spec(), Spec())
    play.claim((0, 1), (1, 1))
    play.pass_time(1.5)

    gone = play.renew((0, 1))

    assert gone == []
    assert play.short_lines("N") == ["N 0 1"]
    assert play.renew((0, 1)) == []
    assert play.short_lines("N") == ["N 0 1"]


def test_task_that_is_due_and_cancelled_in_one_round_is_cancelled_once(run, stage: Stage) -> None:
    held = AttemptPolicy(retries=1, delay_us=90 * TEN_S)
    play = run(Spec(policy=held), Spec(), Spec(after=(1,)), fail_fast=True, lost_max=1)
    play.keep_reaping(1.5)
    fail(play, 1)
    play.claim((1, 1), lease_s=800.0)
    stage.advance(play.run_id, 950.0, *play.lists)

    play.reap()

    assert play.states() == {0: "C1", 1: "F1", 2: "X0"}
    assert play.counts() == {"failed": 1, "skipped": 1, "cancelled": 1}
    assert play.status == "failed"
