"""Registrations that are not renewed lapse, and those who go on have their workers leave."""

from __future__ import annotations

from typing import Any

import pytest

from taskexec.domain.resources import Capacity
from taskexec.store.connection import Connection
from taskexec.store.keys import CALM, LAPSED_AT, WORKERS, worker_key
from taskexec.store.nodes import RedisNodes
from taskexec.store.workers import DRAINING, WorkerRegistry

LIFETIME_S = 15.0
RECORD: dict[str, Any] = {
    "classes": ["cpu"],
    "agents": ["noop"],
    "capacity": Capacity(cpus=4.0, memory_mib=1000, slots=4).to_record(),
}


@pytest.fixture
def registry(connection: Connection) -> WorkerRegistry:
    """A registry in which nobody was there for long, and two workers are now."""
    registry = WorkerRegistry(connection)
    for name in ("w1", "w2"):
        registry.register(name, RECORD, lifetime_s=LIFETIME_S)
    return registry


def end_calm(connection: Connection) -> None:
    connection.call("DEL", CALM)


def lapse(connection: Connection, name: str) -> None:
    """Do what time does to a registration that is not renewed."""
    connection.call("ZADD", WORKERS, int(connection.call("TIME")[0]) - 1, name)
    connection.call("DEL", worker_key(name))


def joined(connection: Connection) -> list[str]:
    return RedisNodes(connection).joined()


def test_worker_leaves_whose_registration_has_lapsed(registry: WorkerRegistry, connection: Connection) -> None:
    end_calm(connection)
    registry.wish("w1", DRAINING)
    lapse(connection, "w1")

    registry.register("w2", RECORD, lifetime_s=LIFETIME_S)

    assert joined(connection) == ["w2"]
    assert registry.state_of("w1") != DRAINING


def test_worker_stays_whose_registration_is_renewed(registry: WorkerRegistry, connection: Connection) -> None:
    end_calm(connection)

    registry.register("w2", RECORD, lifetime_s=LIFETIME_S)

    assert joined(connection) == ["w1", "w2"]


@pytest.mark.parametrize("gap_s", [None, 8, 10_000])
def test_nobody_leaves_after_a_gap_in_which_nobody_could_register(
    registry: WorkerRegistry, connection: Connection, gap_s: int | None
) -> None:
    end_calm(connection)
    lapse(connection, "w1")
    if gap_s is None:
        connection.call("DEL", LAPSED_AT)
    else:
        connection.call("SET", LAPSED_AT, int(connection.call("TIME")[0]) - gap_s)

    for _ in range(2):
        registry.register("w2", RECORD, lifetime_s=LIFETIME_S)

    assert joined(connection) == ["w1", "w2"]
