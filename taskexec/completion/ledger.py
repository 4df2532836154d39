"""The ledger of a run: every transition in one order, each entry sealed by a hash that covers the one before it.

An entry's `hash` is the SHA-256 of its own JSON without that field, which holds `prev`, the hash before it, and the
digests of the evidence it speaks of. The same log gives the same ledger on every machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from taskexec.domain.clock import iso_time
from taskexec.domain.events import LogEntry, Transition, TransitionKind, parse_entry

__all__ = ["GENESIS", "Ledger", "check_chain", "split_record"]

GENESIS = "0" * 64
"""The hash before the first entry."""


def split_record(detail: str) -> tuple[bytes, dict[str, Any]]:
    """Return the two parts of a log line's detail: the record's exact bytes, and the inline evidence."""
    record, _, inline = detail.partition("\t")
    return record.encode(), orjson.loads(inline) if inline else {}


class Ledger:
    """Seals entries in order."""

    def __init__(self, task_ids: Sequence[str]) -> None:
        """Begin an empty ledger of a run with these tasks, by index."""
        self._task_ids = task_ids
        self._sequence = 0
        self.head = GENESIS
        """Hash of the last entry."""

    def seal(self, entry: LogEntry) -> Iterator[tuple[bytes, Transition]]:
        """Yield one JSON line (without line break) and the transition for each line of a log entry."""
        at = iso_time(entry.at_us / 1e6)
        for transition in parse_entry(entry):
            self._sequence += 1
            content = self._content(transition, at)
            text = orjson.dumps(content)
            self.head = hashlib.sha256(text).hexdigest()
            yield text[:-1] + b',"hash":"' + self.head.encode() + b'"}', transition

    def _content(self, transition: Transition, at: str) -> dict[str, Any]:
        content: dict[str, Any] = {"seq": self._sequence, "at": at, "event": transition.kind}
        if transition.index >= 0:
            content["task"] = self._task_ids[transition.index]
        if transition.attempt:
            content["attempt"] = transition.attempt
        if transition.worker:
            content["worker"] = transition.worker
        if transition.kind is TransitionKind.SKIPPED:
            content["because_of"] = self._task_ids[int(transition.detail)]
        elif transition.kind is TransitionKind.ENDED:
            content["status"] = transition.detail
        elif transition.detail:
            content |= _account(transition.detail)
        content["prev"] = self.head
        return content


_KEPT = ("reason", "error", "exit_status", "signal", "started_at", "finished_at")


def _account(detail: str) -> dict[str, Any]:
    """Return what the ledger says of an attempt: why, when, and the digests of its evidence."""
    raw, _ = split_record(detail)
    record = orjson.loads(raw)
    kept = {name: record[name] for name in _KEPT if record.get(name) is not None}
    evidence = {name: file["sha256"] for name, file in record.get("files", {}).items()}
    evidence["result.json"] = hashlib.sha256(raw).hexdigest()
    return kept | {"evidence": evidence}


def check_chain(lines: Iterator[bytes]) -> str | None:
    """Return what is wrong with a ledger's chain, in words; None when every seal holds."""
    previous = GENESIS
    for number, line in enumerate(lines, 1):
        body, _, seal = line.rstrip(b"\n").rpartition(b',"hash":"')
        text = body + b"}"
        digest = hashlib.sha256(text).hexdigest()
        if seal != digest.encode() + b'"}':
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
