"""The registry of workers in Redis: who is there, what they have, how many slots each route has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import orjson

from taskexec.store.connection import Connection
from taskexec.store.keys import SLOTS, WORKERS, worker_key

__all__ = ["WorkerRegistry"]


class WorkerRegistry:
    """Registrations lapse by themselves when their worker stops renewing them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def register(self, name: str, record: dict[str, Any], *, lifetime_s: float) -> None:
        """Write or renew a registration, and recount the slots of each route.

        `record` holds at least `classes` (routes it serves) and `capacity.slots`.
        """
        now = int(self._connection.call("TIME")[0])  # the clocks of workers may be wrong
        self._connection.pipeline(
            [
                ("SET", worker_key(name), orjson.dumps(record), "PX", int(lifetime_s * 1000)),
                ("ZADD", WORKERS, now + lifetime_s, name),
                ("ZREMRANGEBYSCORE", WORKERS, "-inf", now - 3600),
            ]
        )
        self._recount()

    def expect(self, routes: Iterable[str], slots: int) -> None:
        """Count on slots of a worker that is about to register, so that the first tasks are spread over them."""
        self._connection.call("HSET", SLOTS, *(part for route in routes for part in (route, slots)))

    def remove(self, name: str) -> None:
        """Forget a worker that has ended."""
        self._connection.pipeline([("DEL", worker_key(name)), ("ZREM", WORKERS, name)])
        self._recount()

    def listed(self) -> list[dict[str, Any]]:
        """Return the registrations of all live workers, by name."""
        names = sorted(name.decode() for name in self._connection.call("ZRANGE", WORKERS, 0, -1))
        if not names:
            return []
        values = self._connection.call("MGET", *[worker_key(name) for name in names])
        return [{"name": name, **orjson.loads(value)} for name, value in zip(names, values, strict=True) if value]

    def _recount(self) -> None:
        slots: Counter[str] = Counter()
        for worker in self.listed():
            for route in worker["classes"]:
                slots[route] += worker["capacity"]["slots"]
        if slots:
            self._connection.call("HSET", SLOTS, *(part for item in slots.items() for part in item))
