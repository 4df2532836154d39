"""Who ran what when in a run, as a chart: by worker, by lane or by task."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import PurePath
from typing import Any

from taskexec.observability.timeline import AttemptSpan, RunTimeline, TaskSpan
from taskexec.plan.chart import Bar, Chart, Row, pack
from taskexec.plan.svg import format_duration

__all__ = ["ChartBy", "counted", "lane_of", "run_chart"]

_KINDS = {"failed": "failed", "lost": "lost", "cancelled": "cancelled", "running": "running"}
_LEGEND = {
    "": ("bar q0", "work"),
    "wait": ("bar wait", "waits for a slot"),
    "failed": ("bar failed", "failed"),
    "lost": ("bar lost", "lost"),
    "running": ("bar q0 running", "runs"),
}
_NUMBERS = re.compile("([0-9]+)")


class ChartBy(StrEnum):
    """What has rows of its own."""

    WORKER = "worker"
    LANE = "lane"
    TASK = "task"


def run_chart(
    timeline: RunTimeline, by: ChartBy, *, most_rows: int, now_us: int | None = None, chain: Collection[int] = ()
) -> Chart:
    """Return a run as a chart whose origin is its start.

    Waiting is shown by lane and by task, by lane only where all rows fit with it.

    Args:
        timeline: The run.
        by: What has rows.
        most_rows: Most rows; how many bars stand in further ones is told.
        now_us: Until when what runs is drawn, microseconds since the epoch; None is the last transition.
        chain: Positions of tasks that are marked.
    """
    begin = timeline.view.started_us or timeline.view.last_us
    end = timeline.view.ended_us or now_us or timeline.view.last_us
    found = list(_bars(timeline, by, begin, max(end, begin), set(chain)))
    rows, hidden = _packed(found, most_rows)
    if hidden and by is ChartBy.LANE:
        rows, hidden = _packed([(group, replace(bar, since_us=None)) for group, bar in found], most_rows)
    rows.sort(key=_order(timeline, by))
    title = PurePath(str(timeline.plan.get("source", ""))).name or "run"
    span_us = max(end - begin, 1)
    kinds = {bar.kind for _, bar in found} | ({"wait"} if any(bar.since_us is not None for _, bar in found) else set())
    legend = [_LEGEND[kind] for kind in _LEGEND if kind in kinds]
    legend += [("bar chain mark", "critical path")] if chain else []
    return Chart(title, _facts(timeline, found, span_us), rows, span_us, hidden, legend)


def lane_of(task: Mapping[str, Any]) -> str:
    """Return the group that people see a task in: its lane, or its route when it has none."""
    return str(task.get("lane") or task.get("route") or "")


def _packed(found: Sequence[tuple[str, Bar]], most_rows: int) -> tuple[list[Row], int]:
    return pack(sorted(found, key=lambda one: (one[1].first_us, one[1].end_us)), most_rows)


def _bars(
    timeline: RunTimeline, by: ChartBy, begin: int, end: int, chain: Collection[int]
) -> Iterator[tuple[str, Bar]]:
    lanes: dict[str, int] = {}
    for index, (task, span) in enumerate(zip(timeline.tasks, timeline.spans, strict=True)):
        lane = lane_of(task)
        colour = lanes.setdefault(lane, len(lanes))
        for at, attempt in enumerate(span.attempts):
            if attempt.started_us is None or attempt.outcome == "given_back":
                continue
            group = attempt.worker if by is ChartBy.WORKER else lane if by is ChartBy.LANE else str(task["id"])
            since = None if by is ChartBy.WORKER else _waited_since(attempt, span if not at else None)
            yield (
                group,
                Bar(
                    max(attempt.started_us - begin, 0),
                    max((attempt.finished_us or end) - begin, attempt.started_us - begin, 0),
                    str(task["id"]),
                    colour,
                    _KINDS.get(attempt.outcome, ""),
                    _note(attempt, by),
                    index in chain,
                    None if since is None else max(since - begin, 0),
                ),
            )


def _waited_since(attempt: AttemptSpan, span: TaskSpan | None) -> int | None:
    """Return from when an attempt waited: the first one of a task from when it could start."""
    if span is not None and span.ready_us is not None and span.ready_us <= (attempt.started_us or 0):
        return span.ready_us
    return attempt.queued_us


def _note(attempt: AttemptSpan, by: ChartBy) -> str:
    words = [f"attempt {attempt.number} {attempt.outcome}"]
    words += [f"({attempt.reason})"] if attempt.reason else []
    words += [f"on {attempt.worker}"] if by is not ChartBy.WORKER and attempt.worker else []
    return " ".join(words)


def _order(timeline: RunTimeline, by: ChartBy) -> Callable[[Row], Any]:
    """Return the order of rows: workers by name, lanes and tasks as in the plan."""
    if by is ChartBy.WORKER:
        return lambda row: [int(word) if word.isdigit() else word for word in _NUMBERS.split(row.group)]
    names = timeline.ids if by is ChartBy.TASK else dict.fromkeys(map(lane_of, timeline.tasks))
    place = {name: number for number, name in enumerate(names)}
    return lambda row: place[row.group]


def _facts(timeline: RunTimeline, found: Sequence[tuple[str, Bar]], span_us: int) -> str:
    workers = {attempt.worker for span in timeline.spans for attempt in span.attempts if attempt.worker}
    facts = [counted(len(timeline.tasks), "task"), counted(len(workers), "worker"), format_duration(span_us / 1e6)]
    facts += [str(timeline.view.status)]
    busy = sum(bar.end_us - bar.start_us for _, bar in found)
    facts += [f"{busy / span_us:.1f} at once on average"] if found else []
    return " · ".join(facts)


def counted(amount: int, noun: str) -> str:
    """Return an amount with its noun."""
    return f"{amount:,} {noun}" + ("" if amount == 1 else "s")
