"""What Flower shows of a cluster, brought to it: events of the tasks of all runs from their logs, and its workers.

Nothing is asked of workers, and they send nothing: a run that is watched costs the reading of its log.
"""

from __future__ import annotations

import logging
import os
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from taskexec.broker.task_events import Kinds, TaskEvents
from taskexec.domain.events import LogEntry, parse_entry
from taskexec.errors import ConnectionLost, NotFound
from taskexec.store.connection import Connection
from taskexec.store.logs import RunLogs
from taskexec.store.runs import RedisRunStore
from taskexec.store.workers import WorkerRegistry

__all__ = ["RunWatch", "WorkerEvents", "rest_s"]

log = logging.getLogger("taskexec.flower")

_MOST_RUNS = 200
_LOOK_S = 0.5
_WORKERS_S = 2.0
_PAUSE_S = 1.0
_GATHER_S = 0.2
"""After each look, so that what happens quickly is read together."""
_SHARE = 0.1
"""Part of the machine that watching may take: what comes faster is shown later, and lost is nothing."""
_SLICE = 500
"""Events handed over at once: pages are answered between two slices."""

Events = Sequence[dict[str, Any]]


def rest_s(worked_s: float, cores: int) -> float:
    """Return how long to rest after work in one thread, so that it takes no more than its share of a machine."""
    share = min(_SHARE * cores, 1.0)
    return worked_s * (1 / share - 1)


class WorkerEvents:
    """Makes events of the registrations of workers: who has come, lives and has left."""

    def __init__(self) -> None:
        self._there: set[str] = set()

    def take(self, listed: Sequence[Mapping[str, Any]], now: float) -> list[dict[str, Any]]:
        """Return the events of what is registered now (seconds since the epoch)."""
        events = []
        names = {worker["name"] for worker in listed}
        for worker in listed:
            kind = "heartbeat" if worker["name"] in self._there else "online"
            events.append(_worker_event(kind, worker["name"], now, **_fields_of(worker)))
        events += [_worker_event("offline", name, now) for name in sorted(self._there - names)]
        self._there = names
        return events


def _fields_of(worker: Mapping[str, Any]) -> dict[str, Any]:
    slots = worker["capacity"]["slots"]
    load = worker.get("load", {})
    return {
        "pid": worker.get("pid"),
        "freq": _WORKERS_S * 5,
        "active": max(slots - int(worker.get("free", {}).get("slots", slots)), 0),
        "loadavg": [load[name] for name in ("load1", "load5", "load15") if name in load] or None,
        "sw_ident": "taskexec",
        "sw_ver": worker.get("version", ""),
        "sw_sys": worker.get("host", ""),
    }


def _worker_event(kind: str, name: str, now: float, **fields: Any) -> dict[str, Any]:
    return {"type": f"worker-{kind}", "hostname": name, "timestamp": now, "local_received": now, **fields}


