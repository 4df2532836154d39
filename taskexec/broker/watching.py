"""What Flower shows of a cluster, brought to it: events of the tasks of all runs from their logs, and its workers.

Nothing is asked of workers, and they send nothing: a run that is watched costs the reading of its log.
"""

from __future__ import annotations

import logging
import time
import zlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from taskexec.broker.restraint import Restraint
from taskexec.broker.task_events import Kinds, TaskEvents
from taskexec.domain.events import LogEntry, Transition, parse_entry
from taskexec.errors import ConnectionLost, NotFound
from taskexec.store.connection import Connection
from taskexec.store.logs import RunLogs
from taskexec.store.runs import RedisRunStore
from taskexec.store.workers import WorkerRegistry

__all__ = ["RunWatch", "WorkerEvents"]

log = logging.getLogger("taskexec.flower")

_MOST_RUNS = 200
_LOOK_S = 0.5
_WORKERS_S = 2.0
_PAUSE_S = 1.0
_GATHER_S = 0.25
"""Between two looks where all was shown, and before what was found then is: what happens quickly is read together."""
_MOST_ENTRIES = 100
"""Of one run, read at once."""
_PIECE = 300
"""Transitions dealt with at once: after each piece it rests."""
_SLICE = 500
"""Events handed over at once: pages are answered between two slices."""

Events = Sequence[dict[str, Any]]


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

    def __init__(
        self,
        connection: Connection,
        hand_over: Callable[[Events], None],
        *,
        most_tasks: int,
        restraint: Restraint | None = None,
    ) -> None:
        """Begin.

        Args:
            connection: The server's.
            hand_over: Takes events, in order; returns when they are dealt with.
            most_tasks: So many tasks of runs that are there already are shown at the start, the newest ones.
            restraint: How it rests; None for that of this machine.
        """
        self._store = RedisRunStore(connection)
        self._logs = RunLogs(connection)
        self._registry = WorkerRegistry(connection)
        self._hand_over = hand_over
        self._most_tasks = most_tasks
        self._restraint = restraint or Restraint()
        self._kinds = Kinds()
        self._workers = WorkerEvents()
        self._runs: dict[str, TaskEvents] = {}
        self._after: dict[str, str] = {}
        self._found: deque[tuple[str, LogEntry]] = deque()
        """What was read and is not handed over yet."""
        self._is_behind = False
        """Whether there was more to read the last time."""
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
                self.step()
            except ConnectionLost as error:
                log.warning("%s; it is waited for", error.message)
                time.sleep(_PAUSE_S)  # the server is asked again then
            except Exception:  # whatever it is, the view of the other runs and of the workers goes on
                log.exception("following the runs failed; it goes on")
                time.sleep(_PAUSE_S)  # what fails at once must not fill the log

    def step(self) -> None:
        """Hand over a piece of what is new, or look for more; then rest.

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
        if self._found:
            self._take_piece()
        else:
            self._read(self._after)
        self._restraint.rest(0.0 if self._found and self._is_behind else _GATHER_S)

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
        while self._read({run_id: self._after[run_id]}):
            while self._found:
                self._take_piece()
                self._restraint.rest()

    def _read(self, after: Mapping[str, str]) -> bool:
        """Read what comes after some entries; return whether there is anything."""
        self._is_behind = False
        for run_id, entries in self._logs.read(after, most=_MOST_ENTRIES).items():
            self._after[run_id] = entries[-1].id  # at once: what cannot be told is not met again
            self._found.extend((run_id, entry) for entry in entries)
            self._is_behind |= len(entries) == _MOST_ENTRIES
        return bool(self._found)

    def _take_piece(self) -> None:
        run_id = self._found[0][0]
        piece: list[Transition] = []
        while self._found and self._found[0][0] == run_id and len(piece) < _PIECE:
            piece += parse_entry(self._found.popleft()[1])
        maker = self._runs.get(run_id)
        if maker is None:  # it has expired meanwhile
            return
        events = [*maker.take_together(piece)]
        if not self._found or self._found[0][0] != run_id:  # what comes next is not known yet
            events += maker.release()
        self._pass_on(events)

    def _pass_on(self, events: Events) -> None:
        for event in events:
            self._clock += 1
            event["clock"] = self._clock
        for first in range(0, len(events), _SLICE):
            self._hand_over(events[first : first + _SLICE])
