"""The folder of a run at home: plan, canvas, ledger, the evidence of every attempt, and the summary.

Writing it again from the same log gives the same content, so bringing evidence home may be interrupted and
repeated. An attempt's folder is put together beside its place and renamed into it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import orjson

from taskexec.completion.account import RunAccount
from taskexec.completion.evidence import decode_inline
from taskexec.completion.ledger import Ledger, split_record
from taskexec.completion.summary import run_summary
from taskexec.domain.events import LogEntry, Transition, TransitionKind
from taskexec.domain.program import RunHead
from taskexec.plan import evidence_folder

__all__ = ["RunFolder", "write_atomically"]

_ENDS_ATTEMPT = {TransitionKind.SUCCEEDED, TransitionKind.FAILED, TransitionKind.TRIED, TransitionKind.LOST}
_ALWAYS = ("stdout.log", "stderr.log")
_LONGEST_NAME_BYTES = 255


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that readers see the old content or the new, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(data)
    temporary.replace(path)


class RunFolder:
    """Writes one run's folder as its log comes in."""

    def __init__(self, path: Path, plan_json: bytes, canvas_json: bytes) -> None:
        """Create the folder (or take it over) and write what is known at submission."""
        self.path = path
        self.plan = orjson.loads(plan_json)
        self._tasks: list[dict[str, Any]] = self.plan["tasks"]
        task_ids = [task["id"] for task in self._tasks]
        folders: Mapping[str, str] = self.plan.get("folders", {})
        self._folders: list[Path] = [path / "tasks" / folders.get(task_id, task_id) for task_id in task_ids]
        self.account = RunAccount(task_ids)
        self._ledger = Ledger(task_ids)
        self._lost: set[tuple[int, int]] = set()
        path.mkdir(parents=True, exist_ok=True)
        (path / "tasks").mkdir(exist_ok=True)
        write_atomically(path / "plan.json", plan_json)
        write_atomically(path / "canvas.json", canvas_json)
        self._ledger_file: BinaryIO = (path / "ledger.jsonl").open("wb")

    def take_output(self, fields: Mapping[str, bytes]) -> None:
        """Write one chunk of evidence to where its attempt is put together."""
        index, attempt = int(fields["i"]), int(fields["a"])
        path = _safe_path(self._partial(index, attempt), fields["f"].decode())
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("r+b" if path.exists() else "wb") as file:
            file.seek(int(fields["o"]))
            file.write(fields["d"])

    def take(self, entry: LogEntry) -> None:
        """Seal a log entry into the ledger and write the evidence of the attempts that it ends."""
        for line, transition in self._ledger.seal(entry):
            self._ledger_file.write(line + b"\n")
            self.account.take(transition)
            if transition.kind in _ENDS_ATTEMPT and transition.detail:
                self._finish_attempt(transition)

    def _finish_attempt(self, transition: Transition) -> None:
        record, inline = split_record(transition.detail)
        final = self._folders[transition.index] / f"attempt-{transition.attempt}"
        which = (transition.index, transition.attempt)
        if which in self._lost:  # lost, and with that failed for good: its evidence has been written
            (final / "result.json").write_bytes(record)
            return
        if transition.kind is TransitionKind.LOST:
            self._lost.add(which)
        partial = self._partial(transition.index, transition.attempt)
        has_chunks = not _make_folder(partial)
        for name, value in inline.items():
            path = _safe_path(partial, name)
            if path.parent != partial:
                path.parent.mkdir(parents=True, exist_ok=True)
            _write_file(path, decode_inline(value))
        for name in _ALWAYS:
            if name not in inline and not (has_chunks and (partial / name).exists()):
                _write_file(partial / name, b"")
        _write_file(partial / "result.json", record)
        try:
            partial.rename(final)
        except OSError:  # it is there already, from an earlier time
            shutil.rmtree(final)
            partial.rename(final)

    def _partial(self, index: int, attempt: int) -> Path:
        return self._folders[index] / f".attempt-{attempt}.partial"

    def flush(self) -> None:
        """Hand what has been written to the operating system."""
        self._ledger_file.flush()

    def write_summary(self, head: RunHead) -> dict[str, Any]:
        """Write `run.json` for a run that stands where `head` says; return its content."""
        self.flush()
        summary = run_summary(head, self.plan, self.account, ledger_head=self._ledger.head)
        write_atomically(self.path / "run.json", orjson.dumps(summary, option=orjson.OPT_INDENT_2))
        return summary

    def close(self) -> None:
        """Close the ledger."""
        self._ledger_file.close()


def _make_folder(path: Path) -> bool:
    """Make a folder and, at need, its parent; return False when it is there already."""
    try:
        os.mkdir(path)
    except FileNotFoundError:
        os.mkdir(path.parent)
        os.mkdir(path)
    except FileExistsError:
        return False
    return True


def _write_file(path: Path, data: bytes) -> None:
    """Write a small file; a third of the time of `Path.write_bytes`, which counts at thousands a second."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
    finally:
        os.close(descriptor)


def _safe_path(folder: Path, name: str) -> Path:
    """Return the path of an evidence file below its folder, whatever a worker calls it."""
    parts = [part for part in PurePosixPath(name).parts if part.strip("/") not in {"", "..", "."}]
    return folder.joinpath(*map(_possible_name, parts)) if parts else folder / "unnamed"


def _possible_name(part: str) -> str:
    """Return a part of a path that every file system takes."""
    return evidence_folder(part) if "\0" in part or len(part.encode()) > _LONGEST_NAME_BYTES else part
