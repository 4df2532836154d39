"""What attempts left: from the run's folder at home, else from its server."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import orjson

from taskexec.api.live_run import LiveRun
from taskexec.api.problems import Problem
from taskexec.completion.evidence import decode_inline
from taskexec.completion.ledger import split_record
from taskexec.completion.names import RESULT, find_evidence
from taskexec.completion.outline import attempt_folder
from taskexec.domain.events import TransitionKind
from taskexec.errors import ConnectionLost, NotFound
from taskexec.observability.timeline import AttemptSpan
from taskexec.store.runs import RedisRunStore

__all__ = ["EvidenceReader", "Found", "Recorded", "new_file"]

_MARGIN_MS = 1000
_IN_MEMORY = 256 * 1024
_ENDS = {TransitionKind.SUCCEEDED, TransitionKind.FAILED, TransitionKind.TRIED, TransitionKind.LOST}
_WITH_RECORD = {"succeeded", "failed", "lost"}


class Recorded(NamedTuple):
    """What an attempt's worker wrote down at its end."""

    raw: bytes
    """As `result.json` holds it."""
    record: Mapping[str, Any]
    inline: Mapping[str, Any]
    """Contents that came with it, by name; empty when it was read at home."""


class Found(NamedTuple):
    """A file of evidence."""

    file: BinaryIO
    size: int
    sha256: str


def new_file() -> BinaryIO:
    """Return a new file that is in memory while it is small, and gone when it is closed."""
    return cast("BinaryIO", tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY))  # its reader closes it


