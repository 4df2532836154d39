"""Placing does the same on the memory twin and on a server, gives no worker more than it has, and loses nothing."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule, run_state_machine_as_test
from support.plays import LEASE_S, Play
from support.programs import Spec
from support.stages import MemoryStage, ServerStage
from support.twins import DELIVERIES, PICK, POLICIES, ROUTES, Twins

from taskexec.domain.fit import READY, Ask, Option, agent_trait, label_trait, route_trait
from taskexec.domain.program import RunOptions
from taskexec.store.connection import Connection

TOTALS = {
    "w1": [4000, 1000, 100, 4, 1000, 300, 1000, 200],
    "w2": [2000, 500, 50, 3],
    "w3": [2000, 800, 50, 2, 1000, 200],
}
NODES = st.sampled_from(sorted(TOTALS))
SERVES = {agent_trait("noop"), agent_trait("shell"), *map(route_trait, ROUTES)}
TRAITS = {
    "w1": frozenset({READY, *SERVES}),
    "w2": frozenset({READY, label_trait("ssd"), *SERVES}),
    "w3": frozenset({READY, label_trait("slow"), *SERVES}),
}

_numbers = count(1)

OPTIONS = st.builds(
    Option,
    cpus=st.sampled_from([0, 500, 1000, 2000]),
    memory=st.sampled_from([0, 100, 400]),
    disk=st.sampled_from([0, 30]),
    gpus=st.sampled_from([0, 0, 300, 500, 1000]),
    gpu_memory=st.sampled_from([0, 0, 150]),
    exclusive=st.sampled_from([False] * 4 + [True]),
    has=st.sampled_from([(), ("r:cpu",)]),
    has_not=st.sampled_from([(), (label_trait("slow"),)]),
)
LARGEST = Option(1000, 0, 0, 0, 0, exclusive=False)
"""Something that fits everywhere, so that nothing waits for ever."""
ASKS = st.builds(
    lambda option, other, priority, deadline_us, ranks, packed: Ask(
        (option, *other, LARGEST), priority, deadline_us, 0, ranks, packed
    ),
    option=OPTIONS,
    other=st.lists(OPTIONS, max_size=1),
    priority=st.sampled_from([0, 0, 5]),
    deadline_us=st.sampled_from([0, 10**15]),
    ranks=st.sampled_from([1, 1, 2, 3]),
    packed=st.booleans(),
)
WIDE = Ask((Option(4000, 0, 0, 0, 0, exclusive=False),))


@st.composite
def graphs(draw: st.DrawFn) -> list[Spec]:
    size = draw(st.integers(2, 7))
    ranks = draw(st.permutations(range(size)))
    return [
        Spec(
            after=tuple(sorted(draw(st.sets(st.integers(0, index - 1), max_size=1)) if index else ())),
            retries=draw(st.integers(0, 1)),
            route=draw(st.sampled_from(ROUTES)),
            policy=draw(POLICIES),
            ask=draw(st.one_of(st.just(""), ASKS.map(Ask.encode), st.just(WIDE.encode()))),
            rank=ranks[index],
        )
        for index in range(size)
    ]


class PlacingTwins(Twins):
    """A run some of whose tasks ask for something, on workers that come and go."""

    @initialize(
        specs=graphs(),
        fail_fast=st.booleans(),
        lost_max=st.integers(1, 3),
        batch_max=st.integers(1, 4),
        joined=st.sets(NODES, min_size=1),
    )
    def begin(  # type: ignore[override]
        self, specs: list[Spec], fail_fast: bool, lost_max: int, batch_max: int, joined: set[str]
    ) -> None:
        options = RunOptions(fail_fast=fail_fast, lost_max=lost_max, batch_max=batch_max, user="a b", tag="x")
        run_id = f"placing{next(_numbers)}"
        self.specs, self.known, self.messages, self.held = specs, [], [], []
        self.ranks: list[tuple[int, int, int, str]] = []
        self.connection.call("FLUSHDB")
        stages = (MemoryStage(), ServerStage(self.connection))
        for stage in stages:
            for name in sorted(joined):
                stage.join(name, TRAITS[name], TOTALS[name])
        self.counted_before = {}
        self.plays = [Play(stage, run_id, specs, options) for stage in stages]

    @rule(name=NODES, is_ready=st.sampled_from([True, True, False]))
    def join(self, name: str, is_ready: bool) -> None:
        self.both("join", name, TRAITS[name] if is_ready else TRAITS[name] - {READY}, TOTALS[name])

    @rule(name=NODES, really=st.sampled_from([False, False, True]))
    def leave(self, name: str, really: bool) -> None:
        if really:
            self.both("leave", name)

    @rule(name=NODES)
    def drain(self, name: str) -> None:
        self.both("join", name, TRAITS[name] - {READY}, TOTALS[name])
        self.both("take_back", worker=name)

    @rule(name=NODES, really=st.sampled_from([False, False, True]))
    def surrender(self, name: str, really: bool) -> None:
        if really:
            self.both("surrender", worker=name)

    @rule(seconds=st.sampled_from([0.0, 2.7]))
    def place(self, seconds: float) -> None:
        for play in self.plays:
            play.pass_time(seconds / LEASE_S)
        self.both("place")

    @rule(name=NODES, delivery=DELIVERIES)
    def take_from_and_claim(self, name: str, delivery: str) -> None:
        message = self.both("take_from", name)
        if message is not None and ".r" in message.id.removeprefix(self.plays[0].run_id):
            rank = int(message.id.rpartition(".r")[2])
            member = message.members[0]
            self.ranks.append((member.index, member.attempt, rank, name))
        elif message is not None:
            members = tuple((member.index, member.attempt) for member in message.members)
            self.known += [member for member in members if member not in self.known]
            self.messages.append(members)
            self.hold(members, name, delivery)

    @precondition(lambda self: self.ranks)
    @rule(pick=PICK, delivery=st.sampled_from(["r1", "r2"]), worker=st.one_of(st.none(), NODES))
    def enter(self, pick: int, delivery: str, worker: str | None) -> None:
        index, attempt, rank, placed_on = self.ranks[pick % len(self.ranks)]
        self.both("enter", index, attempt, rank, worker=worker or placed_on, delivery=delivery)

    @precondition(lambda self: self.ranks)
    @rule(pick=PICK, delivery=st.sampled_from(["r1", "r2"]))
    def part(self, pick: int, delivery: str) -> None:
        index, attempt, rank, worker = self.ranks[pick % len(self.ranks)]
        self.both("part", index, attempt, rank, worker=worker, delivery=delivery)

    @invariant()
    def hold_one_lease_for_each_attempt_at_work(self) -> None:
        """Hold at least one, and others for its ranks only: none outlives its attempt."""
        play = self.plays[1]
        states = play.states()
        leases = [tuple(map(int, lease.split("|")[:2])) for lease in play.stage.leases(play.run_id)]
        at_work = {(index, int(state[1:])) for index, state in states.items() if state[0] == "R"}
        assert at_work <= set(leases)
        for index, attempt in leases:
            assert states[index] in (f"R{attempt}", f"Q{attempt}")
        several = {lease for lease in leases if leases.count(lease) > 1 or lease not in at_work}
        assert several <= {rank[:2] for rank in self.ranks}

    @invariant()
    def ring_the_same_bells(self) -> None:
        memory, server = self.plays
        for name in TOTALS:
            for delivery in ("a", "b", "r1", "r2"):
                assert memory.stage.bell(f"{name}/{delivery}") == server.stage.bell(f"{name}/{delivery}")

    @invariant()
    def keep_the_same_places(self) -> None:
        memory, server = self.plays
        assert memory.stage.nodes() == server.stage.nodes()
        assert memory.stage.used() == server.stage.used()

    @invariant()
    def give_no_worker_more_than_it_has(self) -> None:
        for node in self.plays[0].stage.nodes():
            assert all(amount >= 0 for amount in node.free)
            sums = [sum(taken) for taken in zip(node.free, *node.holds.values(), strict=True)]
            assert sums == node.total

    def teardown(self) -> None:
        if not hasattr(self, "plays"):
            return
        for name in TOTALS:
            self.both("leave", name)
        for name in TOTALS:
            self.both("join", name, TRAITS[name], [100_000, 10_000, 1000, 100, 1000, 500, 1000, 500])
        super().teardown()
        for node in self.plays[0].stage.nodes():  # of cancelled attempts and of further ranks: their workers say so
            self.both("give_back", node.name, list(node.holds))
        for play in self.plays:
            assert play.stage.used() == {}
            assert all(node.free == node.total for node in play.stage.nodes())

    def _take_all(self) -> Iterator[tuple[tuple[int, int], ...]]:
        yield from super()._take_all()
        leases = [lease.split("|") for lease in self.plays[0].stage.leases(self.plays[0].run_id)]
        at_work = {token for *_, token in leases}
        for node in self.plays[0].stage.nodes():  # as their workers do, which know what is over
            over = [name for name in node.holds if "/" in name and name not in at_work]
            self.both("give_back", node.name, over)
        for name in [*TOTALS] * 20:
            if (message := self.both("take_from", name)) is not None:
                members = [(member.index, member.attempt) for member in message.members]
                won = self.both("won", *members, worker=name)
                self.both("complete", *won, worker=name)


@pytest.mark.timeout(600)
def test_placing_does_the_same_on_both_stores(connection: Connection) -> None:
    machine = type("PlacingTwinsOnThisServer", (PlacingTwins,), {"connection": connection})

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
