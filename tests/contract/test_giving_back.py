"""A worker that drains or leaves gives back what it has: at once, and at nobody's cost."""

from __future__ import annotations

from support.plays import Play
from support.programs import Spec
from support.stages import Stage

from taskexec.domain.fit import READY, Ask, Option, agent_trait, route_trait
from taskexec.domain.retry import AttemptPolicy
from taskexec.domain.states import Reason

TRAITS = frozenset({READY, agent_trait("noop"), route_trait("cpu")})
TOTAL = [4000, 1000, 100, 4]
ASK = Ask((Option(2000, 0, 0, 0, 0, exclusive=False),))
PAIR = ASK._replace(ranks=2)


def cordon(play: Play, worker: str) -> None:
    play.join(worker, TRAITS - {READY}, TOTAL)


def taken_from(play: Play, worker: str) -> list[tuple[int, int]]:
    message = play.take_from(worker)
    return [] if message is None else [(member.index, member.attempt) for member in message.members]


def test_what_was_placed_and_has_not_started_goes_elsewhere_at_once(run) -> None:
    play = run(Spec(ask=ASK.encode()), start=False)
    play.join("w1", TRAITS, TOTAL)
    play.store.start(play.run_id)
    play.join("w2", TRAITS, TOTAL)
    cordon(play, "w1")

    assert play.take_back(worker="w1") == 1

    assert taken_from(play, "w2") == [(0, 1)]
    assert play.won((0, 1), worker="w1") == []
    assert play.won((0, 1), worker="w2") == [(0, 1)]


def test_what_runs_is_not_taken_back(run) -> None:
    play = run(Spec(ask=ASK.encode()), start=False)
    play.join("w1", TRAITS, TOTAL)
    play.store.start(play.run_id)
    play.won((0, 1), worker="w1")
    cordon(play, "w1")

    assert play.take_back(worker="w1") == 0
    assert play.states() == {0: "R1"}


def test_what_fits_nowhere_else_waits_for_a_place(run) -> None:
    play = run(Spec(ask=ASK.encode()), start=False)
    play.join("w1", TRAITS, TOTAL)
    play.store.start(play.run_id)
    cordon(play, "w1")

    assert (play.take_back(worker="w1"), play.take_back(worker="w1")) == (1, 0)

    assert play.states() == {0: "H1"}
    assert all(node.free == node.total for node in play.stage.nodes())
    play.join("w2", TRAITS, TOTAL)
    assert taken_from(play, "w2") == [(0, 1)]


def test_gang_is_taken_back_whole(run) -> None:
    play = run(Spec(ask=PAIR.encode()), start=False)
    for worker in ("w1", "w2"):
        play.join(worker, TRAITS, TOTAL)
    play.store.start(play.run_id)
    cordon(play, "w2")

    assert play.take_back(worker="w2") == 1

    assert play.states() == {0: "H1"}
    assert all(node.free == node.total for node in play.stage.nodes())


def test_nothing_of_an_unknown_run_is_taken_back(stage: Stage) -> None:
    assert stage.store.take_back("gone", worker="w1") == 0


def test_attempt_that_was_given_back_starts_again_as_the_next_one(run) -> None:
    play = run(())
    play.take()
    play.won((0, 1))

    assert play.surrender() == 1

    assert play.queued() == [((0, 2),)]
    play.do((0, 2))
    assert play.status == "succeeded"


def test_given_back_counts_neither_as_a_loss_nor_as_a_failure(run) -> None:
    play = run((), lost_max=1)
    for attempt in (1, 2, 3):
        play.won((0, attempt))
        play.surrender()

    assert play.states() == {0: "Q4"}


def test_failures_after_it_count_as_ever(run) -> None:
    play = run(Spec(policy=AttemptPolicy(retries=1, on=(Reason.EXIT, Reason.LOST_WORKER))))
    play.won((0, 1))
    play.surrender()
    for attempt in (2, 3):
        play.won((0, attempt))
        play.fail((0, attempt))

    assert play.states() == {0: "F3"}


def test_task_that_must_not_start_again_when_it_is_lost_fails_when_it_is_given_back(run) -> None:
    play = run(Spec(policy=AttemptPolicy(retries=1, on=(Reason.EXIT,))))
    play.won((0, 1))
    play.surrender()

    assert play.states() == {0: "F1"}


def test_late_result_of_what_was_given_back_is_refused(run) -> None:
    play = run(())
    play.won((0, 1))
    play.surrender()

    assert play.complete((0, 1)) == [False]
