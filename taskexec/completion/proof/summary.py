"""Checking `run.json`: it is made again from the ledger and the records, and compared."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from taskexec.completion.account import RunAccount
from taskexec.completion.outline import RunOutline, unproved_files
from taskexec.completion.plain_files import open_plain
from taskexec.completion.proof.chain import Entry
from taskexec.completion.proof.findings import Findings
from taskexec.completion.summary import home_summary, run_summary
from taskexec.domain.events import Transition, TransitionKind
from taskexec.domain.program import RunHead

__all__ = ["SummaryCheck"]

_PENDING_STATES = ("pending", "gone")


class SummaryCheck:
    """Takes the entries in order, with the records of attempts that were found unchanged."""

    def __init__(self, folder: Path, plan: Mapping[str, Any], index_of: Mapping[str, int], findings: Findings) -> None:
        self._folder = folder
        self._plan = plan
        self._index_of = index_of
        self._findings = findings
        self._account = RunAccount(list(index_of))
        self._doubtful: set[str] = set()
        self._stored, self._raw, self._fault = _read(folder / "run.json")
        self._then: dict[str, Any] | None = None
        """What `run.json` should say, made when the ledger had come to the entry that it names as its last."""
        self.outline = RunOutline()
        self.head = ""
        """Hash of the last entry."""

    def take(self, entry: Entry, record: bytes | None) -> None:
        """Fold the next entry; `record` is that of the attempt that it ends, None when it has none that counts."""
        self.head = entry["hash"]
        self.outline.take(entry)
        if "task" in entry:
            self._take_task(entry, record)
        if self.head == self._stored.get("ledger_head") and self.outline.ended_at is None:
            self._then = orjson.loads(orjson.dumps(self._expected()))

    def _take_task(self, entry: Entry, record: bytes | None) -> None:
        kind = TransitionKind(entry["event"])
        detail = "" if record is None else record.decode(errors="replace")
        if kind is TransitionKind.SKIPPED:
            detail = str(self._index_of.get(entry.get("because_of", ""), 0))
        if record is None and "result.json" in entry.get("evidence", {}):
            self._doubtful.add(entry["task"])  # its line cannot be made again; what is wrong with it has been told
        index, worker = self._index_of[entry["task"]], entry.get("worker", "")
        self._account.take(Transition(kind, 0, worker, index, entry.get("attempt", 0), detail))

    @property
    def is_settled(self) -> bool:
        """Whether `run.json` says that the run has ended."""
        return self._stored.get("ended") is not None

    def finish(self, pending: Mapping[tuple[str, int, str], Mapping[str, Any]]) -> Mapping[str, str]:
        """Compare `run.json`; return what attempts left that no record speaks of, path -> SHA-256.

        Args:
            pending: Files that are not here and may still be with their worker: task, attempt and name -> account.
        """
        unproved = unproved_files(self._folder, self.outline.unproved)
        if self._fault:
            if self._raw is not None or self.outline.ended_at is not None:  # before the end there need not be one
                self._problem(self._fault)
            return unproved
        if self._then is not None and self._stored["ledger_head"] != self.head and self.outline.ended_at is None:
            kept = {name: value for name, value in self._stored.items() if name in self._then}
            self._findings.warnings.append("run.json is older than the ledger (`tek collect` brings it up to date)")
            self._compare(kept, self._then)
        else:
            folder = home_summary(self.outline, unproved, _pending(self._stored.get("pending_files"), pending))
            self._compare(self._stored, self._expected() | folder)
        if orjson.dumps(self._stored, option=orjson.OPT_INDENT_2) != self._raw:
            self._problem("is not in the form that it is written in")
        return unproved

    def _expected(self) -> dict[str, Any]:
        """Return what `run.json` should say of the run as far as the ledger was read."""
        status = str(self._stored.get("status"))
        is_going_on = status in {"pending", "running", "paused"}  # the ledger does not know which
        head = RunHead(
            run_id=str(self._stored.get("run_id")),
            status=status if is_going_on else "running",
            tasks=0,
            left=0,
            source=str(self._plan.get("source", "")),
        )
        return run_summary(self.outline.settle(head), self._plan, self._account, ledger_head=self.head)

    def _compare(self, stored: dict[str, Any], expected: dict[str, Any]) -> None:
        for name in dict.fromkeys((*expected, *stored)):
            if name == "results" and isinstance(stored.get(name), list):
                self._compare_results(stored[name], expected[name])
            elif name not in stored or name not in expected:
                self._problem(f"`{name}` " + ("is missing" if name in expected else "is not a field of it"))
            elif name == "counts" and self._doubtful:
                continue
            elif stored[name] != orjson.loads(orjson.dumps(expected[name])):
                self._problem(f"`{name}` does not agree with ledger and evidence")

    def _compare_results(self, stored: list[Any], expected: list[dict[str, Any]]) -> None:
        if len(stored) != len(expected):
            self._problem(f"it has results of {len(stored)} tasks, and the plan {len(expected)}")
        for found, wanted in zip(stored, expected, strict=False):
            if wanted["task"] not in self._doubtful and found != orjson.loads(orjson.dumps(wanted)):
                self._problem(f"the result of task `{wanted['task']}` does not agree with ledger and evidence")

    def _problem(self, what: str) -> None:
        self._findings.problem(what, path="run.json")


def _read(path: Path) -> tuple[dict[str, Any], bytes | None, str]:
    """Return a summary, its bytes (None when there are none), and what is wrong with it."""
    try:
        with open_plain(path) as file:
            raw = file.readall()
    except FileNotFoundError:
        return {}, None, "is missing"
    except OSError as error:
        return {}, b"", f"cannot be read: {error.strerror}"
    try:
        stored = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        return {}, raw, f"cannot be read: {error}"
    return (stored, raw, "") if isinstance(stored, dict) else ({}, raw, "is no summary of a run")


def _pending(stored: Any, pending: Mapping[tuple[str, int, str], Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the files that are still to come, in the order of `run.json`, which alone knows which will never come."""
    order: dict[tuple[Any, ...], Any] = {}
    for file in stored if isinstance(stored, list) else []:
        if isinstance(file, dict) and file.get("state") in _PENDING_STATES:
            order[file.get("task"), file.get("attempt"), file.get("file")] = file["state"]
    known = [which for which in order if which in pending] + [which for which in pending if which not in order]
    return [
        {
            "task": task_id,
            "attempt": attempt,
            "file": name,
            "bytes": pending[task_id, attempt, name].get("bytes"),
            "host": pending[task_id, attempt, name].get("host"),
            "spool": pending[task_id, attempt, name].get("spool"),
            "state": order.get((task_id, attempt, name), "pending"),
        }
        for task_id, attempt, name in known
    ]
