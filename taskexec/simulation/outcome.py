"""What a simulated run comes to: how busy workers are, how long tasks wait, and its events as those of a real run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from taskexec.domain.fit import CPUS, GPUS, MEMORY
from taskexec.plan import Plan
from taskexec.simulation.cluster import ClusterSpec
from taskexec.simulation.simulator import Schedule

__all__ = ["Share", "Use", "Waits", "events_of", "measure_use", "measure_waits"]

NODES_MAX = 20
"""Most workers that are told one by one; more are told by group."""
_AMOUNTS = ("cpus", "memory", "gpus")


@dataclass(frozen=True, slots=True)
class Share:
    """How much of something is in use, 0 to 1."""

    mean: float
    """Over the whole run."""
    peak: float

    def to_json(self) -> dict[str, float]:
        """Return the fields by name."""
        return {"mean": round(self.mean, 6), "peak": round(self.peak, 6)}


@dataclass(frozen=True, slots=True)
class Use:
    """How busy a worker is, or all of a group together."""

    name: str
    workers: int
    tasks: int
    """Ranks of tasks that ran there."""
    shares: dict[str, Share | None]
    """Of `cpus`, `memory` and `gpus`; None for what there is none of."""

    def to_json(self) -> dict[str, Any]:
        """Return the fields by name."""
        shares = {name: None if share is None else share.to_json() for name, share in self.shares.items()}
        return {"name": self.name, "workers": self.workers, "tasks": self.tasks, **shares}


@dataclass(frozen=True, slots=True)
class Waits:
    """How long tasks wait for a place once nothing else keeps them, in seconds."""

    mean_s: float
    p95_s: float
    max_s: float

    def to_json(self) -> dict[str, float]:
        """Return the fields by name."""
        return {"mean_s": self.mean_s, "p95_s": self.p95_s, "max_s": self.max_s}


def measure_waits(schedule: Schedule) -> Waits:
    """Return how long the tasks that ran have waited."""
    pairs = zip(schedule.taken_us, schedule.ready_us, strict=True)
    waits = sorted(taken - ready for taken, ready in pairs if taken >= 0)
    if not waits:
        return Waits(0.0, 0.0, 0.0)
    late = waits[min(len(waits) - 1, int(len(waits) * 0.95))]
    return Waits(round(sum(waits) / len(waits) / 1e6, 6), late / 1e6, waits[-1] / 1e6)


def measure_use(schedule: Schedule, cluster: ClusterSpec) -> list[Use]:
    """Return how busy the workers are, each by itself or, when there are many, by group."""
    is_grouped = len(schedule.workers) > NODES_MAX
    if is_grouped:
        places = [worker.group for worker in schedule.workers]
        names = [group.name for group in cluster.groups]
        counts = [group.count for group in cluster.groups]
    else:
        places = list(range(len(schedule.workers)))
        names = [worker.name for worker in schedule.workers]
        counts = [1] * len(names)
    groups = range(len(cluster.groups)) if is_grouped else [worker.group for worker in schedule.workers]
    meters = [_Meter() for _ in names]
    for entry in schedule.history:
        task = entry if entry >= 0 else ~entry
        if task in schedule.gangs:
            for rank in schedule.gangs[task]:
                meters[places[rank.worker]].note(entry >= 0, rank.debit, schedule, task)
        else:
            meters[places[schedule.where[task]]].note(entry >= 0, schedule.debits[task], schedule, task)
    span = schedule.makespan_us
    found = []
    for name, count, group, meter in zip(names, counts, groups, meters, strict=True):
        capacity = cluster.groups[group].capacity
        totals = (capacity.cpus * 1000 * count, capacity.memory_mib * count, len(capacity.gpus) * 1000 * count)
        found.append(Use(name, count, meter.tasks, dict(zip(_AMOUNTS, meter.shares(totals, span), strict=True))))
    return found


class _Meter:
    """Adds up what is in use at one place."""

    def __init__(self) -> None:
        self.tasks = 0
        self._now = [0, 0, 0]
        self._peak = [0, 0, 0]
        self._area = [0, 0, 0]

    def note(self, is_start: bool, debit: Sequence[int], schedule: Schedule, task: int) -> None:
        """Note that something was taken, or given back."""
        amounts = (debit[CPUS], debit[MEMORY], sum(debit[GPUS::2]) if len(debit) > GPUS else 0)
        if not is_start:
            for at, amount in enumerate(amounts):
                self._now[at] -= amount
            return
        self.tasks += 1
        span = schedule.finished_us[task] - schedule.taken_us[task]
        for at, amount in enumerate(amounts):
            if amount:
                self._now[at] += amount
                self._area[at] += amount * span
                if self._now[at] > self._peak[at]:
                    self._peak[at] = self._now[at]

    def shares(self, totals: Sequence[float], span_us: int) -> Iterator[Share | None]:
        """Yield the share of each amount."""
        for at, total in enumerate(totals):
            yield Share(self._area[at] / total / max(span_us, 1), self._peak[at] / total) if total else None


def events_of(plan: Plan, schedule: Schedule) -> list[dict[str, Any]]:
    """Return one object a task, as `tek events` does; times are seconds from the start of the run."""
    events = []
    workers = schedule.workers
    for index, task in enumerate(plan.tasks):
        if schedule.taken_us[index] < 0:
            status = "satisfied" if task.is_satisfied else "waiting"
            events.append(
                {"id": task.id, "status": status, "started_at": None, "finished_at": None, "attempts": 0, "worker": ""}
            )
            continue
        event: dict[str, Any] = {
            "id": task.id,
            "status": "succeeded",
            "started_at": schedule.started_us[index] / 1e6,
            "finished_at": schedule.finished_us[index] / 1e6,
            "attempts": 1,
            "worker": workers[schedule.where[index]].name,
            "waited_s": (schedule.taken_us[index] - schedule.ready_us[index]) / 1e6,
        }
        if index in schedule.gangs:
            event["workers"] = [workers[rank.worker].name for rank in schedule.gangs[index]]
        if index in schedule.gpus:
            event["gpus"] = list(schedule.gpus[index])
        events.append(event)
    return events
