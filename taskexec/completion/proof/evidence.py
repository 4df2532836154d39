"""Checking the evidence: every file has the digest and size that were signed, none is missing, none is too many."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from taskexec.completion.ledger import LATE_RESULT, SIGNED, account_of
from taskexec.completion.names import RESULT, find_evidence
from taskexec.completion.outline import attempt_folder, is_being_fetched
from taskexec.completion.plain_files import files_below, open_plain
from taskexec.completion.proof.chain import Entry
from taskexec.completion.proof.findings import Findings
from taskexec.domain.events import TransitionKind
from taskexec.domain.states import Reason
from taskexec.plan import evidence_folder

__all__ = ["EvidenceCheck"]

_WITH_RECORD = {TransitionKind.SUCCEEDED, TransitionKind.FAILED, TransitionKind.TRIED, TransitionKind.LOST}
_ATTEMPT = re.compile(r"attempt-(0|[1-9][0-9]*)")
_AT_WORK = re.compile(r"\.attempt-([1-9][0-9]*)\.partial")
_PUT_ASIDE = "ledger.damaged.jsonl"
_NOTHING: frozenset[str] = frozenset()
_STREAMS = frozenset({"stdout.log", "stderr.log"})
_RECORDS = frozenset({RESULT, LATE_RESULT})
_PLAIN = _STREAMS | _RECORDS
"""Names that are files of that name."""
_AT_ONCE_BYTES = 1 << 20
_OURS = {"ledger.jsonl", "run.json", "plan.json", "canvas.json", "tasks"}
_OURS |= {".home.json", ".told.json", "live.json", "journal.json"}
"""What a run's folder holds beside evidence; the last four are for whoever brings it home, and prove nothing."""


