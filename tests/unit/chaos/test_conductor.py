"""The conductor: faults at their time, on whom they can strike, and always undone."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from taskexec.chaos import Conductor, Direction, Fault, FaultKind
from taskexec.chaos.ground import Ground
from taskexec.chaos.target import Target
from taskexec.errors import ConnectionLost
from taskexec.testing.clock import ManualClock

LEASE_S = 2.0


@dataclass
class FakeWire:
    told: list[str] = field(default_factory=list)

    def cut(self, direction: Direction) -> None:
        self.told.append(str(direction))

    def heal(self) -> None:
        self.told.append("healed")


@dataclass(eq=False)
class FakeTarget:
    name: str
    wire: FakeWire | None = field(default_factory=FakeWire)
    is_alive: bool = True
    got: list[int] = field(default_factory=list)

    def signal(self, number: int) -> bool:
        self.got.append(number)
        return self.is_alive

    def children(self) -> list[int]:
        return []


class FakeGround:
    run_id = "r"

    def __init__(self, *names: str) -> None:
        self.workers = [FakeTarget(name) for name in names]
        self.is_lost = False
        self.now = 100.0
        self.server: list[Any] = []

    def targets(self) -> list[Target]:
        if self.is_lost:
            raise ConnectionLost("away")
        return cast("list[Target]", list(self.workers))

    def kill_server(self, down_s: float) -> str | None:
        self.server.append(down_s)
        return "server"

    def restart_server(self) -> str | None:
        self.server.append("restart")
        return "server"

    def tend(self) -> None: ...

    def server_now(self) -> float:
        return self.now


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def ground() -> FakeGround:
    return FakeGround("w1", "w2")


def conduct(ground: FakeGround, clock: ManualClock, *faults: Fault) -> Conductor:
    conductor = Conductor(cast("Ground", ground), faults, seed=1, lease_s=LEASE_S, clock=lambda: clock() / 1e6)
    clock.advance(LEASE_S)
    return conductor


def kill(ratio: float = 0.2) -> Fault:
    return Fault(kind=FaultKind.KILL_WORKER, ratio=ratio)


def cut(ratio: float = 0.2) -> Fault:
    return Fault(kind=FaultKind.CUT_NETWORK, ratio=ratio, duration_s=4.0, direction=Direction.TO_SERVER)


def test_fault_happens_once_its_share_of_the_run_has_ended(ground: FakeGround, clock: ManualClock) -> None:
    conductor = conduct(ground, clock, kill(0.2))

    early, due, again = conductor.step(0.19), conductor.step(0.2), conductor.step(0.9)

    assert (early, again) == (None, None)
    assert due is not None
    assert (due.workers, due.at, conductor.left) == (("w1",), 100.0, ())
    assert [worker.got for worker in ground.workers] == [[signal.SIGKILL], []]


def test_faults_keep_a_distance_in_time(ground: FakeGround, clock: ManualClock) -> None:
    conductor = conduct(ground, clock, kill(), kill())

    first, at_once = conductor.step(0.5), conductor.step(0.5)
    clock.advance(LEASE_S / 4)
    later = conductor.step(0.5)

    assert (first is None, at_once is None, later is None) == (False, True, False)


def test_fault_of_a_run_that_stands_still_happens_all_the_same(ground: FakeGround, clock: ManualClock) -> None:
    conductor = conduct(ground, clock, kill(0.8))

    before = conductor.step(0.1)
    clock.advance(10 * LEASE_S)

    assert before is None
    assert conductor.step(0.1) is not None


def test_fault_waits_while_the_server_is_away_and_no_target_can_be_told(ground: FakeGround, clock: ManualClock) -> None:
    conductor = conduct(ground, clock, kill())
    ground.is_lost = True

    while_away = conductor.step(0.5)
    ground.is_lost = False

    assert while_away is None
    assert conductor.step(0.5) is not None


def test_fault_that_can_strike_nobody_lets_the_next_one_go_first(ground: FakeGround, clock: ManualClock) -> None:
    conductor = conduct(ground, clock, Fault(kind=FaultKind.KILL_CHILD, ratio=0.1), kill())

    done = conductor.step(0.5)

    assert done is not None
    assert done.fault.kind is FaultKind.KILL_WORKER
    assert [fault.kind for fault in conductor.left] == [FaultKind.KILL_CHILD]


def test_cut_is_healed_when_its_time_is_over(ground: FakeGround, clock: ManualClock) -> None:
    conductor = conduct(ground, clock, cut())
    done = conductor.step(0.5)
    assert done is not None
    (struck,) = [worker for worker in ground.workers if worker.wire and worker.wire.told]
    assert struck.wire is not None

    clock.advance(3.9)
    conductor.step(0.5)
    still = list(struck.wire.told)
    clock.advance(0.2)
    ground.now = 104.1
    conductor.step(0.5)

    assert (still, struck.wire.told) == (["to_server"], ["to_server", "healed"])
    assert (done.target, done.undone_at) == (struck.name, 104.1)


def test_worker_that_suffers_already_is_not_struck(ground: FakeGround, clock: ManualClock) -> None:
    conductor = conduct(ground, clock, cut(), cut(), cut())

    targets = []
    for _ in range(3):
        done = conductor.step(0.5)
        targets.append(done.target if done else None)
        clock.advance(LEASE_S / 4)

    assert set(targets[:2]) == {"w1", "w2"}
    assert targets[2] is None


def test_worker_without_a_wire_is_not_cut(ground: FakeGround, clock: ManualClock) -> None:
    for worker in ground.workers:
        worker.wire = None

    assert conduct(ground, clock, cut()).step(0.5) is None


def test_heal_undoes_what_stands_whatever_its_time(ground: FakeGround, clock: ManualClock) -> None:
    conductor = conduct(ground, clock, cut(), cut())
    conductor.step(0.5)
    clock.advance(1.0)
    conductor.step(0.5)

    assert (conductor.heal(), conductor.heal()) == (2, 0)
    assert [worker.wire.told[-1] for worker in ground.workers if worker.wire] == ["healed", "healed"]


def test_all_workers_are_killed_at_once(ground: FakeGround, clock: ManualClock) -> None:
    ground.workers[1].is_alive = False

    done = conduct(ground, clock, Fault(kind=FaultKind.KILL_ALL_WORKERS, ratio=0.1)).step(0.5)

    assert done is not None
    assert done.workers == ("w1",)


def test_server_is_killed_for_a_time_or_restarted(ground: FakeGround, clock: ManualClock) -> None:
    faults = [
        Fault(kind=FaultKind.KILL_SERVER, ratio=0.1, duration_s=1.5),
        Fault(kind=FaultKind.RESTART_SERVER, ratio=0.1),
    ]
    conductor = conduct(ground, clock, *faults)

    conductor.step(0.5)
    clock.advance(1.0)
    conductor.step(0.5)

    assert ground.server == [1.5, "restart"]
