"""When what is left of a run should be done: its graph scheduled on as many slots as it was seen to have.

Once in a while all that is left is scheduled, task by task; in between, the lower bound of that (longest path, work for
each route's slots) is worked out afresh and stretched as the schedule was. Both are linear in the tasks that are left.

Source: list scheduling, Graham (1966).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log, log1p
from random import Random
from statistics import fmean, pstdev

from taskexec.domain.states import FINAL_TASK_STATUSES, TaskStatus
from taskexec.observability.pace import Pace

__all__ = ["Forecast", "Graph", "Left", "Now", "makespan_s"]

_OVERDUE = 0.1
"""A task that runs longer than expected is given so much of its time again."""
_LATE, _LATE_S, _LATE_DEVIATIONS = 0.5, 1.0, 3.0
"""One that runs longer than expected by more than this share, these seconds and so many standard deviations is not
what was expected: the longer it has, the less is known of when it ends."""
_GROWTH = 1.1
"""So many times the tasks have to have ended before all is scheduled again."""
_US_A_TASK = 500
"""Scheduling takes about 10 µs for each task that is left; so long nothing is scheduled again, for each of them."""
_TRIED, _TRIED_TASKS = 8, 1_500
"""So many schedules with durations as they may come out, where so few tasks are left that it costs little."""


Graph = Sequence[Sequence[int]]
"""For each task, by position in the plan, those before it or those after it."""


@dataclass(frozen=True, slots=True)
class Now:
    """Where tasks stand."""

    statuses: Sequence[TaskStatus]
    ready_us: Callable[[int], int | None]
    """When the last dependency of one was done."""
    running_us: Mapping[int, int]
    """Since when each of those that run does."""
    at_us: int


@dataclass(frozen=True, slots=True)
class Left:
    """What is left of a run."""

    seconds: float
    """Until the last task has ended."""
    deviation_s: float
    """Standard deviation of that, by how far durations scatter."""
    tasks: int
    unknown: int
    """Tasks among them about whose duration nothing is known."""
    declared: int
    """Tasks among them of which only the plan says how long they take."""
    are_slots_known: bool
    """Whether it is known how many tasks run at once."""
    overrun_s: float = 0.0
    """By how much the task that is latest has overrun; 0 while all that runs may still be as was expected."""


class Forecast:
    """The outlook of one run; what was worked out is kept for the next call."""

    def __init__(self, pace: Pace, dependencies: Graph, successors: Graph) -> None:
        """Begin with the graph by position in the plan, and the pace of the run."""
        self._pace = pace
        self._dependencies = dependencies
        self._successors = successors
        self._order: list[int] | None = None
        self._expected: list[float] = []
        self._tails: list[float] = []
        self._variances: list[float] = []
        self._unknown = self._declared = 0
        self._stretch = 1.0
        self._spread = 0.0
        self._slots: int | None = None
        self._done = -1
        self._scheduled_us = 0

    def left(self, now: Now, slots: int | None) -> Left | None:
        """Return what is left; None when nothing is known of any task, or nothing is left.

        Args:
            now: Where tasks stand.
            slots: Tasks that can run at once; None takes what was observed.
        """
        left = [index for index, status in enumerate(now.statuses) if status not in FINAL_TASK_STATUSES]
        if not left:
            return None
        if self._is_old(now, len(left), slots):
            self._look_again(now, left, slots)
        if self._unknown == len(left) and not self._pace.done.count:
            return None
        bound_s, deviation_s = self._bound(now, left, slots)
        routes = {self._pace.routes[index] for index in left}
        are_known = all(self._pace.concurrency(route, slots) is not None for route in routes)
        seconds = bound_s * self._stretch
        deviation_s = max(deviation_s, self._spread * seconds)
        overrun_s = max((self._overrun_s(index, now) for index in now.running_us), default=0.0)
        return Left(seconds, deviation_s, len(left), self._unknown, self._declared, are_known, overrun_s)

    def _drawn(self, left: Sequence[int], random: Random) -> list[float]:
        """Return durations as they may come out: around what is expected, as far off as those that were seen.

        The longest of several paths is longer than the longest path of what is expected of each task.
        """
        drawn = self._expected[:]
        for index in left:
            expected, variance = drawn[index], self._pace.variance(index)
            if expected > 0 and variance:
                sigma = log1p(variance / expected**2)
                drawn[index] = random.lognormvariate(log(expected) - sigma / 2, sigma**0.5)
        return drawn

    def ends_s(self, now: Now, slots: int | None) -> dict[int, float]:
        """Return for each task that is left in how many seconds it should have ended."""
        left = [index for index, status in enumerate(now.statuses) if status not in FINAL_TASK_STATUSES]
        self._look_again(now, left, slots)
        return self._schedule(now, left, slots, self._expected)

    def _is_old(self, now: Now, left: int, slots: int | None) -> bool:
        if self._done < 0 or slots != self._slots:
            return True
        done = self._pace.done.count
        has_news = done >= self._done * _GROWTH + 1 or len(now.statuses) - left < self._done
        return has_news and now.at_us - self._scheduled_us >= left * _US_A_TASK

    def _look_again(self, now: Now, left: Sequence[int], slots: int | None) -> None:
        self._measure(left)
        bound_s, _ = self._bound(now, left, slots)
        random = Random(len(left))  # the same run is told the same again
        durations = [self._drawn(left, random) for _ in range(_TRIED if len(left) <= _TRIED_TASKS else 0)]
        tried = [self._schedule(now, left, slots, one) for one in durations or [self._expected]]
        lengths = [max(ends.values(), default=0.0) for ends in tried]
        mean_s = fmean(lengths)
        self._stretch = max(mean_s / bound_s, 1.0) if bound_s > 0 else 1.0
        self._spread = pstdev(lengths) / mean_s if mean_s > 0 else 0.0
        self._done, self._scheduled_us, self._slots = self._pace.done.count, now.at_us, slots

    def _measure(self, left: Sequence[int]) -> None:
        """Work out what each task takes, and the longest way from each to the end."""
        pace = self._pace
        size = len(self._dependencies)
        expected = {index: pace.expected_s(index) for index in left}
        known = [seconds for seconds in expected.values() if seconds is not None]
        usual = pace.done.mean_s if pace.done.count else sum(known) / len(known) if known else 0.0
        more_tries = max(pace.tries / pace.done.count, 1.0) if pace.done.count else 1.0
        self._unknown = len(left) - len(known)
        self._declared = 0
        self._expected, self._variances, self._tails = [0.0] * size, [0.0] * size, [0.0] * size
        for index, seconds in expected.items():
            variance = pace.variance(index)
            self._declared += variance is None and seconds is not None
            own = (usual if seconds is None else seconds) * min(more_tries, 3.0)
            self._expected[index] = own
            self._variances[index] = (0.5 * own) ** 2 if variance is None else variance
        start_s = pace.delay_s
        for index in reversed(self.sorted()):
            if index in expected:
                after = max((self._tails[other] for other in self._successors[index]), default=0.0)
                self._tails[index] = self._expected[index] + start_s + after

    def sorted(self) -> Sequence[int]:
        """Return the tasks, each behind those that it depends on."""
        if self._order is None:
            missing = list(map(len, self._dependencies))
            order = [index for index, count in enumerate(missing) if not count]
            for index in order:
                for other in self._successors[index]:
                    missing[other] -= 1
                    if not missing[other]:
                        order.append(other)
            self._order = order
        return self._order

    def _rest_s(self, index: int, now: Now, expected_s: float) -> float:
        """Return how long a task still runs."""
        elapsed_s = max(now.at_us - now.running_us[index], 0) / 1e6
        return max(expected_s - elapsed_s, _OVERDUE * elapsed_s)

    def _overrun_s(self, index: int, now: Now) -> float:
        """Return by how much a task runs longer than expected; 0 when no longer than tasks do."""
        expected_s = self._expected[index]
        over_s = (now.at_us - now.running_us[index]) / 1e6 - expected_s
        may_s = max(_LATE * expected_s + _LATE_S, _LATE_DEVIATIONS * self._variances[index] ** 0.5)
        return over_s if over_s > may_s else 0.0

    def _slots_of(self, route: str, slots: int | None, left: int) -> float:
        """Return how many tasks of a route run at once; when nothing is known of it, something in the middle."""
        seen = self._pace.concurrency(route, slots)
        return max(self._pace.peak.get(route, 0), left**0.5) if seen is None else max(seen, 0.1)

    def _bound(self, now: Now, left: Sequence[int], slots: int | None) -> tuple[float, float]:
        """Return what the rest takes at least, and how far that may scatter."""
        work: dict[str, float] = {}
        scatter: dict[str, float] = {}
        longest, path = 0.0, -1
        expected, tails, routes, running = self._expected, self._tails, self._pace.routes, now.running_us
        overhead_s = self._pace.overhead.mean_s
        for index in left:
            own = expected[index]
            tail = tails[index]
            if index in running:
                rest = self._rest_s(index, now, own)
                tail += rest - own
                own = rest
            if tail > longest:
                longest, path = tail, index
            route = routes[index]
            work[route] = work.get(route, 0.0) + own + overhead_s
            scatter[route] = scatter.get(route, 0.0) + self._variances[index]
        best, variance = longest, self._path_variance(path)
        for route, seconds in work.items():
            at_once = min(self._slots_of(route, slots, len(left)), len(left))
            if seconds / at_once > best:
                best, variance = seconds / at_once, scatter[route] / at_once**2
        return best, variance**0.5

    def _path_variance(self, index: int) -> float:
        """Return how far the longest way from a task to the end scatters, seconds squared."""
        total = 0.0
        while index >= 0:
            total += self._variances[index]
            index = max(self._successors[index], key=self._tails.__getitem__, default=-1)
        return total

    def _schedule(
        self, now: Now, left: Sequence[int], slots: int | None, expected: Sequence[float]
    ) -> dict[int, float]:
        """Return when each task that is left ends, in seconds from now, taken in the order in which they can start."""
        free, stretch = self._free_slots(left, slots)
        overhead_s = self._pace.overhead.mean_s
        start_s = max(self._pace.delay_s - overhead_s, 0.0)
        routes = self._pace.routes
        line = _Line(routes, free)
        is_left = set(left)
        missing: dict[int, int] = {}
        for index in left:
            if index in now.running_us:
                line.run(index, self._rest_s(index, now, expected[index]))
                continue
            missing[index] = sum([one in is_left for one in self._dependencies[index]])
            if not missing[index]:
                line.wait(index, (now.ready_us(index) or now.at_us) - now.at_us)
        durations = {index: (expected[index] + overhead_s) * stretch[routes[index]] + start_s for index in missing}
        line.carry_out(durations, missing, self._successors)
        return line.ends

    def _free_slots(self, left: Sequence[int], slots: int | None) -> tuple[dict[str, int], dict[str, float]]:
        """Return slots of each route in whole numbers, and by how much tasks take longer to make up for rounding."""
        free, stretch = {}, {}
        for route in {self._pace.routes[index] for index in left}:
            seen = self._slots_of(route, slots, len(left))
            free[route] = max(round(seen), 1)
            stretch[route] = free[route] / seen
        return free, stretch


def makespan_s(
    durations: Mapping[int, float],
    dependencies: Graph,
    successors: Graph,
    *,
    routes: Sequence[str],
    slots: dict[str, int],
) -> float:
    """Return how long tasks take on so many slots of each route, in seconds; the others count as done."""
    line = _Line(routes, slots)
    missing = {index: sum([one in durations for one in dependencies[index]]) for index in durations}
    for index, count in missing.items():
        if not count:
            line.wait(index, 0.0)
    line.carry_out(durations, missing, successors)
    return max(line.ends.values(), default=0.0)


class _Line:
    """Tasks that wait for slots and those that have one, on a clock of seconds from now."""

    def __init__(self, routes: Sequence[str], free: dict[str, int]) -> None:
        self.events: list[tuple[float, int]] = []
        """When those that run end, as a heap."""
        self.ends: dict[int, float] = {}
        self._routes = routes
        self._free = free
        self._waiting: dict[str, list[tuple[float, int]]] = {route: [] for route in free}
        self._open = set(free)
        """Routes on which something may be able to start."""
        self._at_s = 0.0

    def carry_out(self, durations: Mapping[int, float], missing: dict[int, int], successors: Graph) -> None:
        """Have all tasks run to their end.

        Args:
            durations: Seconds of each that does not run yet.
            missing: Of how many others each of these has to wait for the end; counted down.
            successors: Which tasks wait for each.
        """
        self.start(durations)
        while self.events:
            at_s, index = self.end()
            for other in successors[index]:
                if other in missing:
                    missing[other] -= 1
                    if not missing[other]:
                        self.wait(other, at_s * 1e6)
            self.start(durations)

    def run(self, index: int, seconds: float) -> None:
        """Have a task run for so long from now."""
        self._free[self._routes[index]] -= 1
        heapq.heappush(self.events, (self._at_s + seconds, index))

    def wait(self, index: int, since: float) -> None:
        """Have a task wait for a slot; those that wait longest come first."""
        route = self._routes[index]
        heapq.heappush(self._waiting[route], (since, index))
        self._open.add(route)

    def start(self, durations: Mapping[int, float]) -> None:
        """Give free slots to those that wait."""
        while self._open:
            route = self._open.pop()
            queue = self._waiting[route]
            while queue and self._free[route] > 0:
                index = heapq.heappop(queue)[1]
                self.run(index, durations[index])

    def end(self) -> tuple[float, int]:
        """Go on to the next end of a task; return when that is, and which."""
        self._at_s, index = heapq.heappop(self.events)
        self.ends[index] = self._at_s
        route = self._routes[index]
        self._free[route] += 1
        self._open.add(route)
        return self._at_s, index
