"""The contract of leases: losing, giving back, renewing and reaping attempts, on memory and on a server."""

from __future__ import annotations

from support.plays import LEASE_S
from support.programs import Spec
from support.stages import Stage


def test_lost_attempt_is_queued_again_with_the_next_number(run, stage: Stage) -> None:
    play = run(())
    play.claim((0, 1))

    assert play.lose((0, 1)) == 1
    assert play.states() == {0: "Q2"}
    assert play.queued() == [((0, 1),), ((0, 2),)]
    assert stage.leases(play.run_id) == set()
    assert play.lines()[-2:] == ['L 0 1 {"lost":1}', "Q 0 2"]


def test_task_fails_when_too_many_attempts_are_lost_and_dependents_are_skipped(run) -> None:
    play = run((), (0,), lost_max=2)
    for attempt in (1, 2):
        play.claim((0, attempt))
        play.lose((0, attempt))

    assert play.states() == {0: "F2", 1: "X0"}
    assert play.short_lines("LFX") == ["L 0 1", "L 0 2", "F 0 2", "X 1 0"]
    assert play.status == "failed"


def test_losing_may_be_repeated(run) -> None:
    play = run(())
    play.claim((0, 1))
    play.lose((0, 1))

    assert play.lose((0, 1)) == 0
    assert play.states() == {0: "Q2"}


def test_losing_members_leaves_other_workers_alone(run) -> None:
    play = run((), ())
    play.claim((0, 1), worker="w1")
    play.claim((1, 1), worker="w2")

    assert play.lose((0, 1), (1, 1), worker="w1") == 1
    assert play.states() == {0: "Q2", 1: "R1"}


def test_losing_an_unclaimed_member_queues_the_same_attempt(run) -> None:
    play = run(())
    play.take()

    assert play.lose((0, 1)) == 1
    assert play.states() == {0: "Q1"}
    assert play.queued() == [((0, 1),)]


def test_losing_a_worker_ends_all_its_attempts_and_nobody_elses(run) -> None:
    play = run((), (), ())
    play.claim((0, 1), worker="w1", delivery="a")
    play.claim((1, 1), worker="w1", delivery="b")
    play.claim((2, 1), worker="w11")

    assert play.lose(worker="w1") == 2
    assert play.states() == {0: "Q2", 1: "Q2", 2: "R1"}


def test_losing_a_worker_queues_what_was_popped_and_never_claimed(run) -> None:
    play = run((), ())
    play.take()
    play.take()

    assert play.lose(worker="w1") == 2
    assert play.queued() == [((0, 1),), ((1, 1),)]


def test_released_member_is_queued_again_as_the_same_attempt(run, stage: Stage) -> None:
    play = run((), ())
    play.claim((0, 1), (1, 1))

    assert play.release((1, 1)) == 1
    assert play.states() == {0: "R1", 1: "Q1"}
    assert stage.leases(play.run_id) == {"0|1|w1/d"}
    assert play.lines()[-2:] == ["B 1 1", "Q 1 1"]
    assert play.won((1, 1), worker="w2") == [(1, 1)]


def test_release_may_be_repeated_and_needs_the_token(run) -> None:
    play = run(())
    play.claim((0, 1))

    assert play.release((0, 1), worker="w2") == 0
    assert play.release((0, 1)) == 1
    assert play.release((0, 1)) == 0
    assert play.states() == {0: "Q1"}


def test_renewed_lease_does_not_lapse(run) -> None:
    play = run((), ())
    play.keep_reaping(1)
    play.claim((0, 1), (1, 1))
    play.pass_time(0.8)
    play.reap()

    gone = play.renew((0, 1))
    play.pass_time(0.8)

    assert gone == []
    assert play.reap() == (1, 0)
    assert play.states() == {0: "R1", 1: "Q2"}


def test_renew_reports_what_is_gone_and_never_resurrects_it(run, stage: Stage) -> None:
    play = run((), (), ())
    play.claim((0, 1), (1, 1), (2, 1))
    play.complete((0, 1))
    play.lose((2, 1))

    assert play.renew((0, 1), (1, 1), (2, 1)) == [0, 2]
    assert stage.leases(play.run_id) == {"1|1|w1/d"}
    assert play.renew((0, 1), (2, 1)) == [0, 1]


