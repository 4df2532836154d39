"""What became of every task of a run and when, folded from its transitions: what pages, charts and reports share.

Times are the server's, in microseconds since the epoch. The fold is pure and takes transitions of the server's log
as well as those that `completion.former` reads from a ledger at home.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from taskexec.domain.events import LogEntry, Transition, TransitionKind, parse_entry
from taskexec.domain.states import FINAL_TASK_STATUSES, TaskStatus
from taskexec.observability.forecast import Forecast
from taskexec.observability.pace import AVAILABLE, AWAY, BUSY, Pace
from taskexec.observability.progress import RunView

__all__ = ["AttemptSpan", "RunTimeline", "TaskSpan"]

_ENDS = {
    TransitionKind.SUCCEEDED: "succeeded",
    TransitionKind.FAILED: "failed",
    TransitionKind.TRIED: "failed",
    TransitionKind.LOST: "lost",
    TransitionKind.GIVEN_BACK: "given_back",
    TransitionKind.CANCELLED: "cancelled",
}
_DONE = {TaskStatus.SUCCEEDED, TaskStatus.SATISFIED}
_AWAY = FINAL_TASK_STATUSES | {TaskStatus.READY}


class AttemptSpan:
    """One attempt at a task."""

    __slots__ = (
        "claimed_us",
        "error",
        "exit_status",
        "finished_us",
        "number",
        "outcome",
        "placed",
        "queued_us",
        "reason",
        "signal",
        "started_us",
        "usage",
        "worker",
    )

    def __init__(self, number: int, queued_us: int | None) -> None:
        """Begin with its number, from 1, and the time at which it was queued or placed."""
        self.number = number
        self.queued_us = queued_us
        self.placed: Mapping[str, Any] = {}
        """For one that was placed: `on` which workers, after how long a wait, what had made room (as the log says)."""
        self.claimed_us: int | None = None
        """When a worker took it."""
        self.started_us: int | None = None
        """When its work began, as its record says; while it runs, when it was claimed."""
        self.finished_us: int | None = None
        """When its work ended, as its record says, else when that became known; None while it runs."""
        self.worker = ""
        self.outcome = "queued"
        """`queued`, `running`, `succeeded`, `failed`, `lost`, `given_back` or `cancelled`."""
        self.reason: str | None = None
        self.error: str | None = None
        self.exit_status: int | None = None
        self.signal: str | None = None
        self.usage: Mapping[str, Any] = {}
        """What it used, as its record says (`domain.usage`); empty when that is not known, as in a ledger."""


class TaskSpan:
    """One task of a run."""

    __slots__ = ("attempts", "because_of", "changed_us", "ready_us", "status")

    def __init__(self) -> None:
        self.status = TaskStatus.WAITING
        self.attempts: list[AttemptSpan] = []
        """In the order in which they were queued; one that was given back is queued again with the same number."""
        self.ready_us: int | None = None
        """When the last of its dependencies was done; None while one is not."""
        self.changed_us: int | None = None
        """When its status changed last."""
        self.because_of: int | None = None
        """Position of the failed task because of which it was skipped."""

    @property
    def last(self) -> AttemptSpan | None:
        """The last attempt that was claimed; None when there is none."""
        for attempt in reversed(self.attempts):
            if attempt.claimed_us is not None:
                return attempt
        return None


class RunTimeline:
    """All tasks of a run, by their position in its plan."""

    def __init__(self, plan: Mapping[str, Any]) -> None:
        """Begin with a run's `plan.json`; nothing has happened yet."""
        self.plan = plan
        self.tasks: Sequence[Mapping[str, Any]] = plan["tasks"]
        self.ids: list[str] = [task["id"] for task in self.tasks]
        self.index_of = {task_id: index for index, task_id in enumerate(self.ids)}
        self.dependencies: list[list[int]] = [
            [self.index_of[name] for name in task.get("depends_on", ())] for task in self.tasks
        ]
        self.successors: list[list[int]] = [[] for _ in self.tasks]
        for index, before in enumerate(self.dependencies):
            for other in before:
                self.successors[other].append(index)
        self.spans = [TaskSpan() for _ in self.tasks]
        self.view = RunView(len(self.tasks))
        """The same run in counts."""
        self.last_id = "0"
        """The stream's id of the last entry that was taken in; `0` for none, and for what came from a ledger."""
        self.pace = Pace(self.tasks)
        """How fast it goes."""
        self.forecast = Forecast(self.pace, self.dependencies, self.successors)
        """When what is left of it should be done; `observability.estimate` asks it."""
        self.pauses: list[tuple[int, int]] = []
        """From when to when it had ended, until somebody had tasks of it run again."""
        self._open = [len(before) for before in self.dependencies]

    def apply(self, entries: Iterable[LogEntry]) -> dict[int, None]:
        """Take in further entries of the log; return the tasks that changed, in the order of their last change."""
        changed: dict[int, None] = {}
        for entry in entries:
            self.last_id, self.view.last_us = entry.id, entry.at_us
            for transition in parse_entry(entry):
                for index in self.take(transition):
                    changed.pop(index, None)
                    changed[index] = None
        return changed

    def take(self, transition: Transition) -> Sequence[int]:
        """Take in the next transition; return the tasks that changed."""
        view, index, at_us = self.view, transition.index, transition.at_us
        if index < 0:
            return self._take_of_run(transition)
        view.take(transition)
        if at_us > view.last_us:
            view.last_us = at_us
        span = self.spans[index]
        self._take_of_task(span, transition)
        changed = [index]
        before, span.status = span.status, view.statuses[index]
        if span.status is not before:
            span.changed_us = at_us
            changed += self._count_down(index, before, at_us)
            if span.status is TaskStatus.SUCCEEDED:
                self._note_durations(index, at_us)
        return self._keep_pace(changed, at_us)

    def _take_of_run(self, transition: Transition) -> Sequence[int]:
        kind, at_us = transition.kind, transition.at_us
        if kind is TransitionKind.REOPENED and self.view.ended_us is not None:
            self.pauses.append((self.view.ended_us, at_us))
        self.view.take(transition)
        self.view.last_us = max(self.view.last_us, at_us)
        if kind is TransitionKind.STARTED:
            return self._keep_pace(self._make_ready(range(len(self.tasks)), at_us), at_us)
        if kind is TransitionKind.SUBMITTED:
            self._begin_life()
            self._keep_pace(range(len(self.tasks)), at_us)
        return ()

    def _keep_pace(self, indexes: Sequence[int], at_us: int) -> Sequence[int]:
        """Note where tasks stand now, for the pace; return them."""
        states = self.pace.states
        for index in indexes:
            span = self.spans[index]
            status = span.status
            if status is TaskStatus.RUNNING:
                state = BUSY
            elif span.ready_us is None or status in _AWAY:
                state = AWAY
            else:
                state = AVAILABLE
            if states[index] != state:
                self.pace.see(index, state, at_us)
        return indexes

    def _note_durations(self, index: int, at_us: int) -> None:
        span = self.spans[index]
        attempt = span.last
        if attempt is None or attempt.started_us is None or attempt.claimed_us is None or attempt.finished_us is None:
            return
        is_first = attempt is span.attempts[0] and span.ready_us is not None
        since_us = (span.ready_us if is_first else attempt.queued_us) or attempt.claimed_us
        self.pace.succeeded(
            index,
            work_s=max(attempt.finished_us - attempt.started_us, 0) / 1e6,
            held_s=max(at_us - attempt.claimed_us, 0) / 1e6,
            since_ready_s=max(at_us - since_us, 0) / 1e6,
        )

    def _take_of_task(self, span: TaskSpan, transition: Transition) -> None:
        kind, at_us = transition.kind, transition.at_us
        if kind is TransitionKind.QUEUED:
            attempt = AttemptSpan(transition.attempt, at_us)
            attempt.placed = _object(transition.detail)
            span.attempts.append(attempt)
        elif kind is TransitionKind.RUNNING:
            attempt = self._current(span, transition.attempt)
            attempt.claimed_us = attempt.started_us = at_us
            attempt.worker, attempt.outcome = transition.worker, "running"
        elif kind is TransitionKind.SKIPPED:
            span.because_of = int(transition.detail)
        elif kind is TransitionKind.RETRIED:
            span.because_of = None
            span.ready_us = None if self._open[transition.index] else at_us
        elif kind in _ENDS:
            self._end(span, transition)

    def _current(self, span: TaskSpan, number: int) -> AttemptSpan:
        """Return an attempt, begun when the log does not say that it was queued."""
        if not span.attempts or span.attempts[-1].number != number or span.attempts[-1].finished_us is not None:
            span.attempts.append(AttemptSpan(number, None))
        return span.attempts[-1]

    def _end(self, span: TaskSpan, transition: Transition) -> None:
        kind, number = transition.kind, transition.attempt
        if not number:
            return
        self.pace.tries += kind is not TransitionKind.GIVEN_BACK
        if kind is TransitionKind.CANCELLED and not span.attempts:
            return
        attempt = span.attempts[-1] if span.attempts else None
        if attempt is None or attempt.number != number:
            attempt = next((one for one in reversed(span.attempts) if one.number == number), None)
            attempt = attempt or self._current(span, number)
        attempt.outcome = _ENDS[kind]
        attempt.finished_us = transition.at_us
        if not transition.detail:
            return
        record = _object(transition.detail.partition("\t")[0])  # what was packed beside it is for others
        attempt.reason, attempt.error = record.get("reason"), record.get("error")
        attempt.exit_status, attempt.signal = record.get("exit_status"), record.get("signal")
        attempt.usage = record.get("usage") or {}
        if record.get("started_at") and attempt.claimed_us is not None:
            attempt.started_us = _microseconds(record["started_at"])
        if record.get("finished_at"):
            attempt.finished_us = _microseconds(record["finished_at"])

    def _count_down(self, index: int, before: TaskStatus, at_us: int) -> Sequence[int]:
        is_done, was_done = self.spans[index].status in _DONE, before in _DONE
        if is_done == was_done:
            return ()
        for other in self.successors[index]:
            self._open[other] += -1 if is_done else 1
        if not is_done:
            return ()
        return self._make_ready(self.successors[index], at_us)

    def _make_ready(self, indexes: Iterable[int], at_us: int) -> list[int]:
        found = []
        for index in indexes:
            span = self.spans[index]
            if not self._open[index] and span.status not in FINAL_TASK_STATUSES:
                span.ready_us = at_us
                found.append(index)
        return found

    def _begin_life(self) -> None:
        """Have what had not ended wait again: a further life of the run begins on a server that had lost it."""
        for span, status in zip(self.spans, self.view.statuses, strict=True):
            span.status = status
            for attempt in span.attempts:
                if attempt.finished_us is None:
                    attempt.outcome, attempt.finished_us = "lost", self.view.last_us


def _object(text: str | bytes) -> Mapping[str, Any]:
    """Return a JSON object, empty for no text and for what is none."""
    try:
        value = orjson.loads(text) if text else {}
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _microseconds(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1e6)
