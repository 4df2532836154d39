"""Which slots of workers were taken when in a run, as far as its timeline shows it."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from taskexec.observability.timeline import AttemptSpan, RunTimeline

__all__ = ["Slots", "Stay", "Stretches", "look_at_slots"]

_TURN_US = 50_000
"""A slot that takes its next task within this time was not free in between, but being handed on."""


_MOMENT_RATIO = 0.01
"""What holds for a smaller share of a worker's time is a moment."""

_Claim = tuple[str, int]
"""A worker, and when it claimed: all that it claimed in one call."""


@dataclass(frozen=True, slots=True)
class Stay:
    """An attempt, or one after the other of a batch, in a slot of a worker; microseconds since the epoch."""

    worker: str
    start_us: int
    """When it was claimed."""
    end_us: int


class Stretches:
    """Stretches of time that do not overlap."""

    def __init__(self, stretches: Iterable[tuple[int, int]]) -> None:
        """Begin with their starts and ends, in order."""
        self._stretches = list(stretches)
        self._starts = [start for start, _ in self._stretches]
        self._sums = [0]
        for start, end in self._stretches:
            self._sums.append(self._sums[-1] + end - start)

    def within(self, start_us: int, end_us: int) -> int:
        """Return how much of a time they cover, in microseconds."""
        return max(self._until(end_us) - self._until(start_us), 0)

    def _until(self, at_us: int) -> int:
        at = bisect_right(self._starts, at_us)
        if not at:
            return 0
        start, end = self._stretches[at - 1]
        return self._sums[at - 1] + min(at_us, end) - start


class Slots:
    """The slots of the workers of a run."""

    def __init__(self, full: Mapping[str, Stretches], ends: Mapping[str, Sequence[int]]) -> None:
        """Begin with when no slot was free on each route, and when a slot became free there."""
        self._full = full
        self._ends = ends
        self.count = 0
        """How many there were in all."""
        self.batches: dict[_Claim, Stretches] = {}
        """When a task of a batch was worked on, by the claim of the batch."""

    def waited_us(self, route: str, attempt: AttemptSpan, since_us: int, until_us: int) -> int:
        """Return how long an attempt waited for a slot between two instants, microseconds.

        From when the last slot became free before it was claimed it was not waiting any more, but being taken; within
        a batch it waited while others of it were worked on.
        """
        claimed_us = until_us if attempt.claimed_us is None else min(attempt.claimed_us, until_us)
        ends = self._ends.get(route, ())
        if attempt.claimed_us is None:
            freed_us = claimed_us
        else:
            at = bisect_right(ends, claimed_us)
            freed_us = max(ends[at - 1], since_us) if at else since_us
        full = self._full.get(route)
        waited_us = full.within(since_us, freed_us) if full is not None else 0
        batch = self.batches.get((attempt.worker, attempt.claimed_us or 0))
        return waited_us + (batch.within(max(claimed_us, since_us), until_us) if batch is not None else 0)


def look_at_slots(timeline: RunTimeline, now_us: int) -> Slots:
    """Return when slots were free.

    A worker has as many as it was seen to use at once, and is there from its first claim on. Tasks that it claimed in
    one call and worked off one after the other were a batch, which has one slot.
    """
    served: dict[str, set[str]] = {}
    by_worker: dict[str, list[Stay]] = {}
    ends: dict[str, list[int]] = {}
    batches: dict[_Claim, Stretches] = {}
    for claim, members in _claims(timeline).items():
        times = sorted((one.started_us or claim[1], one.finished_us or now_us) for one, _ in members)
        is_batch = all(before[1] <= after[0] for before, after in pairwise(times))
        if is_batch and len(times) > 1:
            batches[claim] = Stretches(times)
        for end_us in [times[-1][1]] if is_batch else [end for _, end in times]:
            by_worker.setdefault(claim[0], []).append(Stay(claim[0], claim[1], max(end_us, claim[1])))
        for route in {route for _, route in members}:
            served.setdefault(route, set()).add(claim[0])
    counted = {worker: _full(found) for worker, found in by_worker.items()}
    full = {worker: stretches for worker, (stretches, _) in counted.items()}
    first = {worker: min(stay.start_us for stay in found) for worker, found in by_worker.items()}
    for route, workers in served.items():
        ends[route] = sorted(stay.end_us for worker in workers for stay in by_worker[worker])
    slots = Slots({route: Stretches(_all_full(workers, full, first)) for route, workers in served.items()}, ends)
    slots.batches = batches
    slots.count = sum(count for _, count in counted.values())
    return slots


