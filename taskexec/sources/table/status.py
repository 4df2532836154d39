"""Whether the task of a row is done already: by its status, its progress, or the time it was completed."""

from __future__ import annotations

import re

from taskexec.errors import Fault
from taskexec.plan.draft import DraftTask, Located, PlanDraft
from taskexec.sources.table.cells import Row
from taskexec.sources.table.fields import normalize
from taskexec.sources.table.header import Header
from taskexec.sources.values.amounts import show
from taskexec.sources.values.words import is_abandoned, parse_status, parse_truth

__all__ = ["STATUS_FIELDS", "StatusReader"]

STATUS_FIELDS = ("status", "progress", "done_at", "active", "archived")
"""The fields of a table that say whether a task is done."""

_DATE = re.compile(
    r"\d{1,4}[-/.]\s?(?:\d{1,2}|[^\W\d_]{3,9})[-/.]\s?\d{1,4}|\d{1,2}\.? [^\W\d_]{3,9} \d{4}|[^\W\d_]{3,9} \d"
)
_NOT_ZERO = re.compile(r"[1-9]|[^\W\d_]")
_ONE = re.compile(r"1(?:[.,]0*)?")
_FULL = re.compile(r"100(?:[.,]0*)?\s*%?")
_TRUTH_COLUMNS = frozenset({"done", "isdone", "completed", "finished", "satisfied", "erledigt"})


class StatusReader:
    """Reads the statuses of rows below one header."""

    def __init__(self, header: Header, draft: PlanDraft) -> None:
        self._header = header
        self._draft = draft
        index = header.index("status")
        self._status_is_truth = index is not None and normalize(header.names[index]) in _TRUTH_COLUMNS
        self._unknown_statuses: set[str] = set()

    def read(self, row: Row, task: DraftTask) -> None:
        """Read whether the task is done; a status that is more than that is kept as metadata."""
        self._read_inactive(row, task)
        if task.satisfied is not None:
            return
        status = self._header.text(row, "status")
        done = None if status is None else self._is_done(status.value)
        for field, is_reached in (("done_at", self._is_instant), ("progress", self._is_full)):
            found = self._header.text(row, field)
            if found is not None:
                self._keep(task, field, found.value)
                if is_reached(found):
                    self._take(task, found, status, done)
        if status is not None:
            self._read_status(task, status, done)

    def _is_done(self, text: str) -> bool | None:
        truth = parse_truth(text) if self._status_is_truth else None
        return parse_status(text) if truth is None else truth

    def _read_status(self, task: DraftTask, status: Located[str], done: bool | None) -> None:
        if done:
            task.satisfied = Located(True, status.place)
        if done and not is_abandoned(status.value):
            return
        self._keep(task, "status", status.value)
        self._warn_of_status(task, status, done)

    def _read_inactive(self, row: Row, task: DraftTask) -> None:
        """Read whether the row is switched off or archived; then it is not run, like a task that was given up."""
        for field, off in (("active", False), ("archived", True)):
            found = self._header.text(row, field)
            if found is not None and parse_truth(found.value) is off:
                task.satisfied = Located(True, found.place)
                name = self._header.names[self._header.columns[field][0]]
                message = f"task {show(task.id.value)} has {show(found.value)} in column {show(name)}: it is not run"
                hint = "take the row out, or switch it on"
                self._draft.warnings.append(Fault("csv.abandoned", message, (found.place,), hint))

    def _take(self, task: DraftTask, found: Located[str], status: Located[str] | None, done: bool | None) -> None:
        """Take a task as done, unless its status says that it is open."""
        if status is None or done is not False or not status.value.strip():
            task.satisfied = Located(True, found.place)
            return
        message = f"task {show(task.id.value)} is {show(status.value)}, but has {show(found.value)}; it is run"
        hint = "correct one of the two"
        self._draft.warnings.append(Fault("csv.status", message, (status.place, found.place), hint))

    def _is_instant(self, found: Located[str]) -> bool:
        """Return whether a cell says when something was completed; words such as `Unresolved` do not."""
        return bool(_DATE.search(found.value) or parse_truth(found.value)) and bool(_NOT_ZERO.search(found.value))

    def _is_full(self, found: Located[str]) -> bool:
        if _ONE.fullmatch(found.value):
            self._warn_once("1", found, "may be 1 % or all of it: such tasks are run", "write `100%` for what is done")
        return _FULL.fullmatch(found.value) is not None or parse_status(found.value) is True

    def _warn_of_status(self, task: DraftTask, status: Located[str], done: bool | None) -> None:
        word = status.value
        if done:
            message = f"task {show(task.id.value)} is {show(word)}: it is not run, and nothing waits for it"
            hint = "take the row out, or give it another status"
            self._draft.warnings.append(Fault("csv.abandoned", message, (status.place,), hint))
        elif done is None:
            hint = "write `done` for what is done already"
            self._warn_once(word.casefold(), status, "is not known: such tasks are run", hint)

    def _warn_once(self, key: str, found: Located[str], problem: str, hint: str) -> None:
        if key not in self._unknown_statuses:
            self._unknown_statuses.add(key)
            message = f"status {show(found.value)} {problem}"
            self._draft.warnings.append(Fault("csv.status", message, (found.place,), hint))

    def _keep(self, task: DraftTask, field: str, value: str) -> None:
        index = self._header.index(field)
        if index is not None:
            task.metadata.setdefault(self._header.names[index], value)
