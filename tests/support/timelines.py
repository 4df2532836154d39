"""Runs that never ran, as timelines: tasks of given durations played on some slots."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import orjson

from taskexec.domain.clock import iso_time
from taskexec.domain.events import Transition, TransitionKind
from taskexec.observability.timeline import RunTimeline

__all__ = ["START_US", "Played", "play", "random_tasks", "task"]

START_US = 1_000_000_000_000
Task = Mapping[str, Any]


def task(name: str, *depends_on: str, s: float = 1.0, **fields: Any) -> dict[str, Any]:
    """Return a task that takes `s` seconds; the plan does not say so unless `duration_s` does."""
    common = {"title": name, "agent": "shell", "route": "cpu", "lane": None, "payload": {"command": "work"}}
    return {"id": name, "depends_on": list(depends_on), **common, "takes_s": s, **fields}


def random_tasks(random: Random, count: int, *, reach: int = 12) -> list[dict[str, Any]]:
    """Return tasks of a random graph, of four programs that take about as long each time."""
    tasks = []
    for index in range(count):
        before = {random.randrange(max(0, index - reach), index) for _ in range(random.randrange(4)) if index}
        kind = random.randrange(4)
        took_s = round((0.0, 0.2, 1.0, 3.0)[kind] * random.lognormvariate(0, 0.3), 6)
        depends_on = (f"t{one}" for one in sorted(before))
        tasks.append(task(f"t{index}", *depends_on, s=took_s, payload={"command": "abcd"[kind]}))
    return tasks


@dataclass
class Played:
    """How a run is played."""

    slots: int = 2
    claim_s: float = 0.01
    """From the claim until the work begins."""
    tell_s: float = 0.01
    """From the end of the work until it is known."""
    come_s: float = 0.5
    """From the start of the run until workers are there."""
    fails: Mapping[str, int] = field(default_factory=dict)
    """How many attempts of a task fail before one succeeds."""
    gives_back: Mapping[str, int] = field(default_factory=dict)
    """How many times a task is claimed and given back unstarted before it is begun."""
    given_back_s: float = 0.2
    """From the claim until it is given back."""
    until_s: float = float("inf")
    """When it is left, with what runs then."""


def play(tasks: Sequence[Task], how: Played | None = None) -> RunTimeline:
    """Return the timeline of a run of some tasks."""
    return _Play(tasks, how or Played()).run()


class _Play:
    def __init__(self, tasks: Sequence[Task], how: Played) -> None:
        self.how = how
        self.timeline = RunTimeline({"source": "plan.csv", "tasks": tasks})
        self.tasks = tasks
        self.now_s = 0.0
        self.attempts = [1] * len(tasks)
        self.missing = [len(one["depends_on"]) for one in tasks]
        self.waiting: list[tuple[float, int]] = []
        self.events: list[tuple[float, int]] = [(how.come_s, -1)]
        self.free = 0
        self.claimed_s: dict[int, float] = {}
        self.given_back = Counter(how.gives_back)

    def run(self) -> RunTimeline:
        self.tell(TransitionKind.STARTED)
        for index, count in enumerate(self.missing):
            if not count:
                self.queue(index)
        while self.events:
            at_s, index = heapq.heappop(self.events)
            if at_s > self.how.until_s:
                return self.timeline
            self.now_s = at_s
            if index < 0:
                self.free = self.how.slots
            else:
                self.end(index)
            while self.free and self.waiting:
                self.claim(heapq.heappop(self.waiting)[1])
        self.tell(TransitionKind.ENDED, detail="succeeded")
        return self.timeline

    def tell(self, kind: TransitionKind, index: int = -1, attempt: int = 0, detail: str = "") -> None:
        worker = f"w{index % 2}" if kind is TransitionKind.RUNNING else ""
        self.timeline.take(Transition(kind, START_US + round(self.now_s * 1e6), worker, index, attempt, detail))

    def queue(self, index: int) -> None:
        heapq.heappush(self.waiting, (self.now_s, index))
        self.tell(TransitionKind.QUEUED, index, self.attempts[index])

    def claim(self, index: int) -> None:
        self.free -= 1
        self.claimed_s[index] = self.now_s
        self.tell(TransitionKind.RUNNING, index, self.attempts[index])
        if self.given_back[self.tasks[index]["id"]]:
            heapq.heappush(self.events, (self.now_s + self.how.given_back_s, index))
            return
        took_s = self.how.claim_s + self.tasks[index]["takes_s"] + self.how.tell_s
        heapq.heappush(self.events, (self.now_s + took_s, index))

    def end(self, index: int) -> None:
        self.free += 1
        if self.given_back[self.tasks[index]["id"]]:
            self.given_back[self.tasks[index]["id"]] -= 1
            self.tell(TransitionKind.GIVEN_BACK, index, self.attempts[index])
            self.queue(index)
            return
        times = {
            "started_at": iso_time(START_US / 1e6 + self.claimed_s[index] + self.how.claim_s),
            "finished_at": iso_time(START_US / 1e6 + self.now_s - self.how.tell_s),
        }
        attempt = self.attempts[index]
        if attempt <= self.how.fails.get(self.tasks[index]["id"], 0):
            self.attempts[index] += 1
            failed = orjson.dumps({**times, "reason": "exit", "error": "exit status 1"}).decode()
            self.tell(TransitionKind.TRIED, index, attempt, failed)
            self.queue(index)
            return
        self.tell(TransitionKind.SUCCEEDED, index, attempt, orjson.dumps(times).decode())
        for other in self.timeline.successors[index]:
            self.missing[other] -= 1
            if not self.missing[other]:
                self.queue(other)
