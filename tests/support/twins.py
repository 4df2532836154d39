"""A run played step by step on the memory twin and on a server: after each step all that is kept is the same."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import count, pairwise
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from support.plays import LEASE_S, Play
from support.programs import Spec
from support.stages import MemoryStage, ServerStage

from taskexec.domain.events import TransitionKind
from taskexec.domain.program import RunOptions
from taskexec.domain.retry import NO_POLICY, RETRIED_BY_DEFAULT, AttemptPolicy
from taskexec.errors import TasksBlocked, TasksBusy
from taskexec.store.connection import Connection
from taskexec.store.keys import run_key

ROUTES = ("cpu", "gpu")
WORKERS = st.sampled_from(["w1", "w2"])
DELIVERIES = st.sampled_from(["a", "b"])
PICK = st.integers(0, 10**6)
REASONS = st.sampled_from(["exit", "timeout", "out_of_memory", "infrastructure", "refused"])
LEASE_US = int(LEASE_S * 1e6)
# times that no sum of the steps below meets exactly: the clock of the server goes on by itself
POLICIES = st.one_of(
    st.just(NO_POLICY),
    st.builds(
        AttemptPolicy,
        retries=st.integers(0, 3),
        on=st.sampled_from([RETRIED_BY_DEFAULT, ("exit 75", "timeout"), ("lost_worker", "exit")]),
        delay_us=st.sampled_from([0, LEASE_US * 37 // 100, LEASE_US * 193 // 100]),
        factor=st.sampled_from([1.0, 2.5]),
        max_us=st.sampled_from([0, LEASE_US * 273 // 100]),
        jitter=st.sampled_from([0.0, 0.4]),
        memory=st.sampled_from([1.0, 2.0]),
        deadline_us=st.just(0),
        budget_us=st.sampled_from([0, LEASE_US * 423 // 100]),
    ),
)
DONE = {TransitionKind.SUCCEEDED, TransitionKind.SATISFIED}
ENDINGS = {*DONE, TransitionKind.FAILED, TransitionKind.SKIPPED, TransitionKind.CANCELLED}

__all__ = ["DELIVERIES", "PICK", "POLICIES", "ROUTES", "Twins"]

_numbers = count(1)


@st.composite
def graphs(draw: st.DrawFn) -> list[Spec]:
    size = draw(st.integers(2, 7))
    specs = []
    for index in range(size):
        after = draw(st.sets(st.integers(0, index - 1), max_size=2)) if index else set()
        specs.append(
            Spec(
                after=tuple(sorted(after)),
                retries=draw(st.integers(0, 2)),
                route=draw(st.sampled_from(ROUTES)),
                agent=draw(st.sampled_from(["noop", "shell"])),
                is_satisfied=draw(st.sampled_from([False] * 3 + [True])),
                policy=draw(POLICIES),
            )
        )
    return specs


def without_times(lines: list[str]) -> list[str]:
    """Return lines without the times that some of them end with: a server's clock goes on by itself."""
    timeless = [line.rpartition(" ")[0] if line[0] in "HN" else line for line in lines]
    return [re.sub(r'"waited_us":\d+', "", line) for line in timeless]


def assert_same(in_memory: object, on_server: object) -> None:
    assert in_memory == on_server


