"""The folder of a run at home: plan, canvas, ledger, the evidence of every attempt, and the summary.

It is taken up where an earlier time left it, however that ended: what is sealed stays, what comes again is skipped or
written again with the same content. First the evidence is written, then what is to be remembered, last the ledger.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from taskexec.completion.account import RunAccount
from taskexec.completion.attempt_folders import ENDS_ATTEMPT, AttemptFolders, HomeState, PendingFile
from taskexec.completion.former import FormerLedger
from taskexec.completion.ledger import Ledger
from taskexec.completion.outline import read_outline, unproved_files
from taskexec.completion.summary import home_summary, run_summary
from taskexec.domain.events import LogEntry, Transition, TransitionKind
from taskexec.domain.program import RunHead
from taskexec.errors import EvidenceForeign, EvidenceUnwritable
from taskexec.plan import evidence_folder

__all__ = ["RunFolder", "locked_folder", "write_atomically"]

_STATE = ".home.json"


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that readers see the old content or the new, never a part."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(data)
    temporary.replace(path)


class RunFolder:
    """Writes one run's folder as its log comes in; one at a time, which a lock on the ledger sees to."""

    def __init__(self, path: Path, plan_json: bytes, canvas_json: bytes) -> None:
        """Create the folder, or take it up, and write what is known at submission.

        Raises:
            EvidenceForeign: Another plan or canvas lies there, or this is no plan; nothing was written.
            EvidenceUnwritable: Somebody else is bringing this run home.
            OSError: It cannot be written.
        """
        self.path = path
        self.plan, self._task_ids = _read_plan(plan_json, path)
        documents = {path / "plan.json": plan_json, path / "canvas.json": canvas_json}
        missing = [file for file, data in documents.items() if not _is_there(file, data)]
        path.mkdir(parents=True, exist_ok=True)
        (path / "tasks").mkdir(exist_ok=True)
        self._ledger_file = _open_alone(path / "ledger.jsonl")
        for left in path.glob(".*.tmp"):
            left.unlink(missing_ok=True)
        for file in missing:
            write_atomically(file, documents[file])
        former = FormerLedger(path / "ledger.jsonl", self._task_ids)
        paths = [path / "tasks" / evidence_folder(task_id) for task_id in self._task_ids]
        self._attempts = AttemptFolders(paths, self._former_state() if former.end.sequence else HomeState())
        self._saved = self._attempts.state.encode()
        os.ftruncate(self._ledger_file, former.end.size_bytes)
        self._size_bytes = former.end.size_bytes
        self._ledger = Ledger(self._task_ids, after=former.end)
        self._lines: list[bytes] = []
        self.account = RunAccount(self._task_ids)
        self.former: Iterable[Transition] = former
        """What the ledger held when the folder was taken up, in its order; records without their commands."""
        self._is_damaged = former.is_damaged
        self._take_account()
        self.life = former.life
        """The stream's id of the first entry of the server's log that was sealed; None when there is none."""
        self.log_to = former.end.entry
        """The stream's id of the last log entry that was sealed, `0` for none."""

    def _former_state(self) -> HomeState:
        try:
            return HomeState.decode((self.path / _STATE).read_bytes())
        except (OSError, ValueError):
            return HomeState()  # chunks are read again from the first one, which changes nothing

    def _take_account(self) -> None:
        """Fold what the ledger holds; the rest of an account stands in the record of the last attempt."""
        latest: dict[int, Transition] = {}
        for transition in self.former:
            self.account.take(transition)
            self._attempts.note(transition)
            if transition.kind in ENDS_ATTEMPT:
                latest[transition.index] = transition
        for index, transition in latest.items():
            with contextlib.suppress(OSError):
                record = self._attempts.final(index, transition.attempt) / "result.json"
                self.account.take_record(index, record.read_bytes())

    def begin_life(self) -> None:
        """Go on with a log that the server has begun anew: the ledger stays, log and chunks begin with their first.

        What was written ahead of the ledger goes: its attempts are numbered again. In one life it stays, since the
        same log tells of it again. Behind a ledger that was damaged all of it stays: that one may have known of it.

        Raises:
            OSError: It cannot be removed.
        """
        if not self._is_damaged:
            self._attempts.begin_life([task.attempts for task in self.account.tasks])
        self.life, self.log_to = None, "0"
        self._attempts.state.output_to = "0"

    @property
    def output_to(self) -> str:
        """Id of the last chunk of evidence that was written."""
        return self._attempts.state.output_to

    @property
    def pending(self) -> list[PendingFile]:
        """Files of evidence that are still with the workers, in the order in which their attempts ended."""
        return list(self._attempts.state.pending.values())

    def take_output(self, fields: Mapping[str, bytes], id_: str | None = None) -> None:
        """Write one chunk of evidence to where its attempt is put together; `id_` is its place in the stream."""
        self._attempts.take_output(fields)
        if id_ is not None:
            self._attempts.state.output_to = id_

    def take(self, entry: LogEntry) -> None:
        """Seal a log entry into the ledger and write the evidence of the attempts that it ends.

        An entry that is sealed already changes nothing.
        """
        if _order(entry.id) <= _order(self.log_to):
            return
        for line, transition in self._ledger.seal(entry):
            self._lines.append(line)
            if transition is None:  # a worker's signature
                continue
            self.account.take(transition)
            if transition.kind in ENDS_ATTEMPT and transition.detail:
                self._attempts.finish(transition)
            elif transition.kind is TransitionKind.REFUSED and transition.detail:
                self._attempts.keep_late(transition)
        self.log_to = entry.id
        self.life = self.life or entry.id

    def fetching(self, file: PendingFile) -> Path:
        """Return where a pending file is put together."""
        return self._attempts.fetching(file)

    def settle(self, file: PendingFile) -> None:
        """Put a pending file that was fetched into its place."""
        self._attempts.settle(file)

    def give_up(self, file: PendingFile) -> None:
        """Note that a pending file will never come."""
        self._attempts.give_up(file)

    def flush(self) -> None:
        """Write what is to be remembered, then the ledger."""
        state = self._attempts.state.encode()
        if state != self._saved:
            write_atomically(self.path / _STATE, state)
            self._saved = state
        view = memoryview(b"".join(line + b"\n" for line in self._lines))
        while view:
            written = os.pwrite(self._ledger_file, view, self._size_bytes)
            view, self._size_bytes = view[written:], self._size_bytes + written
        self._lines.clear()

    def write_summary(self, head: RunHead) -> dict[str, Any]:
        """Write `run.json` for a run that stands where `head` says; return its content."""
        if head.finished_at is not None:
            self._attempts.close_open()
        self.flush()
        outline = read_outline(self.path / "ledger.jsonl")
        unproved = unproved_files(self.path, outline.unproved)
        summary = run_summary(outline.settle(head), self.plan, self.account, ledger_head=self._ledger.head)
        summary |= home_summary(outline, unproved, [self._pending_json(file) for file in self.pending])
        write_atomically(self.path / "run.json", orjson.dumps(summary, option=orjson.OPT_INDENT_2))
        return summary

    def _pending_json(self, file: PendingFile) -> dict[str, Any]:
        return {
            "task": self._task_ids[file.index],
            "attempt": file.attempt,
            "file": file.name,
            "bytes": file.size_bytes,
            "host": file.host,
            "spool": file.spool,
            "state": "gone" if file.is_gone else "pending",
        }

    def close(self) -> None:
        """Close the ledger, and with that give up the lock."""
        if self._ledger_file >= 0:
            os.close(self._ledger_file)
            self._ledger_file = -1


