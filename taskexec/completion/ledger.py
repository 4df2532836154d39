"""The ledger of a run: every transition in one order, each entry sealed by a hash that covers the one before it.

An entry's `hash` is the SHA-256 of its own JSON without that field, which holds `prev`, the hash before it, and the
digests of the evidence it speaks of. The same log gives the same ledger on every machine.
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from taskexec.domain.clock import iso_time
from taskexec.domain.events import LogEntry, Transition, TransitionKind, parse_entry
from taskexec.domain.proof import Seal, value_digest

__all__ = [
    "GENESIS",
    "LATE_RESULT",
    "SEALED_KINDS",
    "SIGNED",
    "Ledger",
    "LedgerEnd",
    "account_of",
    "check_chain",
    "read_end",
    "split_record",
    "unseal",
]

GENESIS = "0" * 64
"""The hash before the first entry."""
SIGNED = "signed"
"""The event of an entry that holds a worker's signature of the completions before it."""
LATE_RESULT = "late_result.json"
"""Name under which the digest of a refused record stands; the record itself is not kept."""

SEALED_KINDS = frozenset(
    {TransitionKind.SUCCEEDED, TransitionKind.FAILED, TransitionKind.TRIED, TransitionKind.REFUSED}
)
"""Transitions whose record a worker has signed, when their log entry has a seal."""


def split_record(detail: str) -> tuple[bytes, dict[str, Any]]:
    """Return the two parts of a log line's detail: the record's exact bytes, and the inline evidence."""
    record, _, inline = detail.partition("\t")
    return record.encode(), orjson.loads(inline) if inline else {}


@dataclass(frozen=True, slots=True)
class LedgerEnd:
    """Where a ledger file can be taken up again: behind its last log entry that was written whole."""

    head: str = GENESIS
    """Hash of the last entry."""
    sequence: int = 0
    """Its number."""
    entry: str = "0"
    """The stream's id of its log entry; what comes after it is still to be written."""
    size_bytes: int = 0
    """Length of the file up to there; what is behind was only partly written and is to be cut off."""


class Ledger:
    """Seals entries in order."""

    def __init__(self, task_ids: Sequence[str], *, after: LedgerEnd | None = None) -> None:
        """Begin the ledger of a run with these tasks, by index, or go on behind `after` (see `read_end`)."""
        self._task_ids = task_ids
        self._sequence = after.sequence if after else 0
        self.head = after.head if after else GENESIS
        """Hash of the last entry."""

    def seal(self, entry: LogEntry) -> Iterator[tuple[bytes, Transition | None]]:
        """Yield one JSON line (without line break) and the transition for each line of a log entry.

        Behind the transitions that a worker has signed comes a line with the signature, and no transition.
        """
        at = iso_time(entry.at_us / 1e6)
        transitions = list(parse_entry(entry))
        more = len(transitions) - (entry.seal is None)
        covers = []
        for transition in transitions:
            if transition.kind in SEALED_KINDS and transition.detail:
                covers.append(self._sequence + 1)
            content: dict[str, Any] = {"at": at, "event": transition.kind, "entry": entry.id}
            content |= {"more": more} if more else {}
            yield self._close(content | self._content(transition)), transition
            more -= 1
        if entry.seal is not None:
            content = {"at": at, "event": SIGNED, "entry": entry.id}
            yield self._close(content | _signature(entry.worker, entry.seal, covers)), None

    def _close(self, content: Mapping[str, Any]) -> bytes:
        """Return an entry as its line: numbered, linked to the one before, and with its hash."""
        self._sequence += 1
        text = orjson.dumps({"seq": self._sequence, **content, "prev": self.head})
        self.head = hashlib.sha256(text).hexdigest()
        return text[:-1] + b',"hash":"' + self.head.encode() + b'"}'

    def _content(self, transition: Transition) -> dict[str, Any]:
        content: dict[str, Any] = {}
        if transition.index >= 0:
            content["task"] = self._task_ids[transition.index]
        if transition.attempt:
            content["attempt"] = transition.attempt
        if transition.worker:
            content["worker"] = transition.worker
        if transition.kind is TransitionKind.SKIPPED:
            content["because_of"] = self._task_ids[int(transition.detail)]
        elif transition.detail:
            content |= _FIELDS.get(transition.kind, _account)(transition.detail)
        return content