class EvidenceReader:
    """Reads the evidence of one task of a run."""

    def __init__(self, run: LiveRun, index: int, folder: Path, store: RedisRunStore) -> None:
        """Read of a task by its position; `folder` is that of the run at home, which need not exist."""
        self._run = run
        self._index = index
        self._folder = folder
        self._store = store
        self.task_id = run.timeline.ids[index]

    def attempt(self, number: int) -> AttemptSpan:
        """Return an attempt.

        Raises:
            NotFound: There was none with this number.
        """
        attempts = self._run.timeline.spans[self._index].attempts
        found = next((one for one in reversed(attempts) if one.number == number), None)
        if found is None:
            known = ", ".join(str(one) for one in dict.fromkeys(attempt.number for attempt in attempts))
            hint = f"there is: {known[:200]}" if known else "none was queued so far"
            raise NotFound(f"task `{self.task_id}` has no attempt {number}", hint=hint)
        return found

    def records(self, attempts: Sequence[AttemptSpan]) -> dict[AttemptSpan, Recorded]:
        """Return what is recorded of attempts that have ended; those that left nothing are missing.

        One that was given back before it started has no record: that of its number is of the one that followed.

        Raises:
            ConnectionLost: The server did not answer.
        """
        ended = {one.number: one for one in attempts if one.outcome in _WITH_RECORD}
        found = {number: recorded for number in ended if (recorded := self._at_home(number)) is not None}
        missing = {number: one for number, one in ended.items() if number not in found}
        if missing and not self._run.is_at_home:
            found |= self._on_server(missing)
        return {ended[number]: recorded for number, recorded in found.items()}

    def _base(self, number: int) -> Path | None:
        """Return the folder of an attempt at home; None when it is not there as one of ours."""
        base = attempt_folder(self._folder, self.task_id, number)
        try:
            is_ours = base.resolve(strict=True) == self._folder.resolve(strict=True) / base.relative_to(self._folder)
        except (OSError, RuntimeError):
            return None
        return base if is_ours else None

    def _at_home(self, number: int) -> Recorded | None:
        base = self._base(number)
        if base is None:
            return None
        try:
            raw = (base / RESULT).read_bytes()
            record = orjson.loads(raw)
        except (OSError, ValueError):
            return None
        return Recorded(raw, record, {}) if isinstance(record, dict) else None

    def _on_server(self, missing: Mapping[int, AttemptSpan]) -> dict[int, Recorded]:
        begun = min(one.finished_us or one.claimed_us or one.queued_us or 0 for one in missing.values())
        found: dict[int, Recorded] = {}
        after = f"{max(begun // 1000 - _MARGIN_MS, 0)}-0"
        for _, transition in self._run.origin.happened(after, self._run.timeline.last_id):
            is_ours = transition.index == self._index and transition.attempt in missing
            if is_ours and transition.kind in _ENDS and transition.detail:
                raw, inline = split_record(transition.detail)
                found[transition.attempt] = Recorded(raw, orjson.loads(raw), inline)
                if len(found) == len(missing):
                    break
        return found

    def open(self, number: int, name: str) -> Found:
        """Return a file of an attempt.

        Raises:
            NotFound: The attempt left no such file, or has not ended.
            Problem: It is still with its worker (409).
            ConnectionLost: The server did not answer.
        """
        attempt = self.attempt(number)
        recorded = self.records([attempt]).get(attempt)
        if recorded is None:
            raise NotFound(
                f"attempt {number} of task `{self.task_id}` has left no record",
                hint="what it has written so far is among its logs",
            )
        if name == RESULT:
            file = new_file()
            file.write(recorded.raw)
            return Found(file, len(recorded.raw), hashlib.sha256(recorded.raw).hexdigest())
        known = (recorded.record.get("files") or {}).get(name)
        if not isinstance(known, dict):
            raise NotFound(f"attempt {number} of task `{self.task_id}` has left no file `{name[:200]}`")
        sha256, size = str(known.get("sha256", "")), int(known.get("bytes", 0))
        found = self._open_at_home(number, name) or self._fetch(attempt, name, recorded, size)
        if found is None:
            raise _elsewhere(self._run.run_id, name, known)
        return Found(*found, sha256)

    def _open_at_home(self, number: int, name: str) -> tuple[BinaryIO, int] | None:
        base = self._base(number)
        path = None if base is None else find_evidence(base, name)
        if base is None or path is None:
            return None
        try:
            if path.parent.resolve(strict=True) != base.resolve() / path.parent.relative_to(base):
                return None  # something led elsewhere
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except (OSError, ValueError):
            return None
        file = os.fdopen(descriptor, "rb")
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            file.close()
            return None
        return file, status.st_size

    def _fetch(self, attempt: AttemptSpan, name: str, recorded: Recorded, size: int) -> tuple[BinaryIO, int] | None:
        """Return a file that lies on the server: inline, or in chunks; None when it does not."""
        file = new_file()
        if name in recorded.inline:
            data = decode_inline(recorded.inline[name])
            file.write(data)
            return file, len(data)
        if self._run.is_at_home or "spool" in (recorded.record["files"][name] or {}):
            file.close()
            return None
        written = self._copy_chunks(file, attempt, name, size)
        if written != size:
            file.close()
            return None
        return file, size

    def _copy_chunks(self, file: BinaryIO, attempt: AttemptSpan, name: str, size: int) -> int:
        after = f"{max((attempt.claimed_us or 0) // 1000 - _MARGIN_MS, 0)}-0"
        ours = str(self._index).encode(), str(attempt.number).encode(), name.encode()
        written = 0
        try:
            while written < size and (chunks := self._store.read_output(self._run.run_id, after)):
                for after, fields in chunks:  # noqa: B007  # the last one is where it goes on
                    if (fields["i"], fields["a"], fields["f"]) == ours and int(fields["o"]) == written:
                        file.write(fields["d"])
                        written += len(fields["d"])
        except ConnectionLost:
            file.close()
            raise
        return written


def _elsewhere(run_id: str, name: str, known: Mapping[str, Any]) -> Problem | NotFound:
    if "spool" in known:
        return Problem(
            409,
            "evidence.pending",
            f"`{name[:200]}` is still with the worker that made it",
            hint=f"`tek collect {run_id}` brings it home",
        )
    return NotFound(f"`{name[:200]}` is not at home, and the server does not hold it any more")