@contextlib.contextmanager
def locked_folder(path: Path) -> Iterator[None]:
    """Keep everybody else from writing a run's folder for a while.

    Raises:
        EvidenceUnwritable: Somebody else is bringing the run home.
    """
    ledger = path / "ledger.jsonl"
    descriptor = _open_alone(ledger) if ledger.is_file() else None
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _read_plan(plan_json: bytes, path: Path) -> tuple[dict[str, Any], list[str]]:
    """Return a plan as it came from a server, and the ids of its tasks.

    Raises:
        EvidenceForeign: It is none.
    """
    with contextlib.suppress(orjson.JSONDecodeError, KeyError, TypeError):
        plan = orjson.loads(plan_json)
        task_ids = [task["id"] for task in plan["tasks"]]
        if all(isinstance(task_id, str) for task_id in task_ids) and len(set(task_ids)) == len(task_ids):
            return plan, task_ids
    raise EvidenceForeign(
        f"what the server holds as the plan of run `{path.name}` is none; nothing was written to {path}",
        hint="somebody has changed the run on the server",
    )


def _is_there(path: Path, data: bytes) -> bool:
    """Return whether a document of a run lies in its folder already.

    Raises:
        EvidenceForeign: Another one does.
    """
    try:
        there = path.read_bytes()
    except FileNotFoundError:
        return False
    if there != data:
        raise EvidenceForeign(
            f"the server holds another plan under the id of run `{path.parent.name}`: its {path.name} is not the one "
            f"in {path.parent}, and nothing was written",
            hint="`tek verify` says whether the folder is whole; with --runs-dir another folder can be given",
        )
    return True


def _open_alone(path: Path) -> int:
    """Open a ledger that nobody else writes; the lock ends with its process, however that ends."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise EvidenceUnwritable(
            f"another command is bringing this run home to {path.parent}",
            hint="let it finish, or give another folder with --runs-dir",
        ) from None
    return descriptor


def _order(entry_id: str) -> tuple[int, int]:
    """Return an id of the stream as what it is ordered by."""
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number or 0)
