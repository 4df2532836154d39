"""What a worker's main process does when it is cordoned, drained or told to leave."""

from __future__ import annotations

from typing import Any

import pytest
from celery.worker import state as celery_state

from taskexec.runtime.presence import SETTLE_S, Presence
from taskexec.store.workers import CORDONED, DRAINING, READY_STATE


class FakeConsumer:
    """Knows which queues it consumes."""

    def __init__(self) -> None:
        self.queues = {"cpu", "gpu", "tek.w"}

    def add_task_queue(self, queue: str) -> None:
        self.queues.add(queue)

    def cancel_task_queue(self, queue: str) -> None:
        self.queues.remove(queue)


class Stand:
    """A presence with its time, its consumer and what Celery knows of its requests."""

    def __init__(self, shutdown_s: float = 100.0) -> None:
        self.now = 0.0
        self.consumer = FakeConsumer()
        self.presence = Presence(["cpu", "gpu"], "tek.w", shutdown_s=shutdown_s, clock=lambda: self.now)

    def tick(self, seconds: float = 0.2) -> None:
        self.now += seconds
        self.presence.tick(self.consumer)

    @property
    def has_left(self) -> bool:
        return celery_state.should_stop is not None


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Stand:
    monkeypatch.setattr(celery_state, "should_stop", None)
    monkeypatch.setattr(celery_state, "reserved_requests", set())
    return Stand()


def set_busy(requests: int) -> None:
    held: Any = celery_state.reserved_requests
    held.clear()
    held.update(range(requests))


def test_ready_worker_consumes_all_its_queues(stand: Stand) -> None:
    stand.tick()

    assert stand.consumer.queues == {"cpu", "gpu", "tek.w"}


def test_cordoned_worker_consumes_only_what_was_placed_on_it(stand: Stand) -> None:
    stand.presence.wish = CORDONED
    stand.tick()

    assert stand.consumer.queues == {"tek.w"}


def test_uncordoned_worker_consumes_again(stand: Stand) -> None:
    for wish in (CORDONED, READY_STATE):
        stand.presence.wish = wish
        stand.tick()

    assert stand.consumer.queues == {"cpu", "gpu", "tek.w"}


def test_draining_worker_consumes_nothing_and_leaves_once_all_is_taken_back_and_settled(stand: Stand) -> None:
    stand.presence.wish = DRAINING
    stand.tick()
    assert stand.consumer.queues == set()

    stand.tick(SETTLE_S)
    assert not stand.has_left  # what was placed on it is still its own

    stand.presence.is_taken_back = True
    stand.tick()
    assert celery_state.should_stop == 0


def test_draining_worker_stays_while_it_runs_something(stand: Stand) -> None:
    set_busy(1)
    stand.presence.wish, stand.presence.is_taken_back = DRAINING, True
    stand.tick()
    stand.presence.is_taken_back = True
    stand.tick(1000.0)
    assert not stand.has_left

    set_busy(0)
    stand.tick()
    assert stand.has_left


def test_drain_that_was_taken_back_in_time_is_none(stand: Stand) -> None:
    set_busy(1)
    stand.presence.wish = DRAINING
    stand.tick()
    stand.presence.wish = READY_STATE
    set_busy(0)
    stand.tick(1000.0)

    assert (stand.has_left, stand.consumer.queues) == (False, {"cpu", "gpu", "tek.w"})


def test_worker_that_was_told_to_leave_drains_whatever_is_wished(stand: Stand) -> None:
    stand.presence.ask_to_leave()
    stand.tick()

    assert (stand.presence.state, stand.consumer.queues) == (DRAINING, set())


def test_worker_that_leaves_does_not_wait_for_ever_for_a_server_that_is_away(stand: Stand) -> None:
    stand.presence.ask_to_leave()
    stand.tick()
    stand.tick(5.0)

    assert stand.has_left


def test_worker_that_was_told_to_leave_just_before_its_server_went_leaves_without_it(stand: Stand) -> None:
    stand.tick()
    stand.presence.ask_to_leave()
    stand.presence.tick_apart()
    assert not stand.has_left  # the server may be back in a moment

    stand.now += 3.0
    stand.presence.tick_apart()
    assert celery_state.should_stop == 0


def test_worker_whose_server_is_away_stays_unless_it_is_told_to_leave(stand: Stand) -> None:
    stand.tick()
    stand.presence.wish = DRAINING
    stand.now += 1000.0
    stand.presence.tick_apart()

    assert not stand.has_left


def test_time_to_leave_begins_with_the_first_signal(stand: Stand) -> None:
    stand = Stand(shutdown_s=10.0)
    stand.presence.ask_to_leave()
    stand.tick(9.0)
    stand.presence.ask_to_leave()
    assert not stand.presence.is_overdue

    stand.tick(1.0)
    assert stand.presence.is_overdue


def test_drained_worker_is_never_overdue(stand: Stand) -> None:
    set_busy(1)
    stand.presence.wish = DRAINING
    stand.tick(1_000_000.0)

    assert not stand.presence.is_overdue


def test_idle_time_is_counted_from_the_last_request(stand: Stand) -> None:
    set_busy(1)
    stand.tick()
    assert stand.presence.present() == {"idle_s": 0.0}

    set_busy(0)
    stand.tick(7.0)
    assert stand.presence.present() == {"idle_s": 7.0}
