"""A worker's pool that widens and narrows between limits, by what waits and by the load of its machine.

`measure` is called by the caretaker's thread, `adjust` in the thread of Celery's loop; the rule is `domain.pool_size`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from taskexec.domain.pool_size import PoolLimits, PoolView, wanted_slots
from taskexec.domain.resources import Capacity

__all__ = ["Measured", "Pool", "narrow"]

log = logging.getLogger("taskexec.pool")


@dataclass(frozen=True, slots=True)
class Measured:
    """What the caretaker knows and Celery's loop does not."""

    waiting: int = 0
    """Messages and tasks that wait for a slot."""
    held: int = 0
    """Slots that are taken or promised on the server."""
    load: float = 0.0
    """Load of the machine by the core."""
    memory_available_mib: int = 0


class Pool:
    """The size of one worker's pool."""

    def __init__(
        self,
        capacity: Capacity,
        limits: PoolLimits,
        *,
        changed: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with the slots of `capacity`; `changed` is called, in Celery's loop, when there are others."""
        self._capacity = capacity
        self._limits = limits
        self._changed = changed
        self._clock = clock
        self._measured: Measured | None = None
        self._full_at = clock()
        self.slots = capacity.slots
        """Processes that it has."""

    def measure(self, measured: Measured) -> None:
        """Take note of what waits and of the machine's load."""
        self._measured = measured

    def adjust(self, consumer: Any, *, busy: int, idle_s: float) -> None:
        """Widen or narrow the pool of a consumer where that is due; no busy process is ever ended."""
        measured, now = self._measured, self._clock()
        if measured is None:
            return
        busy = max(busy, measured.held)
        if busy >= self.slots:
            self._full_at = now
        view = PoolView(
            slots=self.slots,
            busy=busy,
            waiting=measured.waiting,
            load=measured.load,
            memory_available_mib=measured.memory_available_mib,
            spare_s=max(idle_s, now - self._full_at),
        )
        wanted = wanted_slots(view, self._limits)
        if wanted > self.slots:
            consumer.pool.grow(wanted - self.slots)
            consumer.pool.maintain_pool()
            consumer._update_prefetch_count(wanted - self.slots)
        elif wanted < self.slots and narrow(consumer):
            wanted = self.slots - 1
        else:
            return
        log.info("slots changed", extra={"slots": wanted, "before": self.slots})
        self.slots = wanted
        self._measured, self._full_at = None, now  # what was measured is answered: look again first
        self._changed()

    def present(self) -> Mapping[str, Any]:
        """Return what the registration says of it: what the worker has, with the slots of now."""
        capacity = replace(self._capacity, slots=self.slots).to_record()
        return {"capacity": capacity, "slots_range": [self._limits.smallest, self._limits.largest]}


def narrow(consumer: Any) -> bool:
    """End one process of a consumer's pool that has nothing to do; return whether there was one.

    Celery asks only what a process has acknowledged; one to which something was just written counts as busy here.
    """
    inner = consumer.pool._pool
    process = next(inner._iterinactive(), None)
    if process is None or process.inqW_fd in inner._busy_workers:
        return False
    if any(process in (job._write_to, job._scheduled_for) for job in inner._cache.values()):
        return False
    inner._busy_workers.add(process.inqW_fd)  # nothing is written to it any more; its end takes the mark away
    consumer.pool.shrink(1)
    consumer._update_prefetch_count(-1)
    return True
