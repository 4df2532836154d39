"""The figures of a whole cluster at one moment, read in a handful of round trips whatever the number of its tasks.

What is read grows with the workers and the runs that go on, never with their tasks: of each run its counters and the
sizes of what it keeps, and a few members of each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import redis

from taskexec.domain.fit import Ask, Vector, parse_vector
from taskexec.domain.resources import Route
from taskexec.domain.states import RunStatus, TaskStatus
from taskexec.store.connection import Connection
from taskexec.store.keys import ACTIVE, FREE, METRICS, TOTAL, WISHES, WORKERS, run_key, worker_key
from taskexec.store.queue_lists import PRIORITY_STEPS, lists_of
from taskexec.store.workers import READY_STATE

__all__ = ["Figures", "RedisFigures", "ServerFigures", "WorkerFigures"]

_ROUTES = tuple(str(route) for route in Route)
_RUNS_MOST = 1000
"""Runs that are looked at one by one; what is beyond counts as a run only."""
_LEASES_MOST = 1000
"""Attempts at work of one run whose agents are looked up; what is beyond counts as of an unknown one."""
_FIRST_WANTS = 16
"""Tasks of one run that wait for a place which are looked at, the next to get one first."""
_SIZES = (
    *(f"queued:{route}" for route in _ROUTES),
    *(f"backlog:{route}" for route in _ROUTES),
    *("assigned", "wanting", "delayed", "suspects", "lease"),
)
_OLDEST = tuple(f"queued:{route}" for route in _ROUTES)
_SCRIPTS = ("cmdstat_fcall", "cmdstat_evalsha", "cmdstat_eval")


@dataclass(frozen=True, slots=True)
class ServerFigures:
    """What the server says of itself."""

    memory_used_bytes: int
    memory_limit_bytes: int
    """What it may use: its own limit, else all of its machine; 0 is unknown."""
    clients: int
    scripts: int
    """Calls of scripts since it began."""
    scripts_s: float
    """Time that it spent in them."""


@dataclass(frozen=True, slots=True)
class WorkerFigures:
    """A live worker."""

    record: Mapping[str, Any]
    """Its registration."""
    state: str
    total: Vector
    free: Vector


@dataclass(slots=True)
class Figures:
    """A cluster at one moment."""

    counted: Mapping[str, int]
    """What was counted for good (`domain.counts`)."""
    runs: int
    """Runs that go on."""
    runs_past_deadline: int = 0
    """Those that go on although their time is up."""
    tasks: Counter[TaskStatus] = field(default_factory=Counter)
    """Their tasks that have not ended, by status."""
    held: Counter[str] = field(default_factory=Counter)
    """Those that are ready and not queued, by what they wait for: `turn`, `place`, `delay`, `trial`."""
    running: Counter[str] = field(default_factory=Counter)
    """Those at work, by agent; empty stands for agents that were not looked up."""
    queued: Counter[str] = field(default_factory=Counter)
    """Those that wait for a slot, by route."""
    messages: Mapping[str, int] = field(default_factory=dict)
    """Messages in the queues of each route."""
    oldest_s: dict[str, float] = field(default_factory=dict)
    """How long the task waits that waits longest, by route; of those without a place only the next are known."""
    workers: Sequence[WorkerFigures] = ()
    server: ServerFigures | None = None
    """None where the user may not ask."""

    def take_age(self, route: str, since_us: int, now_us: int) -> None:
        """Note since when a task waits."""
        self.oldest_s[route] = max(self.oldest_s.get(route, 0.0), (now_us - since_us) / 1e6)


class RedisFigures:
    """Reads the figures of one server."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def read(self) -> Figures:
        """Return how things stand.

        Raises:
            ConnectionLost: The server did not answer.
        """
        (seconds, micros), flat, active, names, totals, frees, wishes, *lengths = self._connection.pipeline(
            [
                ("TIME",),
                ("HGETALL", METRICS),
                ("SMEMBERS", ACTIVE),
                ("ZRANGE", WORKERS, 0, -1),
                ("HGETALL", TOTAL),
                ("HGETALL", FREE),
                ("HGETALL", WISHES),
                *(("LLEN", name) for route in _ROUTES for name in lists_of(route)),
            ]
        )
        now_us = int(seconds) * 1_000_000 + int(micros)
        counted = {name: int(value) for name, value in _texts(flat).items()}
        sums = [
            sum(map(int, lengths[at : at + len(PRIORITY_STEPS)])) for at in range(0, len(lengths), len(PRIORITY_STEPS))
        ]
        figures = Figures(counted, len(active), messages=dict(zip(_ROUTES, sums, strict=True)))
        self._read_runs(figures, sorted(run.decode() for run in active)[:_RUNS_MOST], now_us)
        figures.workers = self._workers(sorted(map(bytes.decode, names)), *map(_texts, (totals, frees, wishes)))
        figures.server = self._server()
        return figures

    def _workers(
        self, names: Sequence[str], totals: Mapping[str, str], frees: Mapping[str, str], wishes: Mapping[str, str]
    ) -> list[WorkerFigures]:
        if not names:
            return []
        found = []
        for name, value in zip(names, self._connection.call("MGET", *map(worker_key, names)), strict=True):
            if value is None or name not in totals or name not in frees:
                continue  # it has left, or has not joined yet
            state = wishes.get(name, READY_STATE)
            total, free = parse_vector(totals[name]), parse_vector(frees[name])
            found.append(WorkerFigures(orjson.loads(value), state, total, free))
        return found

    def _server(self) -> ServerFigures | None:
        try:
            told = self._connection.call("INFO", "memory", "clients", "commandstats")
        except redis.ResponseError:  # no right to ask, or a server that knows one section at a time
            return None
        limit = int(told.get("maxmemory", 0)) or int(told.get("total_system_memory", 0))
        calls = [told[name] for name in _SCRIPTS if name in told]
        return ServerFigures(
            memory_used_bytes=int(told.get("used_memory", 0)),
            memory_limit_bytes=limit,
            clients=int(told.get("connected_clients", 0)),
            scripts=sum(int(call["calls"]) for call in calls),
            scripts_s=sum(int(call["usec"]) for call in calls) / 1e6,
        )

    def _read_runs(self, figures: Figures, runs: Sequence[str], now_us: int) -> None:
        rows = iter(self._connection.pipeline([command for run in runs for command in _commands(run)]) if runs else ())
        further: list[tuple[Any, ...]] = []
        wanted: list[bool] = []
        for run in runs:
            status, left, deadline = next(rows)
            sizes = {name: int(next(rows)) for name in _SIZES}
            ages = {name: next(rows) for name in _OLDEST}
            leases, wants = next(rows), next(rows)
            if status is None or status.decode() != RunStatus.RUNNING:
                continue  # it has ended in between
            figures.runs_past_deadline += deadline is not None and int(deadline) < now_us
            running = {tuple(name.split(b"|", 2)[:2]) for name in leases}  # ranks of one attempt have one each
            _take_sizes(figures, sizes, int(left or 0), max(len(running), sizes["lease"] - len(leases)))
            for name, first in ages.items():
                if first:
                    figures.take_age(name.partition(":")[2], int(float(first[1])), now_us)
            figures.running[""] += max(sizes["lease"] - len(leases), 0)
            if running:
                further.append(("HMGET", run_key(run, "task"), *(index for index, _ in running)))
                wanted.append(False)
            if wants:
                further += [("HMGET", run_key(run, name), *wants) for name in ("wanted", "ask")]
                wanted += [True, True]
        if further:
            self._take_details(figures, iter(self._connection.pipeline(further)), wanted, now_us)

    def _take_details(
        self, figures: Figures, replies: Iterator[Sequence[bytes | None]], wanted: Sequence[bool], now_us: int
    ) -> None:
        """Take in agents of what is at work, and since when what wants a place waits, and on which routes."""
        kinds = iter(wanted)
        for is_wanted in kinds:
            if not is_wanted:
                figures.running.update(record.split(b"\t")[2].decode() for record in next(replies) if record)
                continue
            next(kinds)
            for told, ask in zip(next(replies), next(replies), strict=True):
                if told is not None and ask is not None:
                    for route in _routes_of(Ask.decode(ask.decode())):
                        figures.take_age(route, int(told.split(b" ", 1)[0]), now_us)


