"""Reading a ledger back: every line is checked against its hash, its form and the line before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from taskexec.completion.ledger import GENESIS, SIGNED, read_end, unseal
from taskexec.completion.proof.findings import Findings
from taskexec.domain.events import TransitionKind

__all__ = ["Entry", "read_chain"]

Entry = Mapping[str, Any]
"""An entry of the form that the ledger has: fields have the types that the checks rely on."""

_EVENTS = {SIGNED, *map(str, TransitionKind)}
_OF_NO_TASK = {
    SIGNED,
    TransitionKind.SUBMITTED,
    TransitionKind.STARTED,
    TransitionKind.REOPENED,
    TransitionKind.EXPIRED,
    TransitionKind.ENDED,
}


def read_chain(
    path: Path, task_ids: Mapping[str, int], findings: Findings, *, is_settled: bool = True
) -> Iterator[Entry]:
    """Yield the entries of a ledger that can be used, each with its `line`; note what is wrong with them.

    Behind a broken entry the check goes on with what the next one says of itself, so that each fault is told once.

    Args:
        path: The ledger.
        task_ids: The tasks of the plan; entries about others are broken.
        findings: Where faults are noted.
        is_settled: Whether the ledger was written to its end; else its last log entry may be there in part, which
            is no fault, and is left out.
    """
    previous: str | None = GENESIS
    expected = 1
    stop = path.stat().st_size if is_settled else read_end(path).size_bytes
    if stop < path.stat().st_size:
        findings.warnings.append("the last log entry was only partly written home (`tek collect` completes it)")
    with path.open("rb") as file:
        for number, line in enumerate(_lines(file, stop), 1):
            findings.checked["entries"] += 1
            entry, wrong = _entry(line, task_ids)
            if entry is None:
                findings.broken(wrong, entry=number)
                previous, expected = None, expected + 1
                continue
            if not wrong and (entry["seq"] != expected or previous not in {None, entry["prev"]}):
                wrong = "it does not follow the entry before it: something was removed, added or moved"
            if wrong:
                findings.broken(wrong, entry=number)
            previous, expected = entry["hash"], entry["seq"] + 1
            yield {**entry, "line": number}


def _lines(file: BinaryIO, stop: int) -> Iterator[bytes]:
    """Yield the lines of a file up to a position."""
    while stop > 0 and (line := file.readline()):
        stop -= len(line)
        yield line


def _entry(line: bytes, task_ids: Mapping[str, int]) -> tuple[Entry | None, str]:
    """Return an entry and what is wrong with it; None when it cannot be used."""
    text, digest, holds = unseal(line.removesuffix(b"\n"))
    try:
        entry = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None, "it is not JSON"
    if not isinstance(entry, dict) or not _is_well_formed(entry, task_ids):
        return None, "it is not an entry of a ledger of this plan"
    if not holds or not line.endswith(b"\n") or entry["hash"] != digest:
        return entry, "it was changed: its hash does not hold"
    if orjson.dumps({name: value for name, value in entry.items() if name != "hash"}) != text:
        return entry, "it is not in the form that the ledger has"
    return entry, ""


def _is_well_formed(entry: Mapping[str, Any], task_ids: Mapping[str, int]) -> bool:
    if not all(name in entry for name in ("seq", "at", "event", "entry", "prev", "hash")):
        return False
    if entry["event"] not in _EVENTS or ("task" in entry) == (entry["event"] in _OF_NO_TASK):
        return False
    if any(entry[name] not in task_ids for name in ("task", "because_of") if isinstance(entry.get(name), str)):
        return False
    if not _NEEDED.get(entry["event"], set()) <= entry.keys():
        return False
    return all(_SHAPES[name](value) for name, value in entry.items() if name in _SHAPES)


_NEEDED = {
    SIGNED: {"worker", "key", "signature", "covers"},
    TransitionKind.SUBMITTED: {"head", "key", "signature"},
    TransitionKind.SKIPPED: {"because_of"},
}


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_instant(value: Any) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except (TypeError, ValueError):
        return False


def _is_map_of_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value.values()))


def _is_head(value: Any) -> bool:
    if not isinstance(value, dict) or not value.keys() >= _HEAD or not _is_instant(value["submitted_at"]):
        return False
    texts = ("run", "plan", "plan_sha256", "canvas_sha256", "root")
    return all(_is_text(value[name]) for name in texts) and isinstance(value["dry_run"], bool)


def _is_origin(value: Any) -> bool:
    if not isinstance(value, dict) or not all(_is_text(value.get(name)) for name in ("run", "record")):
        return False
    outcome = value.get("outcome", {})
    return isinstance(outcome, dict) and _is_map_of_texts(outcome.get("files", {}))


_HEAD = {"run", "plan", "plan_sha256", "canvas_sha256", "root", "tasks", "dry_run", "options", "submitted_at"}

_SHAPES: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("event", "entry", "task", "because_of", "worker", "status", "prev", "hash"), _is_text),
    **dict.fromkeys(("key", "signature", "reason", "result_sha256"), _is_text),
    **dict.fromkeys(("seq", "attempt", "more"), _is_number),
    "at": _is_instant,
    "evidence": _is_map_of_texts,
    "head": _is_head,
    "taken_from": _is_origin,
    "covers": lambda value: isinstance(value, list) and all(map(_is_number, value)),
    "digests": lambda value: isinstance(value, list) and all(map(_is_text, value)),
}