class EvidenceCheck:
    """Takes the entries in order, and looks at the files of each when it comes to it; then at what is left."""

    def __init__(self, folder: Path, plan: Mapping[str, Any], findings: Findings) -> None:
        self._folder = folder
        self._plan = plan
        self._findings = findings
        self._index_of = {task["id"]: index for index, task in enumerate(plan["tasks"])}
        self._expected: dict[tuple[str, int], frozenset[str]] = {}
        """Task and attempt of each that was started -> names of what it left; equal sets are one."""
        self._sets: dict[frozenset[str], frozenset[str]] = {}
        self._ahead = 0
        self._elsewhere: Counter[str] = Counter()
        """Run -> how many tasks were taken over from it of which no evidence is here."""
        self.pending: dict[tuple[str, int, str], Mapping[str, Any]] = {}
        """Task, attempt and name of files that are not here and may still be with their worker -> their account."""

    def take(self, entry: Entry, run_id: str | None) -> bytes | None:
        """Check the files that an entry speaks of; return the attempt's record, None when it has none that counts."""
        event = entry["event"]
        if "taken_from" in entry:
            self._check_taken({**entry, "attempt": 0})
        if event == SIGNED or "attempt" not in entry:
            return None
        evidence: Mapping[str, str] = entry.get("evidence", {})
        if event == TransitionKind.RUNNING or evidence:
            self._expect(entry, evidence)
        if not evidence:
            return None
        base = attempt_folder(self._folder, entry["task"], entry["attempt"])
        if event == TransitionKind.REFUSED and LATE_RESULT in evidence:
            self._check_file(base / LATE_RESULT, evidence[LATE_RESULT], None, entry)
        if event not in _WITH_RECORD or RESULT not in evidence:
            return None
        self._findings.checked["attempts"] += event != TransitionKind.LOST
        raw = self._check_file(base / RESULT, evidence[RESULT], None, entry)
        return raw if raw is not None and self._check_record(raw, base, entry, run_id) else None

    def _check_taken(self, entry: Entry) -> None:
        """Check the evidence of a task that was taken over from another run, whose ledger has its own proof."""
        base, origin = attempt_folder(self._folder, entry["task"], 0), entry["taken_from"]
        if not os.path.lexists(base):
            self._elsewhere[origin["run"]] += 1
            return
        self._expect(entry, [RESULT])
        raw = self._check_file(base / RESULT, origin["record"], None, entry)
        if raw is None:
            return
        record = _record_of(raw)
        if record is None or not _is_taken(record, account_of(raw), entry):
            self._problem("is not the record of what was taken over", base / RESULT, entry)
            return
        files = record.get("files", {})
        self._expect(entry, files)
        for name, account in files.items():  # also those that were with a worker then: only what is whole is taken over
            self._check_file(find_evidence(base, name) or base / name, account["sha256"], account["bytes"], entry)

    def _expect(self, entry: Entry, names: Iterable[str]) -> None:
        which = entry["task"], entry["attempt"]
        known = self._expected.get(which, _NOTHING).union(names)
        self._expected[which] = self._sets.setdefault(known, known)

    def _check_record(self, raw: bytes, base: Path, entry: Entry, run_id: str | None) -> bool:
        """Compare a record that has its digest with its entry, and the files with it; return whether it is one."""
        record = _record_of(raw)
        if record is None:
            self._problem("is not the record of an attempt", base / RESULT, entry)
            return False
        for what in _disagreements(record, account_of(raw), entry, (run_id, self._index_of[entry["task"]])):
            self._problem(f"does not agree with its entry: {what}", base / RESULT, entry)
        files = record.get("files", {})
        for name, digest in entry["evidence"].items():
            if name == RESULT:
                continue
            account = files.get(name, {})
            path = base / name if name in _STREAMS else find_evidence(base, name)
            if path is None and "spool" in account:
                self.pending[entry["task"], entry["attempt"], name] = {**account, "host": record.get("host", "")}
            else:
                self._check_file(path or base / name, digest, account.get("bytes"), entry)
        return True

    def _check_file(self, path: Path, digest: str, size_bytes: Any, entry: Entry) -> bytes | None:
        """Return the beginning (up to a MiB) of a file with this digest, and this size if one is known."""
        checked = self._findings.checked
        try:
            with open_plain(path) as file:
                size = os.fstat(file.fileno()).st_size
                beginning = file.read(_AT_ONCE_BYTES)
                sha256 = hashlib.sha256(beginning)
                while data := file.read(_AT_ONCE_BYTES):
                    sha256.update(data)
        except OSError as error:
            is_missing = isinstance(error, FileNotFoundError | NotADirectoryError)
            self._problem("is missing" if is_missing else f"cannot be read: {error.strerror}", path, entry)
            return None
        checked["files"] += 1
        checked["bytes"] += size
        if sha256.hexdigest() != digest:
            self._problem("was changed: its SHA-256 is another one", path, entry)
            return None
        if size_bytes is not None and size != size_bytes:
            self._problem(f"has {size} bytes, and its record says {size_bytes}", path, entry)
        return beginning

    def _problem(self, what: str, path: Path, entry: Entry | None = None) -> None:
        shown = path.relative_to(self._folder).as_posix()
        self._findings.problem(what, entry=None if entry is None else entry["line"], path=shown)

    def finish(self, unproved: Mapping[str, str], *, is_complete: bool) -> None:
        """Look for files and folders that nobody speaks of.

        Args:
            unproved: What attempts left of which no record speaks: path in the run's folder -> SHA-256.
            is_complete: Whether the run has ended; else attempts may be at work.
        """
        task_of = {evidence_folder(task["id"]): task["id"] for task in self._plan["tasks"]}
        for path in sorted(self._folder.iterdir()):
            if path.name == _PUT_ASIDE:
                self._findings.warnings.append(f"{_PUT_ASIDE} is a ledger that did not hold, and was made anew")
            elif path.name not in _OURS:
                self._problem("nobody speaks of it", path)
        for path in _listed(self._folder / "tasks"):
            if path.name not in task_of or not path.is_dir() or path.is_symlink():
                self._problem("is no folder of a task of this plan", path)
                continue
            for attempt in _listed(path):
                self._check_attempt(task_of[path.name], attempt, unproved, is_complete=is_complete)
        for run_id, count in sorted(self._elsewhere.items()):
            self._findings.is_partial = True
            self._findings.problem(
                f"the evidence of {count} tasks that was taken over from run `{run_id}` is not here: "
                "it is where the run was submitted",
                path="tasks",
            )
        if self._ahead:
            self._findings.warnings.append(
                f"{self._ahead} attempts have evidence here that the ledger does not know yet"
            )

    def _check_attempt(self, task_id: str, path: Path, unproved: Mapping[str, str], *, is_complete: bool) -> None:
        match = _ATTEMPT.fullmatch(path.name) or (None if is_complete else _AT_WORK.fullmatch(path.name))
        number = int(match[1]) if match else -1
        expected = self._expected.get((task_id, number))
        is_folder = path.is_dir() and not path.is_symlink()
        if not is_complete and is_folder and match and RESULT not in (expected or _NOTHING):
            self._ahead += 1  # evidence is written home before the ledger says so
            return
        if expected is None or not is_folder:
            self._problem("is no attempt that the ledger speaks of", path)
            return
        if path.name.startswith(".") or set(os.listdir(path)) == expected <= _PLAIN:
            return
        known = {path / name for name in expected & _RECORDS}
        known |= {file for name in expected - _RECORDS if (file := find_evidence(path, name)) is not None}
        coming = {account["sha256"] for which, account in self.pending.items() if which[:2] == (task_id, number)}
        for file in files_below(path):
            if is_being_fetched(file, path) and file.name.removeprefix(".fetch-") in coming:
                continue
            if file not in known and file.relative_to(self._folder).as_posix() not in unproved:
                self._problem("nobody speaks of it", file)