def _commands(run: str) -> Iterator[tuple[Any, ...]]:
    yield "HMGET", run_key(run, "meta"), "status", "left", "deadline_us"
    for name in _SIZES:
        yield "ZCARD", run_key(run, name)
    for name in _OLDEST:
        yield "ZRANGE", run_key(run, name), 0, 0, "WITHSCORES"
    yield "ZRANGE", run_key(run, "lease"), 0, _LEASES_MOST - 1
    yield "ZRANGE", run_key(run, "wanting"), 0, _FIRST_WANTS - 1


def _take_sizes(figures: Figures, sizes: Mapping[str, int], left: int, running: int) -> None:
    backlog = sum(sizes[f"backlog:{route}"] for route in _ROUTES)
    held = {"turn": backlog, "place": sizes["wanting"], "delay": sizes["delayed"], "trial": sizes["suspects"]}
    for route in _ROUTES:
        figures.queued[route] += sizes[f"queued:{route}"] + sizes[f"backlog:{route}"]
    queued = sum(sizes[f"queued:{route}"] for route in _ROUTES) + sizes["assigned"]
    ready = sum(held.values())
    figures.held.update(held)
    figures.tasks.update(
        {
            TaskStatus.READY: ready,
            TaskStatus.QUEUED: queued,
            TaskStatus.RUNNING: running,
            TaskStatus.WAITING: max(left - ready - queued - running, 0),
        }
    )


def _routes_of(ask: Ask) -> set[str]:
    """Return the routes on one of which a worker must serve."""
    return {trait[2:] for option in ask.options for trait in option.has if trait.startswith("r:")} & set(_ROUTES)


def _texts(reply: Any) -> dict[str, str]:
    items = reply.items() if isinstance(reply, Mapping) else zip(reply[::2], reply[1::2], strict=True)
    return {name.decode(): value.decode() for name, value in items}