def _signature(worker: str, seal: Seal, covers: Sequence[int]) -> dict[str, Any]:
    content = {"worker": worker, "key": seal.key, "signature": seal.signature, "covers": list(covers)}
    return content | ({"digests": list(seal.digests)} if seal.digests else {})


_KEPT = ("reason", "error", "exit_status", "signal", "started_at", "finished_at")


def _account(detail: str) -> dict[str, Any]:
    return account_of(split_record(detail)[0])


def account_of(raw: bytes) -> dict[str, Any]:
    """Return what the ledger says of an attempt with this record: why, when, and the digests of what it left."""
    record = orjson.loads(raw)
    kept = {name: record[name] for name in _KEPT if record.get(name) is not None}
    if "result" in record:
        kept["result_sha256"] = value_digest(record["result"])
    evidence = {name: file["sha256"] for name, file in record.get("files", {}).items()}
    evidence["result.json"] = hashlib.sha256(raw).hexdigest()
    return kept | {"evidence": evidence}


def _late(detail: str) -> dict[str, Any]:
    return {"evidence": {LATE_RESULT: hashlib.sha256(split_record(detail)[0]).hexdigest()}}


def _head(detail: str) -> dict[str, Any]:
    head, key, signature = [*detail.split("\t"), "", ""][:3]
    return {"head": orjson.loads(head), "key": key, "signature": signature}


_FIELDS: Mapping[TransitionKind, Callable[[str], dict[str, Any]]] = {
    TransitionKind.SUBMITTED: _head,
    TransitionKind.REFUSED: _late,
    TransitionKind.QUEUED: orjson.loads,
    TransitionKind.ENDED: lambda status: {"status": status},
    TransitionKind.REOPENED: lambda by: {"by": orjson.loads(by)},
    TransitionKind.RETRIED: lambda by: {"by": orjson.loads(by)},
    TransitionKind.EXPIRED: lambda why: {"reason": why},
    TransitionKind.DELAYED: lambda due_us: {"due_at": iso_time(int(due_us) / 1e6)},
    TransitionKind.RENEWED: lambda late_us: {"late_s": int(late_us) / 1e6},
    TransitionKind.SATISFIED: lambda origin: {"taken_from": orjson.loads(origin)},
}
"""What an entry says of a transition's detail, where that is not the record of an attempt."""


def read_end(path: Path) -> LedgerEnd:
    """Return where a ledger file can be taken up again; the beginning when nothing whole stands in it.

    A last line without line break, and lines of a last log entry of which some are missing, are not counted.
    """
    with path.open("rb") as file:
        if not path.stat().st_size:
            return LedgerEnd()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            stop = data.rfind(b"\n") + 1
            while stop:
                start = data.rfind(b"\n", 0, stop - 1) + 1
                found = _end_at(data[start:stop], stop)
                if found is not None:
                    return found
                stop = start
    return LedgerEnd()


def _end_at(line: bytes, size_bytes: int) -> LedgerEnd | None:
    """Return the end that a line is; None when more lines of its log entry should follow, or it is no entry."""
    try:
        content = orjson.loads(line)
        if content.get("more"):
            return None
        return LedgerEnd(content["hash"], content["seq"], content["entry"], size_bytes)
    except (orjson.JSONDecodeError, KeyError, AttributeError):
        return None


def unseal(line: bytes) -> tuple[bytes, str, bool]:
    """Return what the hash of an entry covers, that hash, and whether the line (without line break) ends with it."""
    body, _, seal = line.rpartition(b',"hash":"')
    text = body + b"}"
    digest = hashlib.sha256(text).hexdigest()
    return text, digest, seal == digest.encode() + b'"}'


def check_chain(lines: Iterator[bytes]) -> str | None:
    """Return what is wrong with a ledger's chain, in words; None when every seal holds."""
    previous = GENESIS
    for number, line in enumerate(lines, 1):
        text, digest, holds = unseal(line.rstrip(b"\n"))
        if not holds:
            return f"entry {number} was changed"
        if _link(text) != (previous, number):
            return f"entry {number} does not follow the one before it"
        previous = digest
    return None


def _link(text: bytes) -> tuple[Any, Any] | None:
    """Return the hash before an entry and its number; None when it is none of ours, however well sealed."""
    try:
        content = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return (content.get("prev"), content.get("seq")) if isinstance(content, dict) else None
