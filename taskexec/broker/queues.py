"""The Celery queues and where their messages lie in Redis, priorities included."""

from __future__ import annotations

from bisect import bisect

from kombu import Queue

from taskexec.domain.resources import Route
from taskexec.store.keys import direct_key
from taskexec.store.queue_lists import PRIORITY_STEPS, list_of

__all__ = ["HIGHEST", "declare_queues", "queue_key", "to_redis_priority"]

HIGHEST = 9
"""Our highest priority; kombu's Redis transport serves 0 first."""


def declare_queues(routes: list[Route], worker: str = "") -> list[Queue]:
    """Return the Celery queues of some routes, behind that of what was placed on a worker."""
    names = [*([direct_key(worker)] if worker else []), *map(str, routes)]
    return [Queue(name, routing_key=name) for name in names]


def to_redis_priority(priority: int) -> int:
    """Return kombu's step for one of our priorities (0 to 9, higher first): the only translation there is."""
    turned = HIGHEST - min(max(priority, 0), HIGHEST)
    return PRIORITY_STEPS[bisect(PRIORITY_STEPS, turned) - 1]


def queue_key(route: Route, priority: int) -> str:
    """Return the Redis list that holds a route's messages of a priority, named as kombu names it."""
    return list_of(str(route), to_redis_priority(priority))
