"""Tests of what Flower is told of workers."""

from __future__ import annotations

import pytest

from taskexec.broker.watching import WorkerEvents, rest_s


def registered(name: str, free: int = 3) -> dict[str, object]:
    return {"name": name, "pid": 7, "capacity": {"slots": 4}, "free": {"slots": free}, "load": {"load1": 0.5}}


def test_worker_comes_lives_and_leaves() -> None:
    workers = WorkerEvents()

    told = [
        [(event["type"], event["hostname"]) for event in workers.take(listed, now)]
        for now, listed in enumerate([[registered("a")], [registered("a"), registered("b")], [registered("b")]], 1)
    ]

    assert told == [
        [("worker-online", "a")],
        [("worker-heartbeat", "a"), ("worker-online", "b")],
        [("worker-heartbeat", "b"), ("worker-offline", "a")],
    ]


def test_slots_in_use_are_what_is_active() -> None:
    (event,) = WorkerEvents().take([registered("a", free=1)], 5.0)

    assert (event["active"], event["loadavg"], event["timestamp"]) == (3, [0.5], 5.0)


@pytest.mark.parametrize(("cores", "factor"), [(1, 9.0), (2, 4.0), (5, 1.0), (10, 0.0), (64, 0.0)])
def test_watching_takes_a_tenth_of_the_machine(cores: int, factor: float) -> None:
    assert rest_s(2.0, cores) == pytest.approx(2.0 * factor)
