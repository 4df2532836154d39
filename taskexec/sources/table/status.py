"""Whether the task of a row is done already: by its status, its progress, or the time it was completed."""

from __future__ import annotations

import re

from taskexec.errors import Fault
from taskexec.plan.draft import DraftTask, Located, PlanDraft
from taskexec.sources.table.cells import Row
from taskexec.sources.table.header import Header
from taskexec.sources.values.amounts import show
from taskexec.sources.values.lists import NONE_WORDS
from taskexec.sources.values.words import is_abandoned, parse_status, parse_truth

__all__ = ["STATUS_FIELDS", "StatusReader"]

STATUS_FIELDS = ("status", "progress", "done_at")
"""The fields of a table that say whether a task is done."""

_FULL = re.compile(r"100(?:[.,]0*)?\s*%?")
_TRUTH_COLUMNS = frozenset({"done", "completed", "finished", "satisfied", "erledigt"})


class StatusReader:
    """Reads the statuses of rows below one header."""

    def __init__(self, header: Header, draft: PlanDraft) -> None:
        self._header = header
        self._draft = draft
        index = header.index("status")
        self._status_is_truth = index is not None and header.names[index].casefold() in _TRUTH_COLUMNS
        self._unknown_statuses: set[str] = set()

    def read(self, row: Row, task: DraftTask) -> None:
        """Read whether the task is done; a status that is more than that is kept as metadata."""
        status, progress, done_at = (self._text(row, field) for field in STATUS_FIELDS)
        if done_at is not None and done_at.value.casefold() not in NONE_WORDS:
            task.satisfied = Located(True, done_at.place)
            self._keep(task, "done_at", done_at.value)
        if progress is not None and _FULL.fullmatch(progress.value):
            task.satisfied = Located(True, progress.place)
        elif progress is not None:
            self._keep(task, "progress", progress.value)
        if status is None:
            return
        done = parse_truth(status.value) if self._status_is_truth else None
        done = parse_status(status.value) if done is None else done
        if done:
            task.satisfied = Located(True, status.place)
        if done and not is_abandoned(status.value):
            return
        self._keep(task, "status", status.value)
        self._warn_of_status(task, status, done)

    def _warn_of_status(self, task: DraftTask, status: Located[str], done: bool | None) -> None:
        word = status.value
        if done:
            message = f"task {show(task.id.value)} is {show(word)}: it is not run, and nothing waits for it"
            hint = "take the row out, or give it another status"
            self._draft.warnings.append(Fault("csv.abandoned", message, (status.place,), hint))
        elif done is None and word.casefold() not in self._unknown_statuses:
            self._unknown_statuses.add(word.casefold())
            message = f"status {show(word)} is not known: such tasks are run"
            hint = "write `done` for what is done already"
            self._draft.warnings.append(Fault("csv.status", message, (status.place,), hint))

    def _keep(self, task: DraftTask, field: str, value: str) -> None:
        index = self._header.index(field)
        if index is not None:
            task.metadata.setdefault(self._header.names[index], value)

    def _text(self, row: Row, field: str) -> Located[str] | None:
        index = self._header.index(field)
        text = "" if index is None else row.texts[index].strip()
        return None if index is None or not text else Located(text, row.places[index])
