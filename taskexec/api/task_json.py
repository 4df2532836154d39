"""Tasks and attempts as the routes show them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from taskexec.api.comparing import duration_s
from taskexec.api.live_run import LiveRun
from taskexec.api.paths import link_to
from taskexec.domain.clock import iso_time
from taskexec.domain.secrets import Redactor
from taskexec.domain.states import TaskStatus
from taskexec.errors import NotFound
from taskexec.observability.estimate import expected_s
from taskexec.observability.timeline import AttemptSpan
from taskexec.plan.suggestion import Suggestions

__all__ = ["attempt_json", "find_task", "instant", "matching", "task_detail", "task_json"]

_NEEDS = (
    *("cpus", "memory_mib", "gpus", "gpu_memory_mib", "disk_mib", "nodes", "packed", "exclusive", "has", "not"),
    *("alternatives", "labels", "requirements"),
)
_ABOUT = ("timeout_s", "total_timeout_s", "retries", "retry", "deadline_at", "layer", "inputs", "outputs", "metadata")
_ALSO = ("acceptance_criteria",)


def instant(at_us: int | None) -> str | None:
    """Return microseconds since the epoch as text."""
    return None if at_us is None else iso_time(at_us / 1e6)


def find_task(run: LiveRun, task_id: str) -> int:
    """Return the position of a task.

    Raises:
        NotFound: The run has no such task; the nearest name is told.
    """
    index = run.timeline.index_of.get(task_id)
    if index is None:
        near = Suggestions(run.timeline.ids).find(task_id) if len(task_id) <= 200 else None
        hint = f"did you mean `{near}`?" if near else f"`GET {link_to('runs', run.run_id, 'tasks')}` lists its tasks"
        raise NotFound(f"run `{run.run_id}` has no task `{task_id[:200]}`", hint=hint)
    return index


def matching(run: LiveRun, statuses: Sequence[str], lane: str | None, search: str | None, first: int) -> Iterator[int]:
    """Yield the positions of tasks from one on that have one of the statuses, the lane, and a text in id or title."""
    timeline = run.timeline
    wanted, needle = frozenset(map(TaskStatus, statuses)), (search or "").casefold()
    for index in range(first, run.size):
        status = timeline.spans[index].status
        if wanted and not any(status is one for one in wanted):  # hashes of members are slow
            continue
        task = timeline.tasks[index]
        if lane is not None and (task.get("lane") or task["route"]) != lane:
            continue
        if needle and needle not in task["id"].casefold() and needle not in (task.get("title") or "").casefold():
            continue
        yield index


def task_json(run: LiveRun, index: int) -> dict[str, Any]:
    """Return a task as lists show it."""
    timeline = run.timeline
    task, span = timeline.tasks[index], timeline.spans[index]
    last = span.last
    queued_us = span.attempts[-1].queued_us if span.attempts else None
    expected = expected_s(timeline, index)
    return {
        "id": f"{run.run_id}:{task['id']}",
        "task": task["id"],
        "title": task.get("title") or "",
        "lane": task.get("lane") or task["route"],
        "route": task["route"],
        "agent": task["agent"],
        "status": str(span.status),
        "attempts": 0 if last is None else last.number,
        "worker": (last.worker or None) if last else None,
        "reason": last.reason if last else None,
        "error": last.error if last else None,
        "exit_status": last.exit_status if last else None,
        "because_of": None if span.because_of is None else timeline.ids[span.because_of],
        "priority": task.get("priority") or 0,
        "ready_at": instant(span.ready_us),
        "queued_at": instant(queued_us),
        "started_at": instant(last.started_us) if last else None,
        "finished_at": instant(last.finished_us) if last else None,
        "duration_s": duration_s(span),
        "expected_s": None if expected is None else round(expected, 6),
    }


def attempt_json(run: LiveRun, task_id: str, attempt: AttemptSpan, record: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return an attempt; its files are those of its record, when that is known."""
    placed = attempt.placed.get("on") or []
    files = (record or {}).get("files") or {}
    here = ("runs", run.run_id, "tasks", task_id, "attempts", attempt.number, "files")
    return {
        "attempt": attempt.number,
        "outcome": attempt.outcome,
        "worker": attempt.worker or None,
        "placed_on": placed if isinstance(placed, list) else [str(placed)],
        "queued_at": instant(attempt.queued_us),
        "claimed_at": instant(attempt.claimed_us),
        "started_at": None if attempt.outcome == "given_back" else instant(attempt.started_us),
        "finished_at": instant(attempt.finished_us),
        "reason": attempt.reason,
        "error": attempt.error,
        "exit_status": attempt.exit_status,
        "signal": attempt.signal,
        "usage": dict(attempt.usage or (record or {}).get("usage") or {}),
        "files": [
            {
                "name": name,
                "bytes": int(file.get("bytes", 0)),
                "sha256": str(file.get("sha256", "")),
                "href": link_to(*here, name),
            }
            for name, file in sorted(files.items())
        ],
    }


def task_detail(run: LiveRun, index: int, tries: Sequence[Mapping[str, Any]], redactor: Redactor) -> dict[str, Any]:
    """Return a task in full, with its attempts as `attempt_json` gives them."""
    timeline = run.timeline
    task = timeline.tasks[index]
    here = ("runs", run.run_id, "tasks", task["id"])
    return {
        **task_json(run, index),
        "instructions": redactor.json(task.get("payload")),
        "needs": redactor.json({name: task[name] for name in _NEEDS if task.get(name)}),
        **redactor.json({name: task[name] for name in (*_ABOUT, *_ALSO) if task.get(name)}),
        "depends_on": [timeline.ids[other] for other in timeline.dependencies[index]],
        "dependents": [timeline.ids[other] for other in timeline.successors[index]],
        "tries": list(tries),
        "links": {name: link_to(*here, name) for name in ("logs", "progress", "why", "ledger", "attempts")},
    }
