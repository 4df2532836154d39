"""Where single tasks and runs stand, read for people who ask why; nothing is changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from taskexec.domain.fit import Ask
from taskexec.domain.resources import Route
from taskexec.store.connection import Connection
from taskexec.store.keys import ACTIVE, run_key
from taskexec.store.queue_lists import lists_before

__all__ = ["RedisStandings", "RunStanding", "TaskStanding"]

_ROUTES = tuple(map(str, Route))
_LOOKED_AT = 2000
"""Messages of a list that are looked at from its front."""


@dataclass(frozen=True, slots=True)
class RunStanding:
    """Where a run stands, beyond its head."""

    status: str
    is_stopping: bool
    deadline_us: int | None
    payers: tuple[str, ...]
    """Whose shares of the cluster its tasks count towards, the run itself first."""
    weight: float
    trial: int | None
    """The task that is on trial."""


@dataclass(frozen=True, slots=True)
class TaskStanding:
    """Where a task stands: its state, and what it is held or queued in."""

    letter: str
    """As the scripts keep it; empty while it waits."""
    attempt: int
    route: str
    ask: Ask | None
    due_us: int | None
    is_suspect: bool
    backlog: tuple[int, int] | None
    """How many of its run are held before it, and how many are queued."""
    queued_us: int | None
    assigned_us: int | None
    placed: str
    """Attempt, amounts, workers and GPUs; empty when it has no place."""


class RedisStandings:
    """Reads where things stand on one server."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def now_us(self) -> int:
        """Return the server's time in microseconds since the epoch."""
        seconds, microseconds = self._connection.call("TIME")
        return int(seconds) * 1_000_000 + int(microseconds)

    def run(self, run_id: str) -> RunStanding:
        """Return where a run stands."""
        names = ("status", "stopping", "deadline_us", "payers", "weight", "trial")
        status, stopping, deadline, payers, weight, trial = self._connection.call(
            "HMGET", run_key(run_id, "meta"), *names
        )
        return RunStanding(
            status=(status or b"").decode(),
            is_stopping=stopping is not None,
            deadline_us=int(deadline) if deadline else None,
            payers=(f"r:{run_id}", *(payers or b"").decode().split()),
            weight=float(weight or 1),
            trial=int(trial.split()[0]) if trial else None,
        )

    def task(self, run_id: str, index: int) -> TaskStanding:
        """Return where a task stands."""

        def key(name: str) -> str:
            return run_key(run_id, name)

        state, record, ask, placed, due, suspect, assigned, *routes = self._connection.pipeline(
            [
                *(("HGET", key(name), index) for name in ("state", "task", "ask", "placed")),
                *(("ZSCORE", key(name), index) for name in ("delayed", "suspects", "assigned")),
                *(("ZRANK", key(f"backlog:{route}"), index) for route in _ROUTES),
                *(("ZCARD", key(f"queued:{route}")) for route in _ROUTES),
                *(("ZSCORE", key(f"queued:{route}"), index) for route in _ROUTES),
            ]
        )
        ranks, counts, times = routes[:3], routes[3:6], routes[6:]
        backlog = next(((int(r), int(n)) for r, n in zip(ranks, counts, strict=True) if r is not None), None)
        queued = next((time for time in times if time is not None), None)
        return TaskStanding(
            letter=state.decode()[:1] if state else "",
            attempt=int(state[1:]) if state else 0,
            route=record.decode().split("\t")[1] if record else "",
            ask=Ask.decode(ask.decode()) if ask else None,
            due_us=_whole(due),
            is_suspect=suspect is not None,
            backlog=backlog,
            queued_us=_whole(queued),
            assigned_us=_whole(assigned),
            placed=placed.decode() if placed else "",
        )

    def messages_before(self, run_id: str, index: int, attempt: int) -> tuple[int, bool]:
        """Return how many messages are taken before that of a queued task, and whether there are more than that."""
        record = self._connection.call("HGET", run_key(run_id, "task"), index)
        name = record.decode().split("\t")[0]
        *lengths, messages = self._connection.pipeline(
            [*(("LLEN", key) for key in lists_before(name)), ("LRANGE", name, -_LOOKED_AT, -1)]
        )
        before = sum(map(int, lengths))
        member, run = f"[{index},{attempt}]".encode(), run_id.encode()
        for at, message in enumerate(reversed(messages)):
            if member in message and run in message:
                return before + at, False
        return before + len(messages), len(messages) == _LOOKED_AT

    def starving(self, *, since_us: int) -> set[str]:
        """Return the routes on which a task without needs is queued since before an instant."""
        runs = [run.decode() for run in self._connection.call("SMEMBERS", ACTIVE)]
        keys = [(route, run_key(run, f"queued:{route}")) for run in runs for route in _ROUTES]
        if not keys:
            return set()
        first = self._connection.pipeline([("ZCOUNT", key, "-inf", f"({since_us}") for _, key in keys])
        return {route for (route, _), count in zip(keys, first, strict=True) if int(count)}

    def labels(self, run_id: str, indexes: Iterable[int]) -> dict[int, str]:
        """Return the ids of tasks, shortened where they are very long; those of gone runs are missing."""
        listed = list(indexes)
        if not listed:
            return {}
        found = {}
        for index, record in zip(listed, self._connection.call("HMGET", run_key(run_id, "task"), *listed), strict=True):
            if record is not None:
                found[index] = str(orjson.loads(b'"' + record.split(b"\t", 3)[3] + b'"'))
        return found

    def still_wanting(self, owners: Iterable[str]) -> set[str]:
        """Return which of some tasks, `run:index`, wait to be placed."""
        listed = [(owner, *owner.rpartition(":")[::2]) for owner in owners]
        if not listed:
            return set()
        found = self._connection.pipeline([("ZSCORE", run_key(run, "wanting"), index) for _, run, index in listed])
        return {owner for (owner, _, _), score in zip(listed, found, strict=True) if score is not None}


def _whole(score: Any) -> int | None:
    return None if score is None else int(float(score))
