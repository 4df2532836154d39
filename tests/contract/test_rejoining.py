"""A worker whose registration lapsed comes back while deliveries that it began go on."""

from __future__ import annotations

import pytest
from support.plays import Play
from support.programs import Spec
from support.stages import Stage

from taskexec.domain.fit import READY, Ask, Option, agent_trait, route_trait

TRAITS = frozenset({READY, agent_trait("noop"), route_trait("cpu")})
TOTAL = [4000, 1000, 100, 4]
SPECS = {"slot": Spec(), "place": Spec(ask=Ask((Option(3000, 0, 0, 0, 0, exclusive=False),)).encode())}


def begun(run, kind: str) -> Play:
    """Return a run whose only task was begun by a worker that is there."""
    play = run(SPECS[kind], start=False)
    play.join("w1", TRAITS, TOTAL)
    play.store.start(play.run_id)
    assert play.won((0, 1)) == [(0, 1)]
    return play


@pytest.mark.parametrize("kind", SPECS)
def test_worker_that_comes_back_has_only_what_its_deliveries_leave(run, stage: Stage, kind: str) -> None:
    play = begun(run, kind)
    (before,) = stage.nodes()

    play.leave("w1")
    play.join("w1", TRAITS, TOTAL)

    assert before.free != TOTAL
    assert stage.nodes()[0].free == before.free


def test_slot_taken_while_its_worker_was_away_counts_when_it_comes_back(run, stage: Stage) -> None:
    play = run(Spec(), Spec())
    play.won((0, 1))

    play.join("w1", TRAITS, TOTAL)
    play.won((1, 1), delivery="e")

    assert stage.nodes()[0].free == [2000, 1000, 100, 2]


@pytest.mark.parametrize("kind", SPECS)
def test_delivery_that_ends_after_its_worker_came_back_returns_nothing_twice(run, stage: Stage, kind: str) -> None:
    play = begun(run, kind)

    play.leave("w1")
    play.join("w1", TRAITS, TOTAL)
    play.do((0, 1))

    (node,) = stage.nodes()
    assert (node.free, node.holds, stage.used()) == (TOTAL, {}, {})
    assert play.states() == {0: "S1"}


@pytest.mark.parametrize("kind", SPECS)
def test_delivery_that_ends_while_its_worker_is_away_leaves_nothing_behind(run, stage: Stage, kind: str) -> None:
    play = begun(run, kind)

    play.leave("w1")
    play.do((0, 1))
    play.join("w1", TRAITS, TOTAL)

    (node,) = stage.nodes()
    assert (node.free, node.holds, stage.used()) == (TOTAL, {}, {})


def test_what_a_worker_did_not_begin_is_placed_elsewhere_and_nobody_pays_for_the_rest(run, stage: Stage) -> None:
    ask = Ask((Option(2000, 0, 0, 0, 0, exclusive=False),)).encode()
    play = run(Spec(ask=ask), Spec(ask=ask), start=False)
    play.join("w1", TRAITS, TOTAL)
    play.store.start(play.run_id)
    play.won((0, 1))

    play.leave("w1")

    assert stage.used() == {}
    play.join("w1", TRAITS, TOTAL)
    assert stage.nodes()[0].free == [2000, 1000, 100, 3]


def test_what_its_deliveries_hold_is_paid_for_again_when_a_worker_comes_back(run, stage: Stage) -> None:
    play = begun(run, "place")
    before = stage.used()

    play.leave("w1")
    away = stage.used()
    play.join("w1", TRAITS, TOTAL)

    assert before[f"r:{play.run_id}"] == 750_000
    assert (away, stage.used()) == ({}, before)
