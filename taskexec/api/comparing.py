"""Two runs beside each other, task by task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from itertools import islice
from math import ceil, inf
from typing import Any

from taskexec.api.live_run import LiveRun
from taskexec.observability.timeline import TaskSpan

__all__ = ["Order", "compare", "duration_s"]

_MOST_ONLY = 100
_NOISE_S = 0.05
"""Durations that differ by less are taken as the same."""
_FIFTH = 0.2


class Order(StrEnum):
    """Which tasks come first."""

    CHANGED = "changed"
    """Those that ended otherwise, then those whose durations differ most."""
    SLOWER = "slower"
    FASTER = "faster"
    PLAN = "plan"
    """As in the plan of the first run."""


def duration_s(span: TaskSpan) -> float | None:
    """Return how long the last attempt at a task worked, in seconds; None when none has ended."""
    last = span.last
    if last is None or last.started_us is None or last.finished_us is None:
        return None
    return max(last.finished_us - last.started_us, 0) / 1e6


def compare(one: LiveRun, two: LiveRun, *, limit: int, order: Order = Order.CHANGED, points: int = 0) -> dict[str, Any]:
    """Return the body of `GET …/compare/{other}`, with at most `limit` tasks and `points` points."""
    rows = []
    with one.lock:
        first = {task_id: _facts(one.timeline.spans[index]) for task_id, index in one.timeline.index_of.items()}
        summaries = [_run(one)]
    with two.lock:
        summaries.append(_run(two))
        second = {task_id: _facts(two.timeline.spans[index]) for task_id, index in two.timeline.index_of.items()}
    for task_id, facts in first.items():
        if task_id in second:
            rows.append(_row(task_id, facts, second[task_id]))
    _sort(rows, order)
    only = (first.keys() - second.keys(), second.keys() - first.keys())
    return {
        "runs": summaries,
        "is_same_plan": summaries[0]["digest"] == summaries[1]["digest"],
        "differences": _differences(rows) | {"only_in": [len(names) for names in only]},
        "tasks": rows[:limit],
        "points": _points(rows, points) if points else [],
        "only_in": [list(islice(sorted(names), _MOST_ONLY)) for names in only],
    }


def _sort(rows: list[dict[str, Any]], order: Order) -> None:
    if order is Order.CHANGED:
        rows.sort(key=lambda row: (row["status"][0] == row["status"][1], -abs(row["difference_s"] or 0.0)))
    elif order is not Order.PLAN:
        sign = -1 if order is Order.SLOWER else 1
        rows.sort(key=lambda row: inf if row["difference_s"] is None else sign * row["difference_s"])


def _differences(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return how many tasks of both runs differ, and how."""
    known = [(row["difference_s"], row["duration_s"][0]) for row in rows if row["difference_s"] is not None]
    changes = [change for change, was in known if abs(change) > max(_NOISE_S, was * _FIFTH)]
    slower = sum(change > 0 for change in changes)
    return {
        "ended_otherwise": sum(row["status"][0] != row["status"][1] for row in rows),
        "other_attempts": sum(row["attempts"][0] != row["attempts"][1] for row in rows),
        "slower": slower,
        "faster": len(changes) - slower,
    }


def _points(rows: Sequence[Mapping[str, Any]], most: int) -> list[dict[str, Any]]:
    """Return the durations of tasks of both runs that took some time, evenly chosen where there are more."""
    found = [row for row in rows if all(row["duration_s"])]
    step = ceil(len(found) / most) or 1
    return [{"duration_s": row["duration_s"], "status": row["status"]} for row in found[::step]]


_Facts = tuple[str, float | None, int, str | None]


def _facts(span: TaskSpan) -> _Facts:
    last = span.last
    return str(span.status), duration_s(span), 0 if last is None else last.number, last.worker if last else None


def _run(run: LiveRun) -> dict[str, Any]:
    timeline = run.timeline
    view = timeline.view
    ended_us = view.ended_us or view.last_us
    return {
        "run_id": run.run_id,
        "plan": timeline.plan.get("source", ""),
        "digest": timeline.plan.get("digest", ""),
        "status": str(view.status),
        "counts": view.tally(),
        "wall_s": None if view.started_us is None else max(ended_us - view.started_us, 0) / 1e6,
        "work_s": round(sum(duration_s(span) or 0.0 for span in timeline.spans), 6),
    }


def _row(task_id: str, one: _Facts, two: _Facts) -> dict[str, Any]:
    known = None if one[1] is None or two[1] is None else round(two[1] - one[1], 6)
    return {
        "task": task_id,
        "status": [one[0], two[0]],
        "duration_s": [one[1], two[1]],
        "attempts": [one[2], two[2]],
        "worker": [one[3], two[3]],
        "difference_s": known,
    }