def test_reaping_ends_lapsed_leases_only(run) -> None:
    play = run((), ())
    play.keep_reaping(1)
    play.claim((0, 1))
    play.claim((1, 1), lease_s=5 * LEASE_S)

    assert play.keep_reaping(1) == (1, 0)
    assert play.states() == {0: "Q2", 1: "R1"}
    assert 'L 0 1 {"lapsed":1}' in play.lines()


def test_reaping_ends_nothing_for_one_lease_after_a_gap(run) -> None:
    play = run(())
    play.keep_reaping(1)
    play.claim((0, 1))
    play.pass_time(3)

    first = play.reap()
    play.pass_time(0.6)
    second = play.reap()
    play.pass_time(0.6)
    third = play.reap()

    assert [first, second, third] == [(0, 0), (0, 0), (1, 0)]


def test_holder_that_renews_after_a_gap_keeps_its_attempt(run) -> None:
    play = run(())
    play.keep_reaping(1)
    play.claim((0, 1))
    play.pass_time(3)
    play.reap()

    play.renew((0, 1))

    assert play.keep_reaping(0.5) == (0, 0)
    assert play.states() == {0: "R1"}


def test_popped_and_never_claimed_message_is_queued_again_after_a_lease(run) -> None:
    play = run(())
    play.keep_reaping(1)
    play.take()
    assert play.queued() == []

    lapsed_and_requeued = play.keep_reaping(1)

    assert lapsed_and_requeued == (0, 1)
    assert play.queued() == [((0, 1),)]
    assert play.states() == {0: "Q1"}


def test_message_that_lies_in_its_list_is_not_queued_again(run) -> None:
    play = run((), ())

    assert play.keep_reaping(5) == (0, 0)
    assert play.queued() == [((0, 1),), ((1, 1),)]


def test_lists_are_judged_each_by_itself(run) -> None:
    play = run(Spec(route="cpu"), Spec(route="gpu"))
    play.take("gpu")

    assert play.keep_reaping(2) == (0, 1)
    assert play.queued("cpu") == [((0, 1),)]
    assert play.queued("gpu") == [((1, 1),)]


def test_popped_message_is_queued_again_behind_a_long_backlog_in_another_list(run) -> None:
    backlog = [Spec(route="cpu")] * 700
    play = run(*backlog, Spec(after=(0,), route="gpu"))
    play.do((0, 1))
    play.take()
    play.take("gpu")

    lapsed, requeued = play.keep_reaping(4)

    assert (lapsed, requeued) == (0, 1)
    assert play.queued("gpu") == [((700, 1),)]


def test_original_message_that_turns_up_after_all_loses_the_claim(run) -> None:
    play = run(())
    play.take()
    play.keep_reaping(2)
    play.claim((0, 1), worker="second")

    assert play.won((0, 1), worker="first") == []


def test_long_queue_of_lapsed_leases_is_ended_in_several_rounds(run, stage: Stage) -> None:
    stage.set_slots("cpu", 100)
    play = run(*[()] * 120)
    play.keep_reaping(1)
    play.claim(*[(index, 1) for index in range(120)])
    play.pass_time(0.9)
    play.reap()
    play.pass_time(0.2)

    rounds = [play.reap()[0], play.reap()[0]]

    assert rounds == [100, 20]


def test_tasks_with_one_attempt_left_to_lose_run_one_at_a_time(run) -> None:
    play = run((), (), (), lost_max=2)
    play.claim((0, 1), (1, 1), (2, 1))

    play.lose()
    on_trial = play.states()
    play.do((0, 2))
    after_success = play.states()
    play.claim((1, 2))
    play.lose()

    assert on_trial == {0: "Q2", 1: "H2", 2: "H2"}
    assert after_success == {0: "S2", 1: "Q2", 2: "H2"}
    assert play.states() == {0: "S2", 1: "F2", 2: "Q2"}


def test_trial_is_over_when_its_task_is_tried_again_for_a_failure_of_its_own(run) -> None:
    play = run(Spec(retries=1), Spec(), lost_max=2)
    play.claim((0, 1), (1, 1))
    play.lose()

    play.do((0, 2), succeeded=False)

    assert play.states() == {0: "Q3", 1: "Q2"}


def test_suspects_are_cancelled_with_their_run(run) -> None:
    play = run((), (), lost_max=2)
    play.claim((0, 1), (1, 1))
    play.lose()

    play.store.stop(play.run_id, kill=True)

    assert play.states() == {0: "C1", 1: "C1"}
    assert play.status == "cancelled"
