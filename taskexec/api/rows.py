"""A run in rows: its graph, its timeline and its changes in the compact forms that pages and clients fold.

All here is pure; times in rows are milliseconds since the run's origin, which is the time of its log's first entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import orjson

from taskexec.domain.states import TaskStatus
from taskexec.observability.timeline import AttemptSpan, RunTimeline
from taskexec.plan.graph import Graph

__all__ = ["LETTERS", "OUTCOMES", "attempt_row", "attempts_of", "changes", "graph", "task_row", "timeline_rows"]

LETTERS: Mapping[TaskStatus, str] = {
    TaskStatus.WAITING: "w",
    TaskStatus.READY: "r",
    TaskStatus.QUEUED: "q",
    TaskStatus.RUNNING: "R",
    TaskStatus.SUCCEEDED: "S",
    TaskStatus.FAILED: "F",
    TaskStatus.SKIPPED: "X",
    TaskStatus.CANCELLED: "C",
    TaskStatus.SATISFIED: "P",
}
"""How statuses of tasks are written in rows."""
OUTCOMES: Mapping[str, str] = {
    "queued": "q",
    "running": "r",
    "succeeded": "s",
    "failed": "f",
    "lost": "l",
    "given_back": "g",
    "cancelled": "c",
}
"""How outcomes of attempts are written in rows."""


def _relative(at_us: int | None, origin_us: int) -> int | None:
    return None if at_us is None else (at_us - origin_us) // 1000


def attempt_row(index: int, attempt: AttemptSpan, origin_us: int, worker: object) -> list[Any]:
    """Return `[task, number, queued, claimed, started, finished, worker, outcome, reason]` of an attempt."""
    return [
        index,
        attempt.number,
        _relative(attempt.queued_us, origin_us),
        _relative(attempt.claimed_us, origin_us),
        _relative(attempt.started_us, origin_us),
        _relative(attempt.finished_us, origin_us),
        worker,
        OUTCOMES[attempt.outcome],
        attempt.reason,
    ]


def task_row(timeline: RunTimeline, index: int, origin_us: int) -> list[Any]:
    """Return `[task, letter, attempt, worker, reason, ready]`: where a task stands."""
    span = timeline.spans[index]
    last = span.attempts[-1] if span.attempts else None
    return [
        index,
        LETTERS[span.status],
        last.number if last else 0,
        (last.worker or None) if last else None,
        last.reason if last else None,
        _relative(span.ready_us, origin_us),
    ]


def attempts_of(
    timeline: RunTimeline, index: int, origin_us: int, since_us: Mapping[int, int] | None = None
) -> list[Any]:
    """Return the rows of a task's attempts; workers by name.

    Args:
        timeline: The run.
        index: The task.
        origin_us: The run's origin.
        since_us: Numbers of those that changed, and since when; None for all.
    """
    return [
        attempt_row(index, attempt, origin_us, attempt.worker or None)
        for attempt in timeline.spans[index].attempts
        if since_us is None or _has_changed(attempt, since_us)
    ]


def _has_changed(attempt: AttemptSpan, since_us: Mapping[int, int]) -> bool:
    since = since_us.get(attempt.number)
    if since is None:
        return False
    # what was given back is queued again under its number
    return attempt.outcome != "given_back" or attempt.finished_us is None or attempt.finished_us >= since


def changes(
    timeline: RunTimeline,
    tasks: Iterable[int],
    attempts: Callable[[int], Sequence[Any]],
    origin_us: int,
    outlook: Mapping[str, Any],
) -> bytes:
    """Return the data of an event `changes`.

    Args:
        timeline: The run as it stands now.
        tasks: Those that have changed.
        attempts: Returns the rows of the attempts of a task that have changed.
        origin_us: The run's origin.
        outlook: `rate_per_s`, `left_s` and `eta`.
    """
    listed = list(tasks)
    view = timeline.view
    body = {
        "at_ms": view.last_us // 1000,
        "tasks": [task_row(timeline, index, origin_us) for index in listed],
        "attempts": [row for index in listed for row in attempts(index)],
        "counts": view.tally(),
        "status": str(view.status),
        "done": view.done,
        **outlook,
    }
    return orjson.dumps(body)


def timeline_rows(
    run_id: str, timeline: RunTimeline, last_id: str, origin_us: int, now_us: int, outlook: Mapping[str, Any]
) -> bytes:
    """Return the body of `GET …/timeline`."""
    workers: dict[str, int] = {}
    rows = []
    for index, span in enumerate(timeline.spans):
        for attempt in span.attempts:
            worker = workers.setdefault(attempt.worker, len(workers)) if attempt.worker else -1
            rows.append(attempt_row(index, attempt, origin_us, worker))
    view = timeline.view
    body = {
        "run_id": run_id,
        "last_id": last_id,
        "origin_ms": origin_us // 1000,
        "now_ms": now_us // 1000,
        "status": str(view.status),
        "counts": view.tally(),
        "done": view.done,
        "started_ms": _relative(view.started_us, origin_us),
        "ended_ms": _relative(view.ended_us, origin_us),
        "workers": list(workers),
        "statuses": "".join(LETTERS[span.status] for span in timeline.spans),
        "ready": [_relative(span.ready_us, origin_us) for span in timeline.spans],
        "attempts": rows,
        **outlook,
    }
    return orjson.dumps(body)


def graph(run_id: str, timeline: RunTimeline) -> bytes:
    """Return the body of `GET …/graph`: what never changes of a run."""
    tasks = timeline.tasks
    lanes = _numbered(str(task.get("lane") or task["route"]) for task in tasks)
    routes = _numbered(str(task["route"]) for task in tasks)
    shape = Graph.of(timeline.dependencies)
    weights = [0.0 if task.get("satisfied") else float(task.get("duration_s") or 0.0) for task in tasks]
    if not any(weights):  # no duration is known: the longest by number of tasks
        weights = [float(not task.get("satisfied")) for task in tasks]
    body = {
        "run_id": run_id,
        "plan": timeline.plan.get("source", ""),
        "digest": timeline.plan.get("digest", ""),
        "tasks": len(tasks),
        "ids": timeline.ids,
        "titles": [task.get("title") or "" for task in tasks],
        "lanes": list(lanes),
        "lane": [lanes[str(task.get("lane") or task["route"])] for task in tasks],
        "routes": list(routes),
        "route": [routes[str(task["route"])] for task in tasks],
        "level": list(shape.levels),
        "deps": timeline.dependencies,
        "duration_s": [task.get("duration_s") for task in tasks],
        "critical": list(shape.critical_nodes(weights)),
    }
    return orjson.dumps(body)


def _numbered(names: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name in names:
        found.setdefault(name, len(found))
    return found
