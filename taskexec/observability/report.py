"""All that a report of a run says, put together: figures, failures with their last words, digests, verification.

Tables are bounded, whatever the size of the run; what is left out is counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from taskexec.completion.names import RESULT
from taskexec.completion.outline import attempt_folder
from taskexec.completion.proof import Verification
from taskexec.domain.states import TaskStatus
from taskexec.observability.blame import Blame, blame
from taskexec.observability.charts import lane_of
from taskexec.observability.hindsight import Hindsight, look_back
from taskexec.observability.timeline import RunTimeline

__all__ = ["Evidence", "Failure", "RunReport", "TaskLine", "make_report", "observed_seconds"]

FAILURES_MAX = 100
"""Most failures that are told one by one."""
TASKS_MAX = 1_000
"""Most tasks in the table of tasks."""
EVIDENCE_MAX = 500
"""Most tasks whose files are listed with their digests."""
CHAIN_MAX = 60
"""Most tasks of the critical path in the table."""
_TAIL_LINES = 20
_TAIL_BYTES = 16_384
_URGENT = {
    status: rank
    for rank, status in enumerate(
        [TaskStatus.FAILED, TaskStatus.RUNNING, TaskStatus.CANCELLED, TaskStatus.QUEUED, TaskStatus.SKIPPED]
    )
}


@dataclass(frozen=True, slots=True)
class Failure:
    """A task that failed for good."""

    task: str
    title: str
    reason: str
    error: str
    attempts: int
    worker: str
    tails: Mapping[str, str]
    """The last lines of its streams that wrote something, by `stderr.log` and `stdout.log`."""


@dataclass(frozen=True, slots=True)
class TaskLine:
    """A task in the table of tasks."""

    task: str
    title: str
    lane: str
    status: str
    attempts: int
    start_s: float | None
    """When the work of the last attempt began, seconds from the start of the run."""
    duration_s: float | None
    worker: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """A file that a task left."""

    task: str
    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class RunReport:
    """What is said of a run."""

    summary: Mapping[str, Any]
    """Its `run.json`."""
    wall_s: float | None
    """How long it took; None when it has not started."""
    tasks_total: int
    failures: Sequence[Failure]
    failures_total: int
    tasks: Sequence[TaskLine]
    """Those that are not well first, then those that took the longest."""
    evidence: Sequence[Evidence]
    evidence_tasks_total: int
    """How many tasks have left evidence."""
    evidence_tasks: int
    """How many of them are in the table."""
    blame: Blame
    hindsight: Hindsight
    verification: Verification | None
    """None when its evidence is not at home."""


def make_report(
    timeline: RunTimeline, summary: Mapping[str, Any], folder: Path | None, verification: Verification | None
) -> RunReport:
    """Return what is to be said of a run.

    Args:
        timeline: What became of its tasks.
        summary: Its `run.json`.
        folder: Its folder at home, where logs and digests are read; None when it is not at home.
        verification: What `tek verify` says of the folder.
    """
    view = timeline.view
    ended = view.ended_us or view.last_us
    spread = [index for index, span in enumerate(timeline.spans) if span.last is not None]
    listed = _urgent_first(timeline, spread)[:EVIDENCE_MAX]
    return RunReport(
        summary=summary,
        wall_s=None if view.started_us is None else (ended - view.started_us) / 1e6,
        tasks_total=len(timeline.spans),
        failures=[_failure(timeline, index, folder) for index in view.failed[:FAILURES_MAX]],
        failures_total=len(view.failed),
        tasks=[_line(timeline, index) for index in _urgent_first(timeline, range(len(timeline.spans)))[:TASKS_MAX]],
        evidence=[] if folder is None else [one for index in listed for one in _files(timeline, index, folder)],
        evidence_tasks_total=0 if folder is None else len(spread),
        evidence_tasks=0 if folder is None else len(listed),
        blame=blame(timeline),
        hindsight=look_back(timeline),
        verification=verification,
    )


def observed_seconds(timeline: RunTimeline) -> dict[str, float]:
    """Return how long the work of tasks took whose last attempt has ended, by id."""
    found = {}
    for task_id, span in zip(timeline.ids, timeline.spans, strict=True):
        attempt = span.last
        if attempt is not None and attempt.started_us is not None and attempt.finished_us is not None:
            found[task_id] = max(attempt.finished_us - attempt.started_us, 0) / 1e6
    return found


def _urgent_first(timeline: RunTimeline, indexes: Sequence[int]) -> list[int]:
    def key(index: int) -> tuple[int, float, int]:
        span = timeline.spans[index]
        return _URGENT.get(span.status, len(_URGENT)), -(_duration_s(timeline, index) or 0.0), index

    return sorted(indexes, key=key)


def _duration_s(timeline: RunTimeline, index: int) -> float | None:
    attempt = timeline.spans[index].last
    if attempt is None or attempt.started_us is None:
        return None
    end_us = attempt.finished_us or timeline.view.last_us
    return max(end_us - attempt.started_us, 0) / 1e6


def _line(timeline: RunTimeline, index: int) -> TaskLine:
    task, span = timeline.tasks[index], timeline.spans[index]
    attempt, origin = span.last, timeline.view.started_us
    start_s = None
    if attempt is not None and attempt.started_us is not None and origin is not None:
        start_s = (attempt.started_us - origin) / 1e6
    return TaskLine(
        task=timeline.ids[index],
        title=_title(task),
        lane=lane_of(task),
        status=str(span.status),
        attempts=max((one.number for one in span.attempts), default=0),
        start_s=start_s,
        duration_s=_duration_s(timeline, index),
        worker="" if attempt is None else attempt.worker,
    )


def _title(task: Mapping[str, Any]) -> str:
    title = str(task.get("title") or "")
    return "" if title == task["id"] else title


def _failure(timeline: RunTimeline, index: int, folder: Path | None) -> Failure:
    span, task_id = timeline.spans[index], timeline.ids[index]
    attempt = span.last
    tails = {}
    if folder is not None and attempt is not None:
        where = attempt_folder(folder, task_id, attempt.number)
        tails = {name: tail for name in ("stderr.log", "stdout.log") if (tail := _tail(where / name))}
    return Failure(
        task=task_id,
        title=_title(timeline.tasks[index]),
        reason=(attempt.reason if attempt is not None else None) or "",
        error=(attempt.error if attempt is not None else None) or "",
        attempts=max((one.number for one in span.attempts), default=0),
        worker="" if attempt is None else attempt.worker,
        tails=tails,
    )


def _tail(path: Path) -> str:
    """Return the last lines of a file; empty when there is none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join(text.rstrip().split("\n")[-_TAIL_LINES:])


def _files(timeline: RunTimeline, index: int, folder: Path) -> Iterator[Evidence]:
    """Yield the files of a task's last attempt, as its record says."""
    attempt, task_id = timeline.spans[index].last, timeline.ids[index]
    if attempt is None:
        return
    try:
        record = orjson.loads((attempt_folder(folder, task_id, attempt.number) / RESULT).read_bytes())
    except (OSError, ValueError):
        return
    for name, file in (record.get("files") or {}).items():
        yield Evidence(task_id, str(name), int(file.get("bytes", 0)), str(file.get("sha256", "")))
