"""Where a run's tasks stand by its folder at home, for a further life of it on a server that does not know it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson

from taskexec.completion.former import FormerLedger
from taskexec.completion.names import RESULT
from taskexec.completion.outline import attempt_folder
from taskexec.domain.events import TransitionKind
from taskexec.domain.program import Standing
from taskexec.domain.rules import TaskState
from taskexec.domain.states import TaskStatus

__all__ = ["FormerLife"]

_ENDINGS = {
    TransitionKind.SUCCEEDED: TaskStatus.SUCCEEDED,
    TransitionKind.FAILED: TaskStatus.FAILED,
    TransitionKind.SKIPPED: TaskStatus.SKIPPED,
    TransitionKind.CANCELLED: TaskStatus.CANCELLED,
}


class FormerLife:
    """What a run's folder at home says of its tasks, and the end of its ledger."""

    def __init__(
        self, folder: Path, plan: Mapping[str, Any], *, taken: Mapping[int, bytes] = MappingProxyType({})
    ) -> None:
        """Read the ledger in a run's folder.

        Args:
            folder: The run's folder.
            plan: Its `plan.json`.
            taken: What its journal says of tasks that were taken over from another run, as `self.taken`.
        """
        self._folder = folder
        self._tasks: Sequence[Mapping[str, Any]] = plan["tasks"]
        self._task_ids = [task["id"] for task in self._tasks]
        self.ended: dict[int, TaskState] = {}
        """Where tasks stand that have ended, by index."""
        self.attempts: dict[int, int] = defaultdict(int)
        """Attempts that were started, by index."""
        self.taken: dict[int, bytes] = dict(taken)
        """What the log says of tasks that were taken over from another run, by index."""
        path = folder / "ledger.jsonl"
        self.ledger_head = ""
        """Hash of the last entry; empty when there is no ledger yet."""
        if path.is_file():
            self._read(FormerLedger(path, self._task_ids))

    def _read(self, ledger: FormerLedger) -> None:
        for step in ledger:
            if step.kind is TransitionKind.RUNNING:
                self.attempts[step.index] = max(self.attempts[step.index], step.attempt)
            elif step.kind is TransitionKind.RETRIED:
                self.ended.pop(step.index, None)
            elif step.kind in _ENDINGS:
                self.ended[step.index] = TaskState(_ENDINGS[step.kind], step.attempt)
            elif step.kind is TransitionKind.SATISFIED and step.detail:
                self.taken[step.index] = step.detail.encode()
        self.ledger_head = ledger.end.head if ledger.end.sequence else ""

    def statuses(self) -> list[str]:
        """Return the status of every task, in plan order; what had not ended waits."""
        satisfied = {index for index, task in enumerate(self._tasks) if task.get("satisfied")} | self.taken.keys()
        return [
            str(TaskStatus.SATISFIED)
            if index in satisfied
            else str(self.ended[index].status if index in self.ended else TaskStatus.WAITING)
            for index in range(len(self._tasks))
        ]

    def standing(self) -> dict[int, Standing]:
        """Return where tasks stand that have ended or were started."""
        found = {}
        for index in {*self.attempts, *self.ended, *self.taken}:
            state, attempts = self.ended.get(index), self.attempts[index]
            result = b""
            if index in self.taken:
                found[index] = Standing(reused=self.taken[index], result=self.result_of(index, 0) or b"")
                continue
            if state is not None and state.status is TaskStatus.SUCCEEDED:
                result = self.result_of(index, state.attempt) or b""
            found[index] = Standing("" if state is None else state.encode(), attempts, result)
        return found

    def without_evidence(self) -> set[int]:
        """Return the tasks that succeeded and whose evidence is not at home: they are to run again."""
        succeeded = ((index, state) for index, state in self.ended.items() if state.status is TaskStatus.SUCCEEDED)
        return {index for index, state in succeeded if self.record_of(index, state.attempt) is None}

    def record_of(self, index: int, attempt: int) -> dict[str, Any] | None:
        """Return the record of an attempt; None when it is not at home."""
        task_id = self._task_ids[index]
        path = attempt_folder(self._folder, task_id, attempt) / RESULT
        try:
            record: dict[str, Any] = orjson.loads(path.read_bytes())
        except (OSError, ValueError):
            return None
        return record

    def result_of(self, index: int, attempt: int) -> bytes | None:
        """Return the JSON value that an attempt left for dependents, empty for none; None when it cannot be told."""
        record = self.record_of(index, attempt)
        if record is None or "result_omitted_bytes" in record:
            return None if record is None else b""
        return orjson.dumps(record["result"]) if record.get("result") is not None else b""
