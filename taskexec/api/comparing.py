"""Two runs beside each other, task by task."""

from __future__ import annotations

from itertools import islice
from typing import Any

from taskexec.api.live_run import LiveRun
from taskexec.observability.timeline import TaskSpan

__all__ = ["compare", "duration_s"]

_MOST_ONLY = 100


def duration_s(span: TaskSpan) -> float | None:
    """Return how long the last attempt at a task worked, in seconds; None when none has ended."""
    last = span.last
    if last is None or last.started_us is None or last.finished_us is None:
        return None
    return max(last.finished_us - last.started_us, 0) / 1e6


def compare(one: LiveRun, two: LiveRun, *, limit: int) -> dict[str, Any]:
    """Return the body of `GET …/compare/{other}`, with at most `limit` tasks."""
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
    rows.sort(key=lambda row: (row["status"][0] == row["status"][1], -abs(row["difference_s"] or 0.0)))
    only = (first.keys() - second.keys(), second.keys() - first.keys())
    return {
        "runs": summaries,
        "is_same_plan": summaries[0]["digest"] == summaries[1]["digest"],
        "tasks": rows[:limit],
        "only_in": [list(islice(sorted(names), _MOST_ONLY)) for names in only],
    }


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
