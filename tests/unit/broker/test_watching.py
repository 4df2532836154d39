"""Tests of what Flower is told of workers."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import orjson
import pytest

from taskexec.broker.watching import RunWatch, WorkerEvents

if TYPE_CHECKING:
    from taskexec.broker.restraint import Restraint
    from taskexec.store.connection import Connection

RUN = "20260101-000000-000000001"


def registered(name: str, free: int = 3) -> dict[str, object]:
    return {"name": name, "pid": 7, "capacity": {"slots": 4}, "free": {"slots": free}, "load": {"load1": 0.5}}


def test_worker_comes_lives_and_leaves() -> None:
    workers = WorkerEvents()

    told = [
        [(event["type"], event["hostname"]) for event in workers.take(listed, now)]
        for now, listed in enumerate([[registered("a")], [registered("a"), registered("b")], [registered("b")]], 1)
    ]

    assert told == [
        [("worker-online", "a")],
        [("worker-heartbeat", "a"), ("worker-online", "b")],
        [("worker-heartbeat", "b"), ("worker-offline", "a")],
    ]


def test_slots_in_use_are_what_is_active() -> None:
    (event,) = WorkerEvents().take([registered("a", free=1)], 5.0)

    assert (event["active"], event["loadavg"], event["timestamp"]) == (3, [0.5], 5.0)


class Server:
    """Stands for the connection to a server with one run: answers what is asked of it."""

    def __init__(self, tasks: int) -> None:
        self.tasks = tasks
        self.entries: list[str] = []
        self.reads = 0

    def pipeline(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        if commands[0][0] == "GET":
            plan = {"tasks": [{"id": f"t{index}", "agent": "shell", "route": "cpu"} for index in range(self.tasks)]}
            return [zlib.compress(orjson.dumps(plan)), b""]
        return [[RUN.encode()], []]

    def call(self, name: str, *arguments: Any) -> Any:
        if name != "XREAD":
            return []  # no worker is registered
        self.reads += 1
        most, after = arguments[1], int(str(arguments[-1]).partition("-")[0])
        found = [
            (f"{number}-0".encode(), [b"t", b"1000000", b"w", b"w", b"d", lines.encode()])
            for number, lines in enumerate(self.entries, 1)
            if number > after
        ]
        return [(arguments[-2].encode(), found[:most])] if found else None


class Rests:
    """Stands for the rests between pieces of work."""

    def __init__(self) -> None:
        self.shortest_s: list[float] = []

    def rest(self, at_least_s: float = 0.0) -> None:
        self.shortest_s.append(at_least_s)


def watch_on(server: Server) -> tuple[RunWatch, Rests, list[dict[str, Any]]]:
    rests, events = Rests(), list[dict[str, Any]]()
    watch = RunWatch(
        cast("Connection", server),
        lambda given: events.extend(given),
        most_tasks=100,
        restraint=cast("Restraint", rests),
    )
    return watch, rests, events


def test_what_is_found_is_dealt_with_in_pieces_with_a_rest_after_each() -> None:
    server = Server(tasks=2_000)
    watch, rests, events = watch_on(server)
    watch.step()
    server.entries += ["\n".join(f"R {index} 1" for index in range(at, at + 100)) for at in range(0, 2_000, 100)]
    server.entries += ["\n".join(f"S {index} 1 {{}}" for index in range(at, at + 100)) for at in range(0, 2_000, 100)]
    reads, paused = server.reads, len(rests.shortest_s)

    steps = 0
    while len(events) < 2_000:
        watch.step()
        steps += 1

    assert server.reads == reads + 1
    assert steps == len(rests.shortest_s) - paused > 10
    assert {event["type"] for event in events} == {"task-succeeded"}
    assert [event["clock"] for event in events] == list(range(1, 2_001))


def test_task_that_runs_when_all_is_read_is_told_at_once() -> None:
    server = Server(tasks=2)
    watch, _, events = watch_on(server)
    watch.step()
    server.entries += ["Q 0 1\nQ 1 1", "R 0 1"]

    watch.step()
    watch.step()

    told = [(event["type"], event["uuid"]) for event in events]
    assert told == [("task-sent", f"{RUN}.1"), ("task-received", f"{RUN}.0"), ("task-started", f"{RUN}.0")]


def test_run_that_was_there_before_is_shown_with_the_first_look() -> None:
    server = Server(tasks=1)
    server.entries += ["Q 0 1", "R 0 1", "S 0 1 {}"]
    watch, _, events = watch_on(server)

    watch.step()

    assert [event["type"] for event in events] == ["task-succeeded"]


def test_what_cannot_be_read_does_not_stop_what_comes_after_it() -> None:
    server = Server(tasks=2)
    watch, _, events = watch_on(server)
    watch.step()
    server.entries += ["? 0 1"]
    watch.step()
    with pytest.raises(KeyError):
        watch.step()
    server.entries += ["R 1 1"]

    watch.step()
    watch.step()

    assert [event["uuid"] for event in events] == [f"{RUN}.1"] * 2
