"""Distributed tasks: ranks begin and end together, on every store, and what each holds returns exactly once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.plays import Play
from support.programs import Spec
from support.stages import Stage

from taskexec.domain.fit import READY, Ask, Option, agent_trait, route_trait
from taskexec.domain.program import Begun, Member

TRAITS = frozenset({READY, agent_trait("noop"), route_trait("cpu")})
TOTAL = [4000, 1000, 100, 4]
PAIR = Ask((Option(1000, 0, 0, 0, 0, exclusive=False),), ranks=2)
WIDE_PAIR = Ask((Option(3000, 0, 0, 0, 0, exclusive=False),), ranks=2)

StartRun = Callable[..., Play]


@pytest.fixture
def gang(stage: Stage, run: StartRun) -> Play:
    """A run of one task with two ranks, placed on w1 and w2."""
    for name in ("w1", "w2"):
        stage.join(name, TRAITS, TOTAL)
    return run(Spec(ask=PAIR.encode()))


def held(play: Play) -> dict[str, int]:
    return {node.name: len(node.holds) for node in play.stage.nodes() if node.holds}


def free(play: Play) -> bool:
    return all(node.free == node.total for node in play.stage.nodes())


def test_each_rank_gets_a_message_of_its_own_on_its_worker(gang: Play) -> None:
    first, second = gang.take_from("w1"), gang.take_from("w2")

    assert first is not None
    assert second is not None
    assert (first.id, second.id) == (f"{gang.run_id}.0", f"{gang.run_id}.0.r1")
    assert first.members == second.members == (Member(0, 1),)


def test_leader_hears_of_a_rank_that_begins_after_it(gang: Play) -> None:
    gang.won((0, 1))

    assert gang.enter(0, 1, 1, worker="w2")

    assert gang.stage.bell("w1/d") == ["begun 1"]
    assert gang.stage.leases(gang.run_id) == {"0|1|w1/d", "0|1|w2/r"}


def test_leader_finds_a_rank_that_has_begun_before_it(gang: Play) -> None:
    assert gang.enter(0, 1, 1, worker="w2")

    assert gang.won((0, 1)) == [(0, 1)]
    begun = gang.store.begun(gang.run_id, Member(0, 1), 2)
    assert begun == [Begun(1, "w1/d", ""), Begun(1, "w2/r", "told 1")]


def test_rank_is_told_what_the_leader_is_told(gang: Play) -> None:
    led = gang.claim((0, 1)).members[0]

    entered = gang.store.enter(gang.run_id, Member(0, 1), 1, worker="w2", token="w2/r", lease_s=10, told="{}")

    assert entered.members == (led,)


def test_rank_begins_again_for_the_same_token_only(gang: Play) -> None:
    gang.enter(0, 1, 1, worker="w2")

    assert gang.enter(0, 1, 1, worker="w2")
    assert not gang.enter(0, 1, 1, worker="w2", delivery="other")


@pytest.mark.parametrize(("attempt", "rank", "worker"), [(1, 1, "w1"), (1, 0, "w1"), (1, 2, "w2"), (2, 1, "w2")])
def test_nobody_begins_a_rank_that_was_not_placed_on_its_worker(
    gang: Play, attempt: int, rank: int, worker: str
) -> None:
    assert not gang.enter(0, attempt, rank, worker=worker)


def test_rank_that_is_over_gives_back_what_it_holds_and_tells_its_leader(gang: Play) -> None:
    gang.won((0, 1))
    gang.enter(0, 1, 1, worker="w2")

    assert gang.part(0, 1, 1, worker="w2")

    assert gang.stage.bell("w1/d") == ["begun 1", "done 1 {}"]
    assert held(gang) == {"w1": 1}
    assert not gang.part(0, 1, 1, worker="w2")


def test_attempt_that_is_completed_ends_the_leases_of_all_its_ranks(gang: Play) -> None:
    gang.won((0, 1))
    gang.enter(0, 1, 1, worker="w2")

    assert gang.complete((0, 1)) == [True]

    assert gang.stage.leases(gang.run_id) == set()
    assert gang.stage.bell("w2/r") == ["over"]
    assert held(gang) == {"w2": 1}
    gang.part(0, 1, 1, worker="w2")
    assert free(gang)


def test_what_a_rank_would_have_had_returns_when_the_attempt_ends_before_it_begins(gang: Play) -> None:
    gang.won((0, 1))

    gang.complete((0, 1), succeeded=False)

    assert free(gang)
    assert not gang.enter(0, 1, 1, worker="w2")


@pytest.mark.parametrize("lost", ["w1", "w2"])
def test_one_lost_rank_ends_the_attempt_of_all(gang: Play, lost: str) -> None:
    gang.won((0, 1))
    gang.enter(0, 1, 1, worker="w2")

    gang.lose((0, 1), worker=lost)

    assert gang.short_lines("RL") == ["R 0 1", "L 0 1"]
    assert gang.states() == {0: "Q2"}
    assert gang.stage.leases(gang.run_id) == set()
    assert gang.stage.bell("w1/d")[-1] == gang.stage.bell("w2/r")[-1] == "lost"


def test_ranks_at_work_hold_what_they_have_until_they_are_over(stage: Stage, run: StartRun) -> None:
    for name in ("w1", "w2"):
        stage.join(name, TRAITS, TOTAL)
    play = run(Spec(ask=WIDE_PAIR.encode()))
    play.won((0, 1))
    play.enter(0, 1, 1, worker="w2")

    play.lose((0, 1), worker="w1")
    assert play.states() == {0: "H2"}  # its former ranks still have the room
    play.part(0, 1, 1, worker="w2")
    play.complete((0, 1))

    assert play.states() == {0: "Q2"}
    assert held(play) == {"w1": 1, "w2": 1}


def test_lease_of_one_rank_that_lapses_is_counted_as_one_lost_attempt(gang: Play) -> None:
    gang.reap()
    gang.won((0, 1))
    gang.enter(0, 1, 1, worker="w2")

    lapsed, _ = gang.keep_reaping(1.5)

    assert lapsed == 1
    assert gang.short_lines("L") == ["L 0 1"]


def test_rank_that_is_lost_before_its_leader_begins_has_the_attempt_placed_anew(gang: Play) -> None:
    gang.enter(0, 1, 1, worker="w2")

    assert gang.lose((0, 1), worker="w2") == 1

    assert gang.states() == {0: "Q1"}
    assert gang.stage.bell("w2/r") == ["lost"]
    assert gang.short_lines("QL") == ["Q 0 1", "Q 0 1"]
    assert not gang.part(0, 1, 1, worker="w2")
    assert held(gang) == {"w1": 1, "w2": 1}


def test_stop_ends_all_ranks(gang: Play) -> None:
    gang.won((0, 1))
    gang.enter(0, 1, 1, worker="w2")

    gang.store.stop(gang.run_id, kill=True)

    assert gang.states() == {0: "C1"}
    assert gang.stage.leases(gang.run_id) == set()
    assert gang.stage.bell("w1/d")[-1] == gang.stage.bell("w2/r")[-1] == "cancelled"


def test_drain_ends_ranks_whose_leader_has_not_begun(gang: Play) -> None:
    gang.enter(0, 1, 1, worker="w2")

    gang.store.stop(gang.run_id, kill=False)

    assert gang.stage.bell("w2/r") == ["lost"]
    gang.part(0, 1, 1, worker="w2")
    assert free(gang)


def test_late_leader_gives_back_only_what_is_its_own(gang: Play) -> None:
    gang.won((0, 1))
    gang.enter(0, 1, 1, worker="w2")
    gang.lose((0, 1), worker="w2")

    assert gang.complete((0, 1)) == [False]

    names = [name for node in gang.stage.nodes() for name in node.holds]
    assert sorted(names) == [f"{gang.run_id}:0:2:0", f"{gang.run_id}:0:2:1", "w2/r"]


def test_two_gangs_never_wait_for_each_other(stage: Stage, run: StartRun) -> None:
    for name in ("w1", "w2"):
        stage.join(name, TRAITS, TOTAL)

    play = run(Spec(ask=WIDE_PAIR.encode()), Spec(ask=WIDE_PAIR.encode()))

    assert play.states() == {0: "Q1", 1: "H1"}  # all of the first, nothing of the second
    play.won((0, 1))
    play.enter(0, 1, 1, worker="w2")
    play.part(0, 1, 1, worker="w2")
    play.complete((0, 1))
    assert play.states() == {0: "S1", 1: "Q1"}


def test_attempt_that_waits_for_a_rank_of_a_worker_that_is_gone_is_lost(gang: Play) -> None:
    gang.take_from("w1")
    gang.keep_reaping(0.5)
    gang.keep_reaping(1.0)
    (attempt,) = {int(state[1:]) for state in gang.states().values()}
    gang.won((0, attempt))

    gang.leave("w2")
    gang.stage.join("w3", TRAITS, TOTAL)
    lapsed, _ = gang.reap()

    assert lapsed == 1
    assert gang.states() == {0: f"Q{attempt + 1}"}
    assert gang.stage.bell("w1/d") == ["lost"]


def test_rank_that_is_over_is_not_waited_for(gang: Play) -> None:
    gang.reap()
    gang.won((0, 1))
    gang.enter(0, 1, 1, worker="w2")
    gang.part(0, 1, 1, worker="w2")

    assert gang.reap() == (0, 0)
    gang.complete((0, 1))

    assert gang.stage.bell("w2/r") == []
    assert free(gang)