def _claims(timeline: RunTimeline) -> dict[_Claim, list[tuple[AttemptSpan, str]]]:
    claims: dict[_Claim, list[tuple[AttemptSpan, str]]] = {}
    for task, span in zip(timeline.tasks, timeline.spans, strict=True):
        for attempt in span.attempts:
            if attempt.claimed_us is not None and attempt.outcome != "given_back":
                claim = attempt.worker, attempt.claimed_us
                claims.setdefault(claim, []).append((attempt, str(task.get("route", ""))))
    return claims


def _full(found: list[Stay]) -> tuple[list[tuple[int, int]], int]:
    """Return when all slots of a worker were taken, and how many it has."""
    taken = _taken(sorted(found, key=lambda stay: (stay.start_us, stay.end_us)))
    slots = _level_of(taken)
    return list(_at_level(taken, slots)), slots


def _level_of(taken: list[tuple[int, int]]) -> int:
    """Return how many slots were in use at once for more than a moment.

    One task may be seen to begin before the end of the one in whose slot it runs was recorded.
    """
    held: Counter[int] = Counter()
    level, since_us = 0, 0
    for at_us, step in _marks(taken):
        held[level] += at_us - since_us
        level, since_us = level + step, at_us
    least_us = _MOMENT_RATIO * sum(time_us for count, time_us in held.items() if count)
    longer = 0
    for count in sorted(held, reverse=True):
        longer += held[count]
        if count and longer >= least_us:
            return count
    return 1


def _taken(ordered: list[Stay]) -> list[tuple[int, int]]:
    """Put stays into slots; return when each slot was taken."""
    free: list[tuple[int, int]] = []
    open_since: list[int] = []
    taken: list[tuple[int, int]] = []
    for stay in ordered:
        if free and free[0][0] <= stay.start_us:
            free_at, slot = heapq.heappop(free)
            if stay.start_us - free_at > _TURN_US:
                taken.append((open_since[slot], free_at))
                open_since[slot] = stay.start_us
        else:
            slot = len(open_since)
            open_since.append(stay.start_us)
        heapq.heappush(free, (stay.end_us, slot))
    return taken + [(open_since[slot], end) for end, slot in free]


def _marks(stretches: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the instants at which stretches begin (1) and end (-1), in order, ends first."""
    marks = []
    for start, end in stretches:
        marks += [(start, 1), (end, -1)]
    return sorted(marks)


def _at_level(stretches: Iterable[tuple[int, int]], level: int) -> Iterator[tuple[int, int]]:
    """Yield when at least so many stretches hold at once."""
    count, since = 0, 0
    for at, step in _marks(stretches):
        before, count = count, count + step
        if before < level <= count:
            since = at
        elif count < level <= before and at > since:
            yield since, at


def _all_full(
    workers: set[str], full: dict[str, list[tuple[int, int]]], first: dict[str, int]
) -> Iterator[tuple[int, int]]:
    """Yield when each of some workers was full or not there yet, and one was there."""
    earliest = min(first[worker] for worker in workers)
    stretches = [stretch for worker in workers for stretch in full[worker]]
    stretches += [(earliest, first[worker]) for worker in workers if first[worker] > earliest]
    return _at_level(stretches, len(workers))
