"""The caretaker: a thread of a worker's main process that keeps its registration alive and reaps for everybody."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from taskexec.domain.protocol import PROTOCOL, understands
from taskexec.errors import ConnectionLost
from taskexec.runtime.attempt import lost_record
from taskexec.runtime.carrier import child_of, number_of
from taskexec.runtime.departure import end_running, given_back_record, leave
from taskexec.runtime.meter import Meter
from taskexec.runtime.pool import Measured, Pool
from taskexec.runtime.presence import Presence
from taskexec.runtime.sweep import end_orphans, is_alive
from taskexec.runtime.watched import WorkerStanding
from taskexec.store.connection import Connection
from taskexec.store.nodes import NodeView, RedisNodes
from taskexec.store.runs import RedisRunStore
from taskexec.store.workers import DRAINING, READY_STATE, WorkerRegistry

__all__ = ["Caretaker"]

log = logging.getLogger("taskexec.caretaker")

_SHORTEST_S = 0.02
"""Between two rounds, however much is due."""
_KNOWN_RUNS = 1000


def _foreign_note(version: int) -> str:
    return f"what is of protocol {version} is left alone: this worker speaks {PROTOCOL} and its neighbours"


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
        presence: Presence | None = None,
        pool: Pool | None = None,
        grace_s: float = 5.0,
        meter: Meter | None = None,
    ) -> None:
        self._worker = worker
        self._meter = meter
        self._view: NodeView | None = None
        self._presented: Mapping[str, Any] = record
        self._record = record
        self._store = RedisRunStore(connection)
        self._registry = WorkerRegistry(connection)
        self._nodes = RedisNodes(connection)
        self._interval_s = interval_s
        self._lease_s = lease_s
        # longer than a lease: what a worker holds is forgotten only when its attempts have been given to others
        self._lifetime_s = max(3 * interval_s + 1, 1.5 * lease_s)
        self._load = load
        self._presence = presence
        self._pool = pool
        self._grace_s = grace_s
        self._foreign: set[int] = set()
        self._runs: dict[str, int] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="tek-caretaker", daemon=True)

    def tell(self, told: Mapping[str, Any]) -> None:
        """Have the registration say more from now on."""
        self._record |= told

    def start(self) -> None:
        """Register the worker and begin the rounds."""
        with contextlib.suppress(ConnectionLost):
            self._registry.register(self._worker, self._present(), lifetime_s=self._lifetime_s)
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
            if self._presence is not None and self._presence.is_overdue:
                self._leave_at_once()
            try:
                pause_s = self.make_round()
            except ConnectionLost as error:
                log.warning("a round was cut short", extra={"error": error.message})
            except Exception:
                log.exception("a round failed; the next one follows")  # without rounds nothing would ever be reaped

    def make_round(self) -> float:
        """Renew the registration, release what dead pool children held, and reap every active run once.

        Returns:
            Seconds until the next round: the interval, or less when something is due before.
        """
        pause_s = self._interval_s
        self._heed_wishes()
        self._registry.register(self._worker, self._present(), lifetime_s=self._lifetime_s)
        runs = [run_id for run_id in self._store.active() if self._is_understood(run_id)]
        self._take_back(runs)
        record = lost_record("its lease lapsed: the worker died, hung or lost its connection", worker=self._worker)
        for run_id in runs:
            self._release_dead_children(run_id)
            reaped = self._store.reap(run_id, worker=self._worker, lease_s=self._lease_s, record=record)
            if reaped.lapsed or reaped.requeued:
                told = {"run": run_id, "lapsed": reaped.lapsed, "queued_again": reaped.requeued}
                log.warning("leases lapsed, or messages were lost", extra=told)
            if reaped.lapsed and self._meter is not None:
                self._meter.lapsed(reaped.lapsed)
            if reaped.due_s is not None:
                pause_s = min(pause_s, max(reaped.due_s, _SHORTEST_S))
        self._give_back_what_is_over()
        self._nodes.place()
        return pause_s

    def _give_back_what_is_over(self) -> None:
        """Give back slots of deliveries whose pool child has died, or has taken another delivery since.

        A child that works says so itself; what it cannot say is found here.
        """
        views = self._nodes.views()
        self._view = next((view for view in views if view.name == self._worker), None)
        holds = () if self._view is None else self._view.holds
        if self._pool is not None:
            self._measure(self._pool, len(holds))
        tokens = [hold.name for hold in holds if hold.name.startswith(f"{self._worker}/")]
        newest: dict[int, int] = {}
        for token in tokens:
            newest[child_of(token)] = max(newest.get(child_of(token), 0), number_of(token))
        dead = {child for child in newest if not is_alive(child)}
        over = [token for token in tokens if child_of(token) in dead or number_of(token) < newest[child_of(token)]]
        self._nodes.give_back(self._worker, over)

    def _present(self) -> dict[str, Any]:
        """Return the registration with the load of now."""
        record = self._record | {"load": dict(self._load())}
        if self._presence is not None:
            record |= self._presence.present()
        if self._foreign:
            told = [_foreign_note(version) for version in sorted(self._foreign)]
            record["notes"] = [*record.get("notes", ()), *told]
        self._presented = record
        return record

    @property
    def standing(self) -> WorkerStanding:
        """What is known of the worker since the last round."""
        state = READY_STATE if self._presence is None else self._presence.state
        return WorkerStanding(self._presented, self._view, state)

    def meet(self, version: int) -> bool:
        """Note that something of a version is there that this worker does not understand; return whether it is news."""
        is_new = version not in self._foreign
        self._foreign.add(version)
        if is_new:
            log.warning("%s", _foreign_note(version))
        return is_new

    def _is_understood(self, run_id: str) -> bool:
        """Return whether the keys of a run are of a version that may be touched here."""
        version = self._runs.get(run_id)
        if version is None:
            if len(self._runs) >= _KNOWN_RUNS:
                self._runs.clear()
            version = self._runs[run_id] = self._store.protocol(run_id)
        if understands(version):
            return True
        self.meet(version)
        return False

    def _heed_wishes(self) -> None:
        """Learn what is wished of this worker, and say that it leaves once it was told to."""
        presence = self._presence
        if presence is None:
            return
        presence.wish = self._registry.state_of(self._worker)
        if presence.is_asked and presence.wish != DRAINING:
            self._registry.wish(self._worker, DRAINING)

    def _take_back(self, runs: Sequence[str]) -> None:
        """Have what was placed here, and has not started, placed elsewhere, once nothing more is placed here."""
        presence = self._presence
        if presence is None or presence.state != DRAINING or self._registry.state_of(self._worker) != DRAINING:
            return
        taken = sum(self._store.take_back(run_id, worker=self._worker) for run_id in runs)
        if taken:
            log.warning("tasks that had not started wait for another worker", extra={"tasks": taken})
        presence.is_taken_back = True

    def _measure(self, pool: Pool, held: int) -> None:
        """Tell the pool what waits for a slot here, and how busy the machine is."""
        load = self._load()
        pool.measure(
            Measured(
                waiting=self._registry.waiting(self._worker, self._record["classes"]),
                held=held,
                load=float(load.get("load1", 0.0)) / (os.cpu_count() or 1),
                memory_available_mib=int(load.get("memory_available_mib", 0)),
            )
        )

    def _leave_at_once(self) -> None:
        """End what still runs when the time of an orderly end is up, give it back, and end this process with 0."""
        log.warning("the time to finish is up; what still runs is given back")
        try:
            end_running(self._worker, grace_s=self._grace_s)
            self._give_back_all()
        except ConnectionLost as error:
            log.warning("leases will lapse instead", extra={"error": error.message})
        finally:
            leave()

    def _give_back_all(self) -> None:
        record = given_back_record(self._worker)
        for run_id in self._store.active():
            if self._is_understood(run_id):
                self._store.lose(run_id, [], worker=self._worker, record=record)
        self._registry.remove(self._worker)

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
            log.warning("attempts lost with their pool child", extra={"run": run_id, "attempts": len(lost)})