class RunWatch:
    """Follows all runs of a server and hands their events over, for as long as its process lives."""

    def __init__(self, connection: Connection, hand_over: Callable[[Events], None], *, most_tasks: int) -> None:
        """Begin.

        Args:
            connection: A connection of its own: it waits on it.
            hand_over: Takes events, in order; returns when they are dealt with.
            most_tasks: So many tasks of runs that are there already are shown at the start, the newest ones.
        """
        self._store = RedisRunStore(connection)
        self._logs = RunLogs(connection)
        self._registry = WorkerRegistry(connection)
        self._hand_over = hand_over
        self._most_tasks = most_tasks
        self._kinds = Kinds()
        self._workers = WorkerEvents()
        self._runs: dict[str, TaskEvents] = {}
        self._after: dict[str, str] = {}
        self._passed_over: set[str] = set()
        self._clock = 0
        self._looked_at = self._listed_at = float("-inf")

    def task_of(self, uuid: str) -> tuple[str, str] | None:
        """Return run and task that Celery's id of a task stands for; None when it is not known."""
        run_id, _, index = uuid.rpartition(".")
        events = self._runs.get(run_id)
        if events is None or not index.isdigit() or int(index) >= len(events.task_ids):
            return None
        return run_id, events.task_ids[int(index)]

    def knows_run(self, run_id: str) -> bool:
        """Return whether a run is shown."""
        return run_id in self._runs

    def follow(self) -> None:
        """Follow, for ever; a server that goes away is waited for."""
        while True:
            try:
                self.step(wait_s=_LOOK_S)
            except ConnectionLost as error:
                log.warning("%s; it is waited for", error.message)
                time.sleep(_PAUSE_S)  # the server is asked again then
            except Exception:  # whatever it is, the view of the other runs and of the workers goes on
                log.exception("following the runs failed; it goes on")
                time.sleep(_PAUSE_S)  # what fails at once must not fill the log

    def step(self, *, wait_s: float) -> None:
        """Hand over what is new, after a wait of up to `wait_s` seconds while there is nothing.

        Raises:
            ConnectionLost: The server did not answer; call again to go on.
        """
        now = time.monotonic()
        if now - self._listed_at >= _WORKERS_S:
            self._listed_at = now
            self._pass_on(self._workers.take(self._registry.listed(), time.time()))
        if now - self._looked_at >= _LOOK_S:
            self._looked_at = now
            self._look_for_runs()
        if not self._after:
            time.sleep(wait_s)  # no run goes on: there is no stream to wait at
        found = self._logs.read(self._after, wait_s=wait_s)
        begun = time.monotonic()
        for run_id, entries in found.items():
            self._take(run_id, entries)
        if found:
            # who watches leaves the cores to who works, and finds more at once the next time
            time.sleep(max(rest_s(time.monotonic() - begun, os.cpu_count() or 1), _GATHER_S))

    def _look_for_runs(self) -> None:
        known = self._logs.known(_MOST_RUNS)
        is_first = not self._runs
        for run_id in set(self._runs) - set(known):
            del self._runs[run_id], self._after[run_id]
        self._passed_over &= set(known)
        shown = 0
        fresh: list[TaskEvents] = []
        for run_id in known:
            if run_id in self._runs or run_id in self._passed_over:
                continue
            events = self._events_of(run_id)
            if events is None:
                continue
            shown += len(events.task_ids)
            if is_first and fresh and shown > self._most_tasks:
                self._passed_over.add(run_id)  # there would be no room for its tasks beside those of newer runs
                continue
            fresh.append(events)
        for events in reversed(fresh):  # what comes last stays longest where there is no room for all
            self._runs[events.run_id], self._after[events.run_id] = events, "0"
            if is_first:
                self._catch_up(events.run_id)

    def _events_of(self, run_id: str) -> TaskEvents | None:
        try:
            plan = orjson.loads(zlib.decompress(self._store.documents(run_id)[0]))
        except NotFound:  # it has expired, or is being submitted
            return None
        return TaskEvents(run_id, plan, self._kinds)

    def _catch_up(self, run_id: str) -> None:
        while entries := self._logs.read({run_id: self._after[run_id]}).get(run_id):
            begun = time.monotonic()
            self._take(run_id, entries)
            time.sleep(rest_s(time.monotonic() - begun, os.cpu_count() or 1))  # as above: work goes first

    def _take(self, run_id: str, entries: Sequence[LogEntry]) -> None:
        maker = self._runs[run_id]
        events: list[dict[str, Any]] = []
        for entry in entries:
            self._after[run_id] = entry.id  # first: what cannot be read is not met again
            for transition in parse_entry(entry):
                events += maker.take(transition)
        begun = {event["uuid"] for event in events if event["type"] == "task-received"}
        self._pass_on([event for event in events if event["type"] != "task-sent" or event["uuid"] not in begun])

    def _pass_on(self, events: Events) -> None:
        for event in events:
            self._clock += 1
            event["clock"] = self._clock
        for first in range(0, len(events), _SLICE):
            self._hand_over(events[first : first + _SLICE])
