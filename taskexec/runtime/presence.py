"""The presence of a worker: whether it takes tasks, how many at once, and when it leaves.

The caretaker's thread says what is wished and known (`wish`, `is_taken_back`, `Pool.measure`); what is done about it in
Celery's consumer and pool is done in the thread of Celery's loop, which calls `tick` several times a second.

ready <-> cordoned (only what was placed on it already) -> draining (nothing) -> left. Draining by a wish can be taken
back until it has left, draining by TERM cannot, and has a limit of time.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from celery.worker import state as celery_state

from taskexec.runtime.pool import Pool
from taskexec.store.workers import DRAINING, READY_STATE

__all__ = ["Presence"]

log = logging.getLogger("taskexec.presence")

_STATE: Any = celery_state
TICK_S = 0.2
SETTLE_S = 1.2
"""A pop that was under way when a queue was closed ends within a second, and what it got is put back."""
_UNHEARD_S = 5.0
"""A worker that leaves while the server is away does not wait longer for what was placed on it to be taken back."""
_DEAF_S = 2.0
"""A loop that has not ticked for so long waits for the server, and must be ended by Celery's own means."""


class Presence:
    """What one worker's main process does about taking tasks and leaving."""

    def __init__(
        self,
        shared: Sequence[str],
        direct: str,
        *,
        shutdown_s: float,
        pool: Pool | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make it for a worker that is ready.

        Args:
            shared: Celery queues of its routes.
            direct: Celery queue of what was placed on it.
            shutdown_s: Longest time between TERM and its end, in seconds, that running attempts get.
            pool: What decides on the size of its pool; None leaves that as it is.
            clock: Monotonic seconds.
        """
        self.wish = READY_STATE
        """What is wished of it, as the caretaker was told last."""
        self.is_taken_back = False
        """Whether what was placed on it was taken back since it drains."""
        self._open: dict[str, bool] = dict.fromkeys([*shared, direct], True)
        self._direct = direct
        self._shutdown_s = shutdown_s
        self._pool = pool
        self._clock = clock
        self._asked_at: float | None = None
        self._closed_at: float | None = None
        self._busy_at = self._ticked_at = clock()
        self._is_busy = False

    @property
    def state(self) -> str:
        """What it is: one of the states of the registry."""
        return DRAINING if self._asked_at is not None else self.wish

    @property
    def is_asked(self) -> bool:
        """Whether it was told to leave by a signal."""
        return self._asked_at is not None

    @property
    def is_overdue(self) -> bool:
        """Whether the time is up that running attempts had since it was told to leave."""
        return self._asked_at is not None and self._clock() - self._asked_at >= self._shutdown_s

    @property
    def idle_s(self) -> float:
        """Seconds since it had something to do, 0 while it has."""
        return 0.0 if self._is_busy else self._clock() - self._busy_at

    def ask_to_leave(self) -> None:
        """Have it take nothing more, finish and leave; safe in a signal handler."""
        if self._asked_at is None:
            self._asked_at = self._clock()

    def handle_term(self) -> None:
        """Have TERM mean `ask_to_leave`; where Celery's loop waits for the server, what Celery makes of it."""
        before = signal.getsignal(signal.SIGTERM)

        def handle(number: int, frame: Any) -> None:
            self.ask_to_leave()
            if self._clock() - self._ticked_at > _DEAF_S and callable(before):
                before(number, frame)

        signal.signal(signal.SIGTERM, handle)

    def attach(self, consumer: Any) -> None:
        """Tick in the loop of a consumer that has (again) connected."""
        consumer.timer.call_repeatedly(TICK_S, self.tick, (consumer,))

    def tick(self, consumer: Any) -> None:
        """Do what is to be done now; called in the thread of Celery's loop."""
        self._ticked_at = now = self._clock()
        busy = len(celery_state.reserved_requests)
        self._is_busy = busy > 0
        if busy:
            self._busy_at = now
        state = self.state
        self._set_open(consumer, shared=state == READY_STATE, direct=state != DRAINING)
        if self._pool is not None and state == READY_STATE:
            self._pool.adjust(consumer, busy=busy, idle_s=self.idle_s)
        if state != DRAINING:
            self._closed_at, self.is_taken_back = None, False
            return
        if self._closed_at is None:
            self._closed_at = now
        closed_s = now - self._closed_at
        if not busy and closed_s >= SETTLE_S and (self.is_taken_back or closed_s >= _UNHEARD_S):
            _STATE.should_stop = 0

    def tick_apart(self) -> None:
        """Leave if it was told to; called in the same thread, in place of `tick`, while the server is away.

        The signal may have come just before the server went, as where everything is ended at once. Running attempts
        finish in the warm end that Celery makes of it.
        """
        if self.is_asked and self._clock() - self._ticked_at > _DEAF_S:
            _STATE.should_stop = 0

    def _set_open(self, consumer: Any, *, shared: bool, direct: bool) -> None:
        for queue, was_open in self._open.items():
            is_open = direct if queue == self._direct else shared
            if is_open == was_open:
                continue
            self._open[queue] = is_open
            if is_open:
                consumer.add_task_queue(queue)
            else:
                consumer.cancel_task_queue(queue)

    def present(self) -> Mapping[str, Any]:
        """Return what the registration says of it beside what never changes."""
        told: dict[str, Any] = {"idle_s": round(self.idle_s, 1)}
        return told if self._pool is None else told | dict(self._pool.present())
