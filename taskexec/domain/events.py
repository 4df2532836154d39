"""Transitions: what the log of a run says happened, in the one order in which it happened."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["LogEntry", "Transition", "TransitionKind", "parse_entry"]


class TransitionKind(StrEnum):
    """What happened; the value is the name people and scripts see."""

    STARTED = "run_started"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TRIED = "attempt_failed"
    LOST = "attempt_lost"
    GIVEN_BACK = "given_back"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    SATISFIED = "satisfied"
    REFUSED = "late_result_refused"
    ENDED = "run_ended"


_LETTERS = {
    "A": TransitionKind.STARTED,
    "Q": TransitionKind.QUEUED,
    "R": TransitionKind.RUNNING,
    "S": TransitionKind.SUCCEEDED,
    "F": TransitionKind.FAILED,
    "T": TransitionKind.TRIED,
    "L": TransitionKind.LOST,
    "B": TransitionKind.GIVEN_BACK,
    "X": TransitionKind.SKIPPED,
    "C": TransitionKind.CANCELLED,
    "P": TransitionKind.SATISFIED,
    "D": TransitionKind.REFUSED,
    "E": TransitionKind.ENDED,
}


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry of a run's stream: all that one script call changed."""

    id: str
    """The stream's id of the entry; later entries have greater ids."""
    at_us: int
    """Server time, microseconds since the epoch."""
    worker: str
    """Worker that made the call; empty for submitters and people."""
    lines: str
    """Log lines, see `lua/prelude.lua`."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One thing that happened to a task or to the run."""

    kind: TransitionKind
    at_us: int
    """Server time, microseconds since the epoch."""
    worker: str
    index: int
    """Task index; -1 when the run as a whole is meant."""
    attempt: int
    """Number of the attempt; 0 when none is meant."""
    detail: str
    """JSON record of the attempt; for SKIPPED the index of the failed task, for ENDED the run's status."""


def parse_entry(entry: LogEntry) -> Iterator[Transition]:
    """Yield the transitions of an entry, in order."""
    for line in entry.lines.split("\n"):
        letter, index, attempt, detail = [*line.split(" ", 3), ""][:4]
        kind = _LETTERS[letter]
        if kind is TransitionKind.ENDED:
            yield Transition(kind, entry.at_us, entry.worker, -1, 0, index)
        elif kind is TransitionKind.STARTED:
            yield Transition(kind, entry.at_us, entry.worker, -1, 0, "")
        elif kind is TransitionKind.SKIPPED:
            yield Transition(kind, entry.at_us, entry.worker, int(index), 0, attempt)
        else:
            yield Transition(kind, entry.at_us, entry.worker, int(index), int(attempt), detail)
