"""The registry of workers in Redis: who is there, what they have and what is wished of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from taskexec.domain.fit import CPUS, DISK, GPUS, MEMORY, SLOTS, WHOLE, traits_of, vector_of
from taskexec.domain.resources import Capacity
from taskexec.store.connection import Connection
from taskexec.store.keys import CALM, LAPSED_AT, WANTING, WISHES, WORKERS, direct_key, worker_key
from taskexec.store.keys import SLOTS as SLOTS_KEY
from taskexec.store.nodes import RedisNodes
from taskexec.store.queue_lists import lists_of

__all__ = ["CORDONED", "DRAINING", "READY_STATE", "WorkerRegistry"]

READY_STATE = "ready"
"""State of a worker that takes new tasks."""
CORDONED = "cordoned"
"""State of a worker that takes nothing new."""
DRAINING = "draining"
"""State of a worker that takes nothing new, finishes what it has begun and leaves."""


def _free(vector: Sequence[int]) -> dict[str, float]:
    """Return what is left of a worker, as people read it."""
    return {
        "cpus": vector[CPUS] / WHOLE,
        "memory_mib": vector[MEMORY],
        "gpus": sum(vector[GPUS::2]) / WHOLE,
        "slots": vector[SLOTS],
        "disk_mib": vector[DISK],
    }


class WorkerRegistry:
    """Registrations lapse by themselves when their worker stops renewing them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._nodes = RedisNodes(connection)

    def register(self, name: str, record: dict[str, Any], *, lifetime_s: float) -> None:
        """Write or renew a registration, and recount the slots of each route.

        `record` holds at least `classes` (routes it serves), `agents` and `capacity` (`Capacity.to_record`). Workers
        whose registration has lapsed leave on the way: what they held returns.
        """
        now = int(self._connection.call("TIME")[0])  # the clocks of workers may be wrong
        self._connection.pipeline(
            [
                ("ZADD", WORKERS, now + lifetime_s, name),
                ("ZREMRANGEBYSCORE", WORKERS, "-inf", now - 3600),
            ]
        )
        capacity = Capacity.from_record(record["capacity"])
        is_ready = self.state_of(name) == READY_STATE
        traits = traits_of(capacity, record["classes"], record["agents"], is_ready=is_ready)
        self._nodes.join(name, traits, vector_of(capacity))
        # last, so that who is listed has joined
        self._connection.call("SET", worker_key(name), orjson.dumps(record), "PX", int(lifetime_s * 1000))
        self._let_lapse(now, lifetime_s)
        self._recount()

    def _let_lapse(self, now: int, lifetime_s: float) -> None:
        """Have workers leave whose registration has lapsed.

        After a gap in which nobody could register (the server was stopped), nobody leaves for one lifetime: others get
        the time to renew that they did not have.
        """
        # not `SET … GET`, of which a pipeline tells no more than whether it was done
        last, _, calm = self._connection.pipeline([("GET", LAPSED_AT), ("SET", LAPSED_AT, now), ("EXISTS", CALM)])
        if last is None or now - int(last) > max(lifetime_s / 2, 1):  # both are whole seconds
            self._connection.call("SET", CALM, 1, "PX", int(lifetime_s * 1000))
            calm = 1
        if calm:
            return
        known = set(self._nodes.joined())
        there = {name.decode() for name in self._connection.call("ZRANGEBYSCORE", WORKERS, now, "+inf")}
        gone = sorted(known - there)
        if gone:
            self._nodes.leave(*gone)
            self._connection.call("HDEL", WISHES, *gone)

    def state_of(self, name: str) -> str:
        """Return what is wished of a worker: `ready`, `cordoned` (take nothing new) or `draining` (and then end)."""
        wish = self._connection.call("HGET", WISHES, name)
        return READY_STATE if wish is None else str(wish.decode())

    def wish(self, name: str, state: str) -> None:
        """Wish that a worker is in a state (`state_of`); it takes nothing new from then on, or again."""
        if state == READY_STATE:
            self._connection.call("HDEL", WISHES, name)
        else:
            self._connection.call("HSET", WISHES, name, state)
        value = self._connection.call("GET", worker_key(name))
        if value is not None:
            record = orjson.loads(value)
            capacity = Capacity.from_record(record["capacity"])
            traits = traits_of(capacity, record["classes"], record["agents"], is_ready=state == READY_STATE)
            self._nodes.join(name, traits, vector_of(capacity))

    def waiting(self, name: str, routes: Iterable[str]) -> int:
        """Return how much waits for a slot like a worker's: messages in its queues, and tasks that want a place.

        A task without a place counts once a run, however many of it wait: whether they would fit here is not known.
        """
        lists = [direct_key(name), *(each for route in routes for each in lists_of(route))]
        *lengths, wanting = self._connection.pipeline([*(("LLEN", key) for key in lists), ("ZCARD", WANTING)])
        return sum(map(int, lengths)) + int(wanting)

    def expect(self, routes: Iterable[str], slots: int) -> None:
        """Count on slots of a worker that is about to register, so that the first tasks are spread over them."""
        self._connection.call("HSET", SLOTS_KEY, *(part for route in routes for part in (route, slots)))

    def remove(self, name: str) -> None:
        """Forget a worker that has ended."""
        self._connection.pipeline([("DEL", worker_key(name)), ("ZREM", WORKERS, name), ("HDEL", WISHES, name)])
        self._nodes.leave(name)
        self._recount()

    def listed(self) -> list[dict[str, Any]]:
        """Return the registrations of all live workers, by name, with what is `free` and their `state`."""
        names = sorted(name.decode() for name in self._connection.call("ZRANGE", WORKERS, 0, -1))
        if not names:
            return []
        values = self._connection.call("MGET", *[worker_key(name) for name in names])
        wishes = self._connection.call("HMGET", WISHES, *names)
        views = {view.name: view for view in self._nodes.views()}
        found = []
        for name, value, wish in zip(names, values, wishes, strict=True):
            if value:
                record = {"name": name, **orjson.loads(value), "state": wish.decode() if wish else READY_STATE}
                found.append(record | ({"free": _free(views[name].free)} if name in views else {}))
        return found

    def _recount(self) -> None:
        slots: Counter[str] = Counter()
        for worker in self.listed():
            for route in worker["classes"]:
                slots[route] += worker["capacity"]["slots"]
        if slots:
            self._connection.call("HSET", SLOTS_KEY, *(part for item in slots.items() for part in item))
