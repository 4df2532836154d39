"""The caretaker: a thread of a worker's main process that keeps its registration alive and reaps for everybody."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from taskexec.errors import ConnectionLost
from taskexec.runtime.attempt import lost_record
from taskexec.runtime.carrier import child_of, number_of
from taskexec.runtime.sweep import end_orphans, is_alive
from taskexec.store.connection import Connection
from taskexec.store.nodes import RedisNodes
from taskexec.store.runs import RedisRunStore
from taskexec.store.workers import WorkerRegistry

__all__ = ["Caretaker"]

log = logging.getLogger("taskexec.caretaker")

_SHORTEST_S = 0.02
"""Between two rounds, however much is due."""


class Caretaker:
    """Registers a worker every `interval_s`, and ends lapsed leases of all active runs; any number may do so."""

    def __init__(
        self,
        worker: str,
        record: dict[str, Any],
        connection: Connection,
        *,
        interval_s: float,
        lease_s: float,
        load: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        self._worker = worker
        self._record = record
        self._store = RedisRunStore(connection)
        self._registry = WorkerRegistry(connection)
        self._nodes = RedisNodes(connection)
        self._interval_s = interval_s
        self._lease_s = lease_s
        self._load = load
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="tek-caretaker", daemon=True)

    def start(self) -> None:
        """Register the worker and begin the rounds."""
        with contextlib.suppress(ConnectionLost):
            self._registry.register(self._worker, self._present(), lifetime_s=3 * self._interval_s + 1)
        self._thread.start()

    def stop(self) -> None:
        """End the rounds and take back the registration."""
        self._stop.set()
        self._thread.join(timeout=5.0)
        with contextlib.suppress(ConnectionLost):
            self._registry.remove(self._worker)

    def _loop(self) -> None:
        pause_s = self._interval_s
        while not self._stop.wait(pause_s):
            pause_s = self._interval_s
            try:
                pause_s = self.make_round()
            except ConnectionLost as error:
                log.warning("%s", error.message)
            except Exception:
                log.exception("a round failed; the next one follows")  # without rounds nothing would ever be reaped

    def make_round(self) -> float:
        """Renew the registration, release what dead pool children held, and reap every active run once.

        Returns:
            Seconds until the next round: the interval, or less when something is due before.
        """
        pause_s = self._interval_s
        self._registry.register(self._worker, self._present(), lifetime_s=3 * self._interval_s + 1)
        record = lost_record("its lease lapsed: the worker died, hung or lost its connection", worker=self._worker)
        for run_id in self._store.active():
            self._release_dead_children(run_id)
            reaped = self._store.reap(run_id, worker=self._worker, lease_s=self._lease_s, record=record)
            if reaped.lapsed or reaped.requeued:
                told = (run_id, reaped.lapsed, reaped.requeued)
                log.warning("run %s: %d leases lapsed, %d lost messages queued again", *told)
            if reaped.due_s is not None:
                pause_s = min(pause_s, max(reaped.due_s, _SHORTEST_S))
        self._give_back_what_is_over()
        self._nodes.place()
        return pause_s

    def _give_back_what_is_over(self) -> None:
        """Give back slots of deliveries whose pool child has died, or has taken another delivery since.

        A child that works says so itself; what it cannot say is found here.
        """
        holds = next((view.holds for view in self._nodes.views() if view.name == self._worker), ())
        tokens = [hold.name for hold in holds if hold.name.startswith(f"{self._worker}/")]
        newest: dict[int, int] = {}
        for token in tokens:
            newest[child_of(token)] = max(newest.get(child_of(token), 0), number_of(token))
        dead = {child for child in newest if not is_alive(child)}
        over = [token for token in tokens if child_of(token) in dead or number_of(token) < newest[child_of(token)]]
        self._nodes.give_back(self._worker, over)

    def _present(self) -> dict[str, Any]:
        """Return the registration with the load of now."""
        return self._record | {"load": dict(self._load())}

    def _release_dead_children(self, run_id: str) -> None:
        """End the attempts of pool children that are gone; Celery itself takes five seconds to notice."""
        lost = [
            member
            for member, token in self._store.leases(run_id)
            if token.startswith(f"{self._worker}/") and not is_alive(child_of(token))
        ]
        if lost:
            end_orphans(self._worker)
            record = lost_record("its pool child died", worker=self._worker)
            self._store.lose(run_id, lost, worker=self._worker, record=record)
            log.warning("run %s: %d attempts lost with their pool child", run_id, len(lost))
