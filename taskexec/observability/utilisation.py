"""What a run used over time: how many attempts ran, and the cores, memory and GPUs that they used, in equal steps.

An attempt's record tells sums and peaks, not a course: CPU and GPU time are spread evenly over the time it ran, and its
peak of memory counts for all of that time, so the memory shown is an upper bound.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from taskexec.observability.timeline import AttemptSpan, RunTimeline

__all__ = ["Utilisation", "utilisation"]

_AMOUNTS = ("running", "cpus", "memory_mib", "gpus", "gpu_memory_mib")


@dataclass(frozen=True, slots=True)
class Utilisation:
    """What a run used, from its start to its end or until now."""

    started_us: int
    """Start of the first step, server time in microseconds; 0 for a run that has not started."""
    span_s: float
    """From the start of the first step to the end of the last, in seconds."""
    attempts: int
    """Attempts that have begun to run."""
    known: int
    """How many of them have told what they used; those that run have not."""
    lines: dict[str, list[float]]
    """Mean of each step: `running` attempts, `cpus` and `gpus` busy, `memory_mib` and `gpu_memory_mib` at most."""

    def to_json(self) -> dict[str, Any]:
        """Return it as programs read it."""
        lines = {name: [round(value, 3) for value in line] for name, line in self.lines.items()}
        return {"span_s": round(self.span_s, 3), "attempts": self.attempts, "known": self.known, **lines}


def utilisation(timeline: RunTimeline, steps: int, now_us: int) -> Utilisation:
    """Return what a run has used.

    Args:
        timeline: The run; for one at home with what its attempts used, or only `running` is known.
        steps: How many steps its time is parted into, at least 1.
        now_us: Server time, until which what runs has run.
    """
    view = timeline.view
    if view.started_us is None:
        return Utilisation(0, 0.0, 0, 0, {name: [0.0] * steps for name in _AMOUNTS})
    until_us = view.ended_us or max(now_us, view.last_us)
    span_us = max(until_us - view.started_us, 1)
    lines = {name: _Line(steps) for name in _AMOUNTS}
    count = known = 0
    for attempt, begun_us, ended_us in _worked(timeline, until_us):
        count += 1
        first = (begun_us - view.started_us) / span_us * steps
        last = (ended_us - view.started_us) / span_us * steps
        lines["running"].add(first, last, 1.0)
        known += bool(attempt.usage)
        for name, amount in _amounts(attempt, max(ended_us - begun_us, 1) / 1e6):
            lines[name].add(first, last, amount)
    values = {name: line.values() for name, line in lines.items()}
    return Utilisation(view.started_us, span_us / 1e6, count, known, values)


def _worked(timeline: RunTimeline, until_us: int) -> Iterator[tuple[AttemptSpan, int, int]]:
    """Yield the attempts that have begun, with when their work began and ended."""
    for span in timeline.spans:
        for attempt in span.attempts:
            if attempt.claimed_us is not None:
                begun_us = max(attempt.claimed_us, attempt.started_us or 0)
                yield attempt, begun_us, max(attempt.finished_us or until_us, begun_us)


def _amounts(attempt: AttemptSpan, ran_s: float) -> Iterator[tuple[str, float]]:
    usage = attempt.usage
    for name, seconds in (("cpus", usage.get("cpu_s")), ("gpus", usage.get("gpu_s"))):
        if seconds:
            yield name, seconds / ran_s
    for name, peak in (("memory_mib", "peak_memory_mib"), ("gpu_memory_mib", "gpu_memory_mib")):
        if usage.get(peak):
            yield name, usage[peak]


class _Line:
    """The mean of an amount in each step, kept as differences: adding costs the same however long it lasts."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._differences = [0.0] * (steps + 1)

    def add(self, first: float, last: float, amount: float) -> None:
        """Have an amount from one time to another, in steps from the start."""
        first, last = max(first, 0.0), min(last, float(self._steps))
        if last <= first:
            return
        start, end = int(first), min(int(last), self._steps - 1)
        if start == end:
            self._put(start, (last - first) * amount)
            return
        self._put(start, (start + 1 - first) * amount)
        self._differences[start + 1] += amount
        self._differences[end] -= amount
        self._put(end, (last - end) * amount)

    def _put(self, step: int, amount: float) -> None:
        self._differences[step] += amount
        self._differences[step + 1] -= amount

    def values(self) -> list[float]:
        """Return the mean of each step."""
        return [max(value, 0.0) for value in accumulate(self._differences[:-1])]
