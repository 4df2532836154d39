"""What a worker tells of itself: its versions, what it has, what it lacks, and its load at every heartbeat."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from typing import Any

from support.live import LiveCluster
from support.waiting import wait_until

from taskexec.cluster import worker_supervisor
from taskexec.domain.protocol import PROTOCOL
from taskexec.domain.resources import Capacity, Gpu, Route
from taskexec.placement import Offer


def test_registration_says_what_the_worker_is(live: LiveCluster) -> None:
    worker = next(worker for worker in live.cluster.workers.listed())

    assert (worker["version"], worker["protocol"]) == (metadata.version("taskexec"), PROTOCOL)
    assert worker["python"].startswith("3.")
    assert (worker["driver"], worker["notes"]) == ("", [])


def test_load_is_renewed(live: LiveCluster) -> None:
    def load() -> Any:
        return live.cluster.workers.listed()[0]["load"]

    first = load()

    wait_until(lambda: load() != first, "another load", timeout_s=20.0)
    assert {"cpu_percent", "load1", "memory_used_mib", "memory_available_mib", "disk_free_mib"} <= set(load())


def test_declared_worker_registers_what_it_was_given(fresh: Callable[..., LiveCluster]) -> None:
    live = fresh()
    capacity = Capacity(64.0, 4096, (Gpu("declared-0", "declared", 1024),), 1, 9, frozenset({"big"}))
    offer = Offer(capacity, "570.1", ("GPUs declared, without hardware: 1",))
    log = live.place.folder / "worker.log"
    supervisor = worker_supervisor(live.cluster, routes=[Route.GPU], capacity=offer, log_path=log)
    live.supervisors.append(supervisor)

    supervisor.start()
    live.await_worker(supervisor)
    (worker,) = live.cluster.workers.listed()

    assert Capacity.from_record(worker["capacity"]) == capacity
    assert (worker["driver"], worker["notes"]) == ("570.1", list(offer.notes))
