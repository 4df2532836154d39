"""The account of a run: one line a task, folded from its transitions; what `run.json` and `tek events` show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from taskexec.completion.ledger import split_record
from taskexec.domain.events import Transition, TransitionKind
from taskexec.domain.states import FINAL_TASK_STATUSES, TaskStatus

__all__ = ["RunAccount", "TaskAccount"]

_ENDINGS = {
    TransitionKind.SUCCEEDED: TaskStatus.SUCCEEDED,
    TransitionKind.FAILED: TaskStatus.FAILED,
    TransitionKind.SKIPPED: TaskStatus.SKIPPED,
    TransitionKind.CANCELLED: TaskStatus.CANCELLED,
    TransitionKind.SATISFIED: TaskStatus.SATISFIED,
}
_MOVES = {
    TransitionKind.QUEUED: TaskStatus.QUEUED,
    TransitionKind.DELAYED: TaskStatus.READY,
    TransitionKind.RETRIED: TaskStatus.WAITING,
}
_SHOWN = (
    *("attempt", "agent", "reason", "error", "exit_status", "signal", "started_at", "finished_at"),
    *("commands", "hints"),
)
_WITH_RECORD = {TransitionKind.SUCCEEDED, TransitionKind.FAILED, TransitionKind.TRIED, TransitionKind.LOST}


class TaskAccount:
    """What became of one task."""

    __slots__ = ("attempts", "because_of", "record", "status", "truncated_bytes", "worker")

    def __init__(self) -> None:
        self.status = TaskStatus.WAITING
        self.attempts = 0
        """Attempts that were started."""
        self.worker = ""
        self.record: Mapping[str, Any] = {}
        """What the account shows of the record of the last attempt that ended."""
        self.truncated_bytes = 0
        """What was dropped of that attempt's evidence, because it went beyond a limit."""
        self.because_of: int | None = None
        """Index of the failed task that made this one be skipped."""

    def to_json(self, task_id: str) -> dict[str, Any]:
        """Return the task's line for `tek events`."""
        record = self.record
        return {
            "id": task_id,
            "status": str(self.status),
            "started_at": record.get("started_at"),
            "finished_at": record.get("finished_at"),
            "attempts": self.attempts,
            "worker": self.worker,
            "agent": record.get("agent"),
            "reason": record.get("reason"),
            "error": record.get("error"),
            "exit_status": record.get("exit_status"),
            "signal": record.get("signal"),
        }


class RunAccount:
    """What became of every task of a run."""

    def __init__(self, task_ids: Sequence[str]) -> None:
        """Begin the account of a run with these tasks, by index."""
        self.task_ids = task_ids
        self.tasks = [TaskAccount() for _ in task_ids]

    def take(self, transition: Transition) -> None:
        """Take in the next transition."""
        kind = transition.kind
        if transition.index < 0:
            if kind is TransitionKind.SUBMITTED:
                self._begin_life()
            return
        task = self.tasks[transition.index]
        if kind in _MOVES:
            task.status = _MOVES[kind]
            task.because_of = None
        elif kind is TransitionKind.RUNNING:
            task.status, task.worker, task.attempts = TaskStatus.RUNNING, transition.worker, transition.attempt
        elif kind in _ENDINGS:
            task.status = _ENDINGS[kind]
            if kind is TransitionKind.SKIPPED:
                task.because_of = int(transition.detail)
        if kind in _WITH_RECORD and transition.detail:
            self.take_record(transition.index, split_record(transition.detail)[0])

    def _begin_life(self) -> None:
        """Have what had not ended wait again: the server that knew of it is gone."""
        for task in self.tasks:
            if task.status not in FINAL_TASK_STATUSES:
                task.status = TaskStatus.WAITING

    def take_record(self, index: int, raw: bytes) -> None:
        """Take in the record of the last attempt of a task that ended."""
        record, task = orjson.loads(raw), self.tasks[index]
        # a run of 100,000 tasks is held in memory: only what the account shows
        task.record = {name: record[name] for name in _SHOWN if record.get(name) is not None}
        task.truncated_bytes = 0
        if b'"truncated":' in raw:
            task.truncated_bytes = sum(file.get("truncated", 0) for file in record.get("files", {}).values())

    def lines(self) -> list[dict[str, Any]]:
        """Return one object a task, in plan order; the list that scripts read."""
        lines = []
        for task_id, task in zip(self.task_ids, self.tasks, strict=True):
            line = task.to_json(task_id)
            if task.because_of is not None:
                line["because_of"] = self.task_ids[task.because_of]
            lines.append(line)
        return lines
