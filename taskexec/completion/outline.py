"""What a ledger says of its run as a whole: when it was submitted, begun and ended, and what nobody has signed.

`run.json` takes these from the ledger and not from the server, so that it can be made again, byte for byte, from the
folder alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from taskexec.completion.ledger import LATE_RESULT
from taskexec.completion.names import RESULT, find_evidence
from taskexec.completion.plain_files import files_below, sha256_of
from taskexec.completion.replay import ReplayAccount
from taskexec.domain.events import TransitionKind
from taskexec.domain.program import RunHead
from taskexec.domain.states import FINAL_RUN_STATUSES, RunStatus
from taskexec.plan import evidence_folder

__all__ = ["RunOutline", "attempt_folder", "is_being_fetched", "read_outline", "recorded_files", "unproved_files"]

_RECORDS = {RESULT, LATE_RESULT}
_WITH_SIGNED_RECORD = {TransitionKind.SUCCEEDED, TransitionKind.FAILED, TransitionKind.TRIED}


class RunOutline:
    """Folds the entries of a ledger."""

    def __init__(self) -> None:
        self.head: Mapping[str, Any] = {}
        """What the submitter signed, of the run's first life; empty when the ledger does not say."""
        self.started_at: str | None = None
        self.ended_at: str | None = None
        """None while it goes on (again)."""
        self.status: str | None = None
        """How it ended; None while it goes on."""
        self.unproved: set[tuple[str, int]] = set()
        """Task and attempt of those that were started and left no record of which a worker has signed the digests of
        all files: at work, lost, cancelled, or heard of again when it was too late."""
        self.replay = ReplayAccount()
        self._lost: set[tuple[str, int]] = set()

    def take(self, entry: Mapping[str, Any]) -> None:
        """Take in the next entry."""
        event = entry["event"]
        if event == TransitionKind.SUBMITTED:
            self.head = self.head or entry.get("head", {})
            self.ended_at = self.status = None
        elif event == TransitionKind.STARTED:
            self.started_at = self.started_at or entry["at"]
        elif event == TransitionKind.ENDED:
            self.ended_at, self.status = entry["at"], entry.get("status")
        elif event == TransitionKind.REOPENED:
            self.ended_at = self.status = None
        elif "task" in entry and "attempt" in entry:
            self._take_attempt(event, (entry["task"], entry["attempt"]))
        self.replay.take(entry)

    def _take_attempt(self, event: str, which: tuple[str, int]) -> None:
        if event == TransitionKind.RUNNING or event == TransitionKind.REFUSED:
            self.unproved.add(which)
        elif event == TransitionKind.LOST:
            self._lost.add(which)
        elif event in _WITH_SIGNED_RECORD and which not in self._lost:
            self.unproved.discard(which)

    def settle(self, head: RunHead) -> RunHead:
        """Return where a run stands with what the ledger knows better than the server; unchanged without a head."""
        if not self.head:
            return head
        status = self.status or (RunStatus.RUNNING if head.status in FINAL_RUN_STATUSES else head.status)
        return replace(
            head,
            run_id=self.head["run"],
            digest=self.head["plan"],
            dry_run=self.head["dry_run"],
            status=status,
            submitted_at=_seconds(self.head["submitted_at"]),
            started_at=None if self.started_at is None else _seconds(self.started_at),
            finished_at=None if self.ended_at is None else _seconds(self.ended_at),
        )


def _seconds(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()


def read_outline(ledger: Path) -> RunOutline:
    """Return the outline of a ledger that is whole.

    Raises:
        OSError, ValueError: It cannot be read.
    """
    outline = RunOutline()
    with ledger.open("rb") as file:
        for line in file:
            outline.take(orjson.loads(line))
    return outline


def attempt_folder(folder: Path, task_id: str, attempt: int) -> Path:
    """Return the folder of an attempt's evidence in a run's folder; where its `plan.json` says it is counts nothing."""
    return folder / "tasks" / evidence_folder(task_id) / f"attempt-{attempt}"


def unproved_files(folder: Path, attempts: Iterable[tuple[str, int]]) -> dict[str, str]:
    """Return what attempts left that no signed record speaks of: path in the run's folder -> SHA-256."""
    found = {}
    for task_id, attempt in sorted(attempts):
        base = attempt_folder(folder, task_id, attempt)
        known = {base / name for name in _RECORDS} | recorded_files(base)
        for path in files_below(base):
            if path not in known and not is_being_fetched(path, base):
                found[path.relative_to(folder).as_posix()] = sha256_of(path)
    return found


def is_being_fetched(path: Path, base: Path) -> bool:
    """Return whether a file in an attempt's folder is the beginning of one that is still with its worker."""
    return path.parent == base and path.name.startswith(".fetch-")


def recorded_files(base: Path) -> set[Path]:
    """Return the files in an attempt's folder of which its record speaks."""
    try:
        names = orjson.loads((base / RESULT).read_bytes()).get("files", {})
    except (OSError, ValueError, AttributeError):
        return set()
    return {path for name in names if (path := find_evidence(base, name)) is not None}
