"""A run that has ended, as something to simulate: how long its tasks took, and what its workers must have had."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from statistics import median
from typing import Any

from taskexec.domain.resources import Capacity, Gpu, Route
from taskexec.plan import Plan
from taskexec.simulation.cluster import ClusterSpec, WorkerGroup

__all__ = ["RecordedRun", "read_recorded"]


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """What is known of a run."""

    plan: Plan
    """Its plan; what never started counts as done before."""
    durations_s: Mapping[str, float]
    cluster: ClusterSpec
    """Its workers, with what they must have had by what ran at once on each."""
    makespan_s: float
    """From the first start of a task to the last end of one."""


@dataclass(frozen=True, slots=True)
class _Stay:
    index: int
    start: float
    end: float


def read_recorded(plan: Plan, events: Sequence[Mapping[str, Any]], source: str) -> RecordedRun:
    """Return a run by its plan and its events, as `tek events RUN --output json` gives them.

    Only the last attempt of each task counts. The first start is the origin.
    """
    stays: dict[str, list[_Stay]] = {}
    by_index: dict[int, _Stay] = {}
    index_of = {task.id: index for index, task in enumerate(plan.tasks)}
    for event in events:
        if event.get("started_at") and event.get("finished_at") and event.get("worker"):
            index = index_of[event["id"]]
            stay = _Stay(index, _seconds(event["started_at"]), _seconds(event["finished_at"]))
            by_index[index] = stay
            stays.setdefault(event["worker"], []).append(stay)
    tasks = tuple(
        task if index in by_index else task._replace(is_satisfied=True) for index, task in enumerate(plan.tasks)
    )
    overhead_s = _overhead_s(plan, stays)
    groups = [replace(_worker(plan, name, mine), start_overhead_s=overhead_s) for name, mine in sorted(stays.items())]
    first = min((stay.start for stay in by_index.values()), default=0.0)
    last = max((stay.end for stay in by_index.values()), default=0.0)
    return RecordedRun(
        plan=replace(plan, tasks=tasks),
        durations_s={plan.tasks[index].id: max(stay.end - stay.start, 0.0) for index, stay in by_index.items()},
        cluster=ClusterSpec(tuple(groups), source),
        makespan_s=last - first,
    )


def _seconds(instant: str) -> float:
    return datetime.fromisoformat(instant).timestamp()


def _overhead_s(plan: Plan, stays: Mapping[str, Sequence[_Stay]]) -> float:
    """Return how long a start takes by itself: half of the tasks started sooner after whatever they may have waited
    for, which is their dependencies and the last attempt that ended on their worker before."""
    ends = {stay.index: stay.end for mine in stays.values() for stay in mine}
    gaps = []
    for mine in stays.values():
        freed = sorted(stay.end for stay in mine)
        for stay in mine:
            causes = [ends[one] for one in plan.graph.predecessors[stay.index] if one in ends]
            causes += freed[max(0, bisect_right(freed, stay.start) - 1) : bisect_right(freed, stay.start)]
            if causes:
                gaps.append(max(0.0, stay.start - max(causes)))
    return median(gaps) if gaps else 0.0


def _worker(plan: Plan, name: str, stays: Sequence[_Stay]) -> WorkerGroup:
    """Return a worker that could have done what it did.

    It has the cores, slots and GPUs that were in use at one moment at most. Memory and disk are no limit: in another
    order than that of the run, tasks may need more at one moment, which may well have been there.
    """
    needs = {stay.index: plan.tasks[stay.index].needs for stay in stays}
    marks = sorted([(stay.end, 0, stay.index) for stay in stays] + [(stay.start, 1, stay.index) for stay in stays])
    now, peak = [0.0] * 3, [0.0] * 3
    for _, is_start, index in marks:
        one = needs[index]
        for at, amount in enumerate((1, one.cpus, one.gpus)):
            now[at] += amount if is_start else -amount
            peak[at] = max(peak[at], now[at])
    gpu_memory = max((one.gpu_memory_mib for one in needs.values()), default=0)
    gpus = tuple(Gpu(f"gpu-{number}", "", gpu_memory) for number in range(math.ceil(peak[2] - 1e-9)))
    slots = max(1, round(peak[0]))
    capacity = Capacity(
        cpus=max(peak[1], 0.001),
        memory_mib=slots * max((one.memory_mib for one in needs.values()), default=0),
        gpus=gpus,
        slots=slots,
        disk_mib=slots * max((one.disk_mib for one in needs.values()), default=0),
        labels=frozenset(label for one in needs.values() for label in one.has),
    )
    routes = frozenset(Route(plan.tasks[stay.index].route) for stay in stays)
    return WorkerGroup(name=name, capacity=capacity, routes=routes)
