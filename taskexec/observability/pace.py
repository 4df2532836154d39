"""How fast a run goes: how long tasks of each kind take, what a start costs, and how many run at once.

It is kept up with every transition; nothing here depends on how many tasks the run has.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from statistics import median
from typing import Any

__all__ = ["AVAILABLE", "AWAY", "BUSY", "Measure", "Pace"]

AWAY, AVAILABLE, BUSY = range(3)
"""A task waits for others or has ended; nothing keeps it but a free slot; it runs."""

_LEAST_TO_CORRECT = 5
"""So many tasks of a kind have to have ended before what the plan says of others of it is corrected."""
_MEMORY_S = 30.0
"""How far back the number of tasks that run at once is looked at, at least; longer where tasks take longer."""
_ASSUMED_S = 0.5
"""What is assumed of the number of tasks that run at once counts as if it had been seen for so long."""
_DIGITS = re.compile(r"[0-9]+")
_LATEST = 51
"""So many delays are remembered."""
_MOST_WORDS, _LONGEST = 12, 160


class Measure:
    """Count, mean and spread of durations, in seconds."""

    __slots__ = ("count", "declared_s", "squares", "total_s")

    def __init__(self) -> None:
        """Begin with nothing."""
        self.count = 0
        self.total_s = 0.0
        self.squares = 0.0
        self.declared_s = 0.0
        """What the plan had said of the same tasks, in all; tasks of which it says nothing are measured apart."""

    def add(self, seconds: float, declared_s: float = 0.0) -> None:
        """Take in one more."""
        self.count += 1
        self.total_s += seconds
        self.squares += seconds * seconds
        self.declared_s += declared_s

    @property
    def mean_s(self) -> float:
        """Mean of what was taken in; 0 for nothing."""
        return self.total_s / self.count if self.count else 0.0

    @property
    def variance(self) -> float:
        """Mean square of the distance from the mean, seconds squared."""
        return max(self.squares / self.count - self.mean_s**2, 0.0) if self.count else 0.0


_Alike = tuple[tuple[Measure, ...], tuple[Measure, ...]]


class Pace:
    """What was seen of durations and concurrency in a run so far."""

    def __init__(self, tasks: Sequence[Mapping[str, Any]]) -> None:
        """Begin with the tasks of a `plan.json`; nothing has happened."""
        self._tasks = tasks
        self.routes = [str(task.get("route", "")) for task in tasks]
        self.earlier_s: Mapping[str, float] = {}
        """Seconds by task id that an earlier run took; they count for more than what the plan says."""
        self.done = Measure()
        """All tasks that have succeeded."""
        self.overhead = Measure()
        """What a slot spends on a task beside its work: from the claim until its end is known."""
        self._delays: deque[float] = deque(maxlen=_LATEST)
        self.tries = 0
        """Attempts that have ended as something else than given back."""
        self.peak: dict[str, int] = {}
        """Most tasks that ran at once, by route."""
        self._alike: list[_Alike | None] = [None] * len(tasks)
        self._measured: dict[Hashable, Measure] = {}
        self._of_closest: dict[Hashable, _Alike] = {}
        self.states = bytearray(len(tasks))
        """Where each task stands, as `see` was told."""
        self._counts: dict[str, list[int]] = {route: [0, 0, 0] for route in self.routes}
        self._area: dict[str, list[float]] = {route: [0.0, 0.0] for route in self.routes}
        self._calm: set[int] = set()
        self._at_us = 0

    def see(self, index: int, state: int, at_us: int) -> None:
        """Note where a task stands from now on: `AWAY`, `AVAILABLE` or `BUSY`."""
        before = self.states[index]
        if before == state:
            return
        if at_us > self._at_us:
            self._pass_to(at_us)
        self.states[index] = state
        route = self.routes[index]
        counts = self._counts[route]
        counts[before] -= 1
        counts[state] += 1
        if state == BUSY:
            self.peak[route] = max(self.peak.get(route, 0), counts[BUSY])
        elif state == AVAILABLE:
            is_calm = counts[AVAILABLE] == 1 and counts[BUSY] < self.peak.get(route, 0)
            (self._calm.add if is_calm else self._calm.discard)(index)

    def _pass_to(self, at_us: int) -> None:
        """Add up how many ran at once while others could have, on each route; the past counts less and less."""
        seconds, self._at_us = (at_us - self._at_us) / 1e6, at_us
        memory_s = max(_MEMORY_S, 5 * self.done.mean_s)
        for route, (_, available, busy) in self._counts.items():
            if available and busy:
                area = self._area[route]
                kept = max(0.0, 1.0 - seconds / memory_s)
                area[0] = area[0] * kept + busy * seconds
                area[1] = area[1] * kept + seconds

    def succeeded(self, index: int, *, work_s: float, held_s: float, since_ready_s: float) -> None:
        """Note how long a task took.

        Args:
            index: The task.
            work_s: Its work.
            held_s: From its claim until its end was known.
            since_ready_s: From when it could start until its end was known.
        """
        self.done.add(work_s)
        self.overhead.add(held_s - work_s if held_s > work_s else 0.0)
        if index in self._calm:
            self._calm.discard(index)
            self._delays.append(max(since_ready_s - work_s, 0.0))
        declared = self.declared_s(index)
        for measure in self._alike_to(index)[declared is not None]:
            measure.add(work_s, declared or 0.0)

    def declared_s(self, index: int) -> float | None:
        """Return what is said of a task's duration: by an earlier run, else by its plan."""
        task = self._tasks[index]
        earlier = self.earlier_s.get(task["id"]) if self.earlier_s else None
        declared: float | None = task.get("duration_s") if earlier is None else earlier
        return declared

    def expected_s(self, index: int) -> float | None:
        """Return how long a task should take; None when the plan does not say and nothing like it has ended.

        What the plan says is corrected by how far it was off for tasks of the same kind that have ended. The kind is
        agent, commands (numbers in them left out) and what is asked for; else agent and program; else the agent.
        """
        declared = self.declared_s(index)
        if declared is None:
            measure = self._of_kind(index, is_declared=False, least=1) or self._of_kind(
                index, is_declared=True, least=1
            )
            return None if measure is None else measure.mean_s
        measure = self._of_kind(index, is_declared=True, least=_LEAST_TO_CORRECT)
        return declared * measure.total_s / measure.declared_s if measure and measure.declared_s else declared

    def variance(self, index: int) -> float | None:
        """Return how far durations like that of a task scatter, seconds squared; None when nothing like it ended."""
        measure = self._of_kind(index, is_declared=self.declared_s(index) is not None, least=2)
        return None if measure is None else measure.variance

    @property
    def delay_s(self) -> float:
        """What a task costs beside its work when a slot is free: from when it could start until its end is known."""
        return median(self._delays) if self._delays else self.overhead.mean_s

    def _of_kind(self, index: int, *, is_declared: bool, least: int) -> Measure | None:
        for measure in self._alike_to(index)[is_declared]:
            if measure.count >= least:
                return measure
        return None

    def _alike_to(self, index: int) -> _Alike:
        """Return what was measured of tasks like this one, from the closest kind to the widest: `[is_declared]`."""
        alike = self._alike[index]
        if alike is None:
            kinds = _kinds(self._tasks[index])
            alike = self._of_closest.get(kinds[0])
            if alike is None:
                kept = self._measured
                observed, declared = ([kept.setdefault((one, kind), Measure()) for kind in kinds] for one in (0, 1))
                alike = self._of_closest[kinds[0]] = tuple(observed), tuple(declared)
            self._alike[index] = alike
        return alike

    def concurrency(self, route: str, slots: int | None = None) -> float | None:
        """Return how many tasks of a route run at once while there are enough of them; None when that is not known.

        Args:
            route: The route.
            slots: How many there are, as far as that is known; it counts until enough was seen.
        """
        area, seconds = self._area.get(route, (0.0, 0.0))
        if slots is None and seconds <= 0:
            return None
        assumed = slots or self.peak.get(route, 0)
        return (area + assumed * _ASSUMED_S) / (seconds + _ASSUMED_S)


def _kinds(task: Mapping[str, Any]) -> tuple[Hashable, ...]:
    """Return what a task is like, from the closest description to the widest."""
    agent = str(task.get("agent", ""))
    words: list[str] = []
    payload = task.get("payload")
    _gather(dict(payload.items()) if isinstance(payload, Mapping) else payload, words)  # it may be kept packed
    shape = _DIGITS.sub("#", " ".join(words)[:_LONGEST]) if words else ""
    size = (task.get("route"), task.get("cpus"), task.get("memory_mib"), task.get("gpus"), task.get("nodes"))
    program = _DIGITS.sub("#", words[0][:_LONGEST]) if words else ""
    return ((agent, shape, size), (agent, program), (agent,))


def _gather(payload: Any, words: list[str]) -> None:
    """Add the first texts in a payload, in order, without the variables of commands."""
    if type(payload) is str:
        words.append(payload)
    elif type(payload) is list or type(payload) is dict:
        for name in payload:
            if len(words) >= _MOST_WORDS:
                return
            if type(payload) is list:
                _gather(name, words)
            elif name not in {"env", "cwd"}:
                _gather(payload[name], words)
