"""What waits for workers, by route; nothing is changed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from taskexec.domain.resources import Route
from taskexec.store.connection import Connection
from taskexec.store.keys import ACTIVE, run_key
from taskexec.store.queue_lists import lists_of
from taskexec.store.workers import READY_STATE, WorkerRegistry

__all__ = ["QueueDepth", "queue_depths"]

_ROUTES = tuple(map(str, Route))
_LOOKED_AT = 1000
"""Tasks of a run that wait for a place whose routes are looked at."""


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """What waits for workers of one route."""

    route: str
    messages: int
    """Messages in its lists; one may be for many tasks."""
    queued: int
    """Tasks that wait for a slot."""
    held: int
    """Tasks that are queued once fewer are."""
    wanting: int
    """Tasks that wait for a place which has what they ask for; of each run the first thousand count."""
    oldest_s: float | None
    """How long the first of those that are queued has waited; None when none is."""
    consumers: int
    """Workers that take new tasks of it."""
    slots: int
    """Slots of these."""


def queue_depths(connection: Connection) -> list[QueueDepth]:
    """Return what waits, by route.

    Raises:
        ConnectionLost: The server did not answer.
    """
    runs = [run.decode() for run in connection.call("SMEMBERS", ACTIVE)]
    seconds, microseconds = connection.call("TIME")
    now_us = int(seconds) * 1_000_000 + int(microseconds)
    wanting = _wanting(connection, runs)
    workers = [worker for worker in WorkerRegistry(connection).listed() if worker["state"] == READY_STATE]
    found = []
    for route in _ROUTES:
        serving = [worker for worker in workers if route in worker["classes"]]
        queued, held, oldest_us = _of_runs(connection, runs, route)
        found.append(
            QueueDepth(
                route=route,
                messages=sum(map(int, connection.pipeline([("LLEN", name) for name in lists_of(route)]))),
                queued=queued,
                held=held,
                wanting=wanting[route],
                oldest_s=None if oldest_us is None else max(now_us - oldest_us, 0) / 1e6,
                consumers=len(serving),
                slots=sum(int(worker["capacity"]["slots"]) for worker in serving),
            )
        )
    return found


def _of_runs(connection: Connection, runs: list[str], route: str) -> tuple[int, int, int | None]:
    """Return how many tasks are queued and held on a route, and since when the first of the queued ones is."""
    commands: list[tuple[object, ...]] = []
    for run in runs:
        queued = run_key(run, f"queued:{route}")
        commands += [
            ("ZCARD", queued),
            ("ZCARD", run_key(run, f"backlog:{route}")),
            ("ZRANGE", queued, 0, 0, "WITHSCORES"),
        ]
    replies = connection.pipeline(commands) if commands else []
    since = [int(float(first[1])) for first in replies[2::3] if first]
    return sum(map(int, replies[::3])), sum(map(int, replies[1::3])), min(since, default=None)


def _wanting(connection: Connection, runs: list[str]) -> Counter[str]:
    """Return how many tasks wait for a place, by route."""
    counts: Counter[str] = Counter()
    if not runs:
        return counts
    first = connection.pipeline([("ZRANGE", run_key(run, "wanting"), 0, _LOOKED_AT - 1) for run in runs])
    asked = [(run, indexes) for run, indexes in zip(runs, first, strict=True) if indexes]
    if asked:
        for records in connection.pipeline([("HMGET", run_key(run, "task"), *indexes) for run, indexes in asked]):
            counts.update(record.split(b"\t", 2)[1].decode() for record in records if record)
    return counts
