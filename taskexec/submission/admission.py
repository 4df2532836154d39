"""Admission: whether a plan can be carried out by the workers there are, decided before anything starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from taskexec.domain.resources import Capacity, Route, shortfalls
from taskexec.domain.task import Task
from taskexec.errors import Fault, NeedsUnmet
from taskexec.plan import Plan

__all__ = ["KnownWorker", "admit"]


@dataclass(frozen=True, slots=True)
class KnownWorker:
    """A worker as admission sees it."""

    name: str
    routes: frozenset[Route]
    capacity: Capacity


def admit(plan: Plan, workers: Sequence[KnownWorker]) -> None:
    """Check that for every task that is performed there is a worker that could run it if it were idle.

    Raises:
        NeedsUnmet: With one fault a task, each with the nearest miss.
    """
    faults = []
    known: dict[tuple[Route, object], tuple[str, str] | None] = {}
    for task, place in zip(plan.tasks, plan.places, strict=True):
        if task.is_satisfied:
            continue
        key = (task.route, task.needs)
        if key not in known:
            known[key] = _refusal(task, workers)
        refusal = known[key]
        if refusal is not None:
            reason, hint = refusal
            faults.append(Fault("needs.unmet", f"task `{task.id}` can never run: {reason}", (place,), hint))
    if faults:
        raise NeedsUnmet(faults)


def _refusal(task: Task, workers: Sequence[KnownWorker]) -> tuple[str, str] | None:
    """Return why no worker could run a task (by the worker that comes nearest) and what to do; None when one could."""
    serving = [worker for worker in workers if task.route in worker.routes]
    if not serving:
        return f"no worker serves the route `{task.route}`", f"start one with `tek worker --class {task.route}`"
    misses = []
    for worker in serving:
        short = shortfalls(task.needs, worker.capacity)
        if not short:
            return None
        misses.append((len(short), f"it asks for {' and '.join(short)} on the nearest worker, `{worker.name}`"))
    return min(misses)[1], "ask for less, or start a worker that has more with `tek worker`"
