"""A pool that widens and narrows in Celery's loop, and never ends a busy process."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from taskexec.domain.pool_size import PoolLimits
from taskexec.domain.resources import Capacity
from taskexec.runtime.pool import Measured, Pool

LIMITS = PoolLimits(smallest=1, largest=4, idle_s=60.0)
ROOM = Measured(waiting=5, held=0, load=0.1, memory_available_mib=4096)
REST = Measured(waiting=0, held=0, load=0.1, memory_available_mib=4096)


class FakeConsumer:
    """Celery's consumer and pool, as far as sizes go."""

    def __init__(self, size: int) -> None:
        self.processes = [SimpleNamespace(inqW_fd=10 + number) for number in range(size)]
        self.prefetch = size
        self.ended: list[Any] = []
        self.pool: Any = SimpleNamespace(
            grow=self.grow, shrink=self.shrink, maintain_pool=lambda: None, _pool=SimpleNamespace()
        )
        self.pool._pool._busy_workers = set()
        self.pool._pool._cache = {}
        self.pool._pool._iterinactive = lambda: iter(self.processes)

    def grow(self, count: int) -> None:
        self.processes += [SimpleNamespace(inqW_fd=50 + len(self.processes)) for _ in range(count)]

    def shrink(self, count: int) -> None:
        assert count == 1
        self.ended.append(self.processes.pop(0))

    def _update_prefetch_count(self, by: int) -> None:
        self.prefetch += by


class Stand:
    def __init__(self, slots: int) -> None:
        self.now = 0.0
        self.changes = 0
        self.consumer = FakeConsumer(slots)
        capacity = Capacity(8.0, 1024, (), slots)
        self.pool = Pool(capacity, LIMITS, changed=self.count, clock=lambda: self.now)

    def count(self) -> None:
        self.changes += 1

    def adjust(self, measured: Measured, *, busy: int, idle_s: float = 0.0) -> None:
        self.pool.measure(measured)
        self.pool.adjust(self.consumer, busy=busy, idle_s=idle_s)


def test_pool_widens_with_its_prefetch_count_and_says_so() -> None:
    stand = Stand(2)

    stand.adjust(ROOM, busy=2)

    assert (stand.pool.slots, len(stand.consumer.processes), stand.consumer.prefetch) == (3, 3, 3)
    assert (stand.changes, stand.pool.present()["capacity"]["slots"]) == (1, 3)


def test_one_measurement_is_answered_once() -> None:
    stand = Stand(1)
    stand.adjust(ROOM, busy=1)

    stand.pool.adjust(stand.consumer, busy=2, idle_s=0.0)

    assert stand.pool.slots == 2


def test_nothing_happens_before_anything_was_measured() -> None:
    stand = Stand(1)

    stand.pool.adjust(stand.consumer, busy=1, idle_s=0.0)

    assert stand.changes == 0


def test_pool_narrows_by_a_process_that_is_idle() -> None:
    stand = Stand(3)
    stand.now = 61.0

    stand.adjust(REST, busy=1)

    assert (stand.pool.slots, len(stand.consumer.ended), stand.consumer.prefetch) == (2, 1, 2)


def test_slots_promised_on_the_server_count_as_busy() -> None:
    stand = Stand(3)
    stand.now = 61.0

    stand.adjust(Measured(held=3), busy=0)

    assert stand.pool.slots == 3


def test_process_that_was_just_given_a_message_is_not_ended() -> None:
    for mark in ("busy", "written"):
        stand = Stand(2)
        stand.now = 61.0
        inner, process = stand.consumer.pool._pool, stand.consumer.processes[0]
        if mark == "busy":
            inner._busy_workers.add(process.inqW_fd)
        else:
            inner._cache[1] = SimpleNamespace(_write_to=process, _scheduled_for=None)

        stand.adjust(REST, busy=1)

        assert (stand.pool.slots, stand.consumer.ended) == (2, [])


def test_no_process_to_spare_leaves_the_pool_as_it_is() -> None:
    stand = Stand(2)
    stand.now = 61.0
    stand.consumer.pool._pool._iterinactive = lambda: iter(())

    stand.adjust(REST, busy=1)

    assert (stand.pool.slots, stand.changes) == (2, 0)
