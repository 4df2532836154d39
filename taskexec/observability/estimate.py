"""When a task, a lane or a run should end, and how sure that is: from what plans say and from what was seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from taskexec.domain.clock import iso_time
from taskexec.domain.states import TaskStatus
from taskexec.observability.forecast import Left, Now
from taskexec.observability.timeline import RunTimeline

__all__ = ["Estimate", "estimate_end", "estimate_lanes", "estimate_tasks", "expected_s"]

_LIKELY = 1.2816
"""Standard deviations on both sides that hold 80 % of a normal distribution."""
_OWN_ERROR = 0.08
"""How far an estimate is off (standard deviation, share of what is left) even when all durations are well known."""
_FIRST_ERROR = 0.45
"""The same when nothing has ended yet; it shrinks with the square root of the tasks that have."""
_OF_UNKNOWN, _OF_DECLARED = 0.6, 0.25
"""The same for tasks about which nothing is known, and of which only the plan says how long they take."""
_OF_SLOTS = 0.5
"""The same while it is not known how many tasks run at once."""
_LEAST_S = 0.2


@dataclass(frozen=True, slots=True)
class Estimate:
    """When something should end; with 80 % probability it does between `earliest_us` and `latest_us`."""

    at_us: int
    """Microseconds since the epoch."""
    earliest_us: int
    latest_us: int
    basis: str
    """What it rests on: `declared`, `observed` or `declared and observed` durations."""

    def to_json(self) -> dict[str, Any]:
        """Return it with instants as texts."""
        return {
            "at": iso_time(self.at_us / 1e6),
            "earliest": iso_time(self.earliest_us / 1e6),
            "latest": iso_time(self.latest_us / 1e6),
            "basis": self.basis,
        }

    def left_s(self, now_us: int) -> tuple[float, float, float]:
        """Return the seconds until then, at the earliest and at the latest; none is below 0."""
        at, earliest, latest = (max(one - now_us, 0) / 1e6 for one in (self.at_us, self.earliest_us, self.latest_us))
        return at, earliest, latest


def expected_s(timeline: RunTimeline, index: int) -> float | None:
    """Return how long the work of a task should take, in seconds; None when nothing is known.

    It is what an earlier run or the plan says, corrected by how far that is off in this run, else what tasks of the
    same agent, command and size took in this run.
    """
    return timeline.pace.expected_s(index)


def estimate_end(timeline: RunTimeline, now_us: int, *, slots: int | None = None) -> Estimate | None:
    """Return when a run should end; None when it has ended, or nothing is known of how long its tasks take.

    It costs about a microsecond for each task that is left, and now and then ten times that.

    Args:
        timeline: The run.
        now_us: Server time, microseconds since the epoch.
        slots: Tasks that can run at once, which counts until enough was seen of the run; None for unknown.
    """
    if timeline.view.is_final:
        return None
    left = timeline.forecast.left(_now(timeline, now_us), slots)
    return None if left is None else _estimate(timeline, left, left.seconds, now_us)


def estimate_tasks(timeline: RunTimeline, now_us: int, *, slots: int | None = None) -> dict[int, Estimate]:
    """Return for each task that is left, by position, when it should end; it costs 10 µs for each."""
    now = _now(timeline, now_us)
    left = None if timeline.view.is_final else timeline.forecast.left(now, slots)
    if left is None:
        return {}
    ends = timeline.forecast.ends_s(now, slots)
    return {index: _estimate(timeline, left, seconds, now_us) for index, seconds in ends.items()}


def estimate_lanes(timeline: RunTimeline, now_us: int, *, slots: int | None = None) -> dict[str, Estimate]:
    """Return for each lane (or route) of which something is left when it should be done."""
    lanes: dict[str, Estimate] = {}
    for index, estimate in estimate_tasks(timeline, now_us, slots=slots).items():
        task = timeline.tasks[index]
        lane = str(task.get("lane") or task.get("route", ""))
        if lane not in lanes or lanes[lane].at_us < estimate.at_us:
            lanes[lane] = estimate
    return lanes


def _now(timeline: RunTimeline, now_us: int) -> Now:
    return Now(timeline.view.statuses, lambda index: timeline.spans[index].ready_us, timeline.view.running, now_us)


def _estimate(timeline: RunTimeline, left: Left, seconds: float, now_us: int) -> Estimate:
    done = timeline.view.counts[TaskStatus.SUCCEEDED] + timeline.view.counts[TaskStatus.FAILED]
    ratio = _OWN_ERROR + _FIRST_ERROR / (1 + done) ** 0.5
    ratio += _OF_UNKNOWN * left.unknown / left.tasks + _OF_DECLARED * left.declared / left.tasks
    ratio += 0.0 if left.are_slots_known else _OF_SLOTS
    share = seconds / left.seconds if left.seconds else 1.0
    deviation_s = ((ratio * seconds) ** 2 + (left.deviation_s * share) ** 2) ** 0.5
    ratio += left.overrun_s / seconds if seconds else 0.0
    deviation_s = (deviation_s**2 + left.overrun_s**2) ** 0.5  # what has gone on for long may go on as long again
    spread_s = _LIKELY * deviation_s + _LEAST_S
    earliest_s = max(seconds - spread_s, seconds / (1 + 2 * ratio), 0.0)
    instants = (now_us + round(one * 1e6) for one in (seconds, min(earliest_s, seconds), seconds + spread_s))
    at_us, earliest_us, latest_us = instants
    return Estimate(at_us, earliest_us, latest_us, _basis(left))


def _basis(left: Left) -> str:
    if not left.declared:
        return "observed"
    return "declared" if left.declared == left.tasks else "declared and observed"