def _listed(path: Path) -> list[Path]:
    try:
        return sorted(path.iterdir())
    except OSError:
        return []


def _record_of(raw: bytes) -> dict[str, Any] | None:
    """Return a record whose fields have the types that we rely on; None for anything else."""
    try:
        record = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(record, dict) or not isinstance(record.get("files", {}), dict):
        return None
    for file in record.get("files", {}).values():
        if not isinstance(file, dict) or not isinstance(file.get("sha256"), str):
            return None
        if not isinstance(file.get("bytes"), int) or not isinstance(file.get("truncated", 0), int):
            return None
    return record


def _is_taken(record: Mapping[str, Any], told: Mapping[str, Any], entry: Entry) -> bool:
    """Return whether a record is that of a task which another run completed, as the entry says."""
    outcome = entry["taken_from"].get("outcome", {})
    files = {name: digest for name, digest in told["evidence"].items() if name != RESULT}
    if record.get("status") != "succeeded" or record.get("task") != entry["task"]:
        return False
    return (files, told.get("result_sha256")) == (outcome.get("files", {}), outcome.get("result"))


def _disagreements(
    record: Mapping[str, Any], told: Mapping[str, Any], entry: Entry, which: tuple[str | None, int]
) -> Iterator[str]:
    """Yield in what a record and its entry differ; `which` is the run and the index of the entry's task."""
    run_id, index = which
    for name, value in told.items():
        if entry.get(name) != value:
            yield f"`{name}`"
    status = "succeeded" if entry["event"] == TransitionKind.SUCCEEDED else "failed"
    if record.get("status") != status:
        yield f"its status is `{record.get('status')}`"
    if "run" not in record and record.get("reason") in {Reason.LOST_WORKER, Reason.INFRASTRUCTURE}:
        return  # nobody was left to say more
    if record.get("run") != run_id:
        yield f"it is of run `{record.get('run')}`"
    if record.get("attempt") != entry["attempt"]:
        yield f"it is of attempt {record.get('attempt')}"
    # a worker that believes nothing of a task's instructions does not know its id
    is_refused = record.get("reason") == Reason.REFUSED and "task" not in record and record.get("index") == index
    if record.get("task") != entry["task"] and not is_refused:
        yield f"it is of task `{record.get('task')}`"