class Twins(RuleBasedStateMachine):
    """One run, played step by step on both stores; every answer is compared, and after each step all that is kept."""

    connection: Connection

    @initialize(
        specs=graphs(),
        fail_fast=st.booleans(),
        lost_max=st.integers(1, 3),
        batch_max=st.integers(1, 4),
        slots=st.integers(1, 3),
    )
    def begin(self, specs: list[Spec], fail_fast: bool, lost_max: int, batch_max: int, slots: int) -> None:
        options = RunOptions(fail_fast=fail_fast, lost_max=lost_max, batch_max=batch_max)
        run_id = f"twins{next(_numbers)}"
        self.specs = specs
        self.known: list[tuple[int, int]] = []
        self.messages: list[tuple[tuple[int, int], ...]] = []
        self.held: list[tuple[list[tuple[int, int]], str, str]] = []
        stages = (MemoryStage(), ServerStage(self.connection))
        for stage in stages:
            for route in ROUTES:
                stage.set_slots(route, slots)
        self.counted_before: Mapping[str, int] = stages[1].store.counted()  # by the runs of earlier examples
        self.plays = [Play(stage, run_id, specs, options) for stage in stages]

    def both(self, step: str, *arguments: Any, **named: Any) -> Any:
        """Take one step on both stages; the clock of the memory twin moves on as a server's does by itself."""
        self.plays[0].stage.advance(self.plays[0].run_id, 1e-6)
        in_memory, on_server = (getattr(play, step)(*arguments, **named) for play in self.plays)
        assert in_memory == on_server, (step, in_memory, on_server)
        return in_memory

    def attempt(self, pick: int) -> tuple[int, int]:
        return self.known[pick % len(self.known)]

    def some(self, picks: list[int]) -> list[tuple[int, int]]:
        return [self.attempt(pick) for pick in picks]

    @rule(route=st.sampled_from(ROUTES))
    def take(self, route: str) -> None:
        message = self.both("take", route)
        if message is not None:
            members = tuple((member.index, member.attempt) for member in message.members)
            self.messages.append(members)
            self.known += [member for member in members if member not in self.known]

    @rule(route=st.sampled_from(ROUTES), worker=WORKERS, delivery=DELIVERIES)
    def take_and_claim(self, route: str, worker: str, delivery: str) -> None:
        self.take(route)
        if self.messages:
            self.hold(self.messages[-1], worker, delivery)

    @precondition(lambda self: self.messages)
    @rule(pick=PICK, worker=WORKERS, delivery=DELIVERIES)
    def claim_any(self, pick: int, worker: str, delivery: str) -> None:
        self.hold(self.messages[pick % len(self.messages)], worker, delivery)

    def hold(self, members: tuple[tuple[int, int], ...], worker: str, delivery: str) -> None:
        won = self.both("won", *members, worker=worker, delivery=delivery)
        if won:
            self.held.append((won, worker, delivery))

    @precondition(lambda self: self.held)
    @rule(
        pick=PICK,
        outcome=st.sampled_from(["succeed", "succeed", "fail", "fail", "lose", "lose", "release"]),
        reason=REASONS,
        exit_status=st.sampled_from([None, 1, 75]),
    )
    def end_held(self, pick: int, outcome: str, reason: str, exit_status: int | None) -> None:
        members, worker, delivery = self.held[pick % len(self.held)]
        if outcome == "lose":
            self.both("lose", *members, worker=worker)
        elif outcome == "release":
            self.both("release", *members, worker=worker, delivery=delivery)
        else:
            self.both(
                "complete",
                *members,
                succeeded=outcome == "succeed",
                worker=worker,
                delivery=delivery,
                reason=reason,
                exit_status=exit_status,
            )

    @precondition(lambda self: self.known)
    @rule(picks=st.lists(PICK, min_size=1, max_size=3), worker=WORKERS, delivery=DELIVERIES, succeeded=st.booleans())
    def complete(self, picks: list[int], worker: str, delivery: str, succeeded: bool) -> None:
        self.both("complete", *self.some(picks), succeeded=succeeded, worker=worker, delivery=delivery)

    @precondition(lambda self: self.known)
    @rule(picks=st.lists(PICK, min_size=1, max_size=3), worker=WORKERS, delivery=DELIVERIES)
    def release(self, picks: list[int], worker: str, delivery: str) -> None:
        self.both("release", *self.some(picks), worker=worker, delivery=delivery)

    @precondition(lambda self: self.known)
    @rule(picks=st.lists(PICK, max_size=3, unique=True), worker=WORKERS)
    def lose(self, picks: list[int], worker: str) -> None:
        self.both("lose", *dict.fromkeys(self.some(picks)), worker=worker)

    @precondition(lambda self: self.known)
    @rule(picks=st.lists(PICK, min_size=1, max_size=3), worker=WORKERS, delivery=DELIVERIES)
    def renew(self, picks: list[int], worker: str, delivery: str) -> None:
        self.both("renew", *self.some(picks), worker=worker, delivery=delivery)

    @rule(leases=st.sampled_from([0.3, 0.7, 1.2]))
    def reap(self, leases: float) -> None:
        self.both("pass_time", leases)
        self.both("reap")

    @rule(picks=st.lists(PICK, min_size=1, max_size=3), takes_failed=st.booleans())
    def run_again(self, picks: list[int], takes_failed: bool) -> None:
        states = self.plays[0].states()
        named = [pick % len(self.specs) for pick in picks]
        if takes_failed:
            named = [index for index, state in states.items() if state[0] in "FXC"]
        self.plays[0].stage.advance(self.plays[0].run_id, 1e-6)
        assert_same(*(self._try_to_run_again(play, named) for play in self.plays))

    def _try_to_run_again(self, play: Play, named: list[int]) -> object:
        try:
            return play.retry(*named)
        except (TasksBusy, TasksBlocked) as error:
            return error.code, sorted(error.indexes)

    @rule()
    def start_again(self) -> None:
        for play in self.plays:
            play.store.start(play.run_id)

    @precondition(lambda self: len(self.messages) > 2)
    @rule(kill=st.booleans(), really=st.sampled_from([False] * 4 + [True]))
    def stop(self, kill: bool, really: bool) -> None:
        if not really:
            return
        in_memory, on_server = (play.store.stop(play.run_id, kill=kill) for play in self.plays)
        assert in_memory == on_server

    @invariant()
    def keep_the_same(self) -> None:
        memory, server = self.plays
        assert memory.states() == server.states()
        assert memory.counts() == server.counts()
        assert memory.status == server.status
        assert without_times(memory.lines()) == without_times(server.lines())
        assert [memory.queued(route) for route in ROUTES] == [server.queued(route) for route in ROUTES]
        assert memory.stage.leases(memory.run_id) == server.stage.leases(server.run_id)
        assert Counter(memory.store.counted()) == Counter(server.store.counted()) - Counter(self.counted_before)

    @invariant()
    def hold_one_lease_for_each_attempt_at_work(self) -> None:
        play = self.plays[1]
        at_work = sorted((index, int(state[1:])) for index, state in play.states().items() if state[0] == "R")
        leases = (lease.split("|") for lease in play.stage.leases(play.run_id))
        assert sorted((int(index), int(attempt)) for index, attempt, _ in leases) == at_work

    @invariant()
    def count_no_latch_below_nothing(self) -> None:
        server = self.plays[1]
        pending = self.connection.call("HVALS", run_key(server.run_id, "pending"))
        assert all(int(count) >= 0 for count in pending)

    @invariant()
    def end_each_task_once_and_start_none_early(self) -> None:
        done: set[int] = set()
        ended: set[int] = set()
        for step in self.plays[0].transitions():
            if step.kind is TransitionKind.RETRIED:
                ended.remove(step.index)
                done.discard(step.index)
            if step.kind in {TransitionKind.QUEUED, TransitionKind.RUNNING}:
                assert done >= set(self.specs[step.index].after)
                assert step.index not in ended
            if step.kind in ENDINGS:
                assert step.index not in ended
                ended.add(step.index)
            if step.kind in DONE:
                done.add(step.index)
        head = self.plays[0].store.head(self.plays[0].run_id)
        assert head.left == head.tasks - len(ended)
        assert head.succeeded + head.failed + head.skipped + head.cancelled + head.satisfied == len(ended)
        assert {index for index, spec in enumerate(self.specs) if spec.is_satisfied} == {
            index for index, state in self.plays[0].states().items() if state == "P0"
        }

    def teardown(self) -> None:
        """Serve what is left: whatever happened before, the run ends, once."""
        if not hasattr(self, "plays"):
            return
        for _ in range(60):
            if self.plays[0].status != "running":
                break
            self.both("keep_reaping", 2.5)
            for members in self._take_all():
                won = self.both("won", *members, worker="w3")
                self.both("complete", *won, worker="w3")
        self.keep_the_same()
        self.end_each_task_once_and_start_none_early()
        play = self.plays[0]
        assert play.counts().get("left", 0) == 0, (play.states(), play.stage.nodes(), play.lines()[-12:])
        ends = [step for step in play.transitions() if step.kind in {TransitionKind.ENDED, TransitionKind.REOPENED}]
        assert ends[-1].detail == play.status
        assert all(
            one.kind is TransitionKind.REOPENED or other.kind is TransitionKind.REOPENED
            for one, other in pairwise(ends)
        )
        assert all(play.run_id not in each.store.active() for each in self.plays)

    def _take_all(self) -> Iterator[tuple[tuple[int, int], ...]]:
        for route in ROUTES * 20:
            if (message := self.both("take", route)) is not None:
                yield tuple((member.index, member.attempt) for member in message.members)
