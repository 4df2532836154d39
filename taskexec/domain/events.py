"""Transitions: what the log of a run says happened, in the one order in which it happened."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from taskexec.domain.proof import Seal

__all__ = ["LogEntry", "Transition", "TransitionKind", "parse_entry"]


class TransitionKind(StrEnum):
    """What happened; the value is the name people and scripts see."""

    SUBMITTED = "submitted"
    STARTED = "run_started"
    REOPENED = "run_reopened"
    RETRIED = "retried"
    DELAYED = "delayed"
    RENEWED = "renewed_after_gap"
    EXPIRED = "time_is_up"
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
    "U": TransitionKind.SUBMITTED,
    "O": TransitionKind.REOPENED,
    "G": TransitionKind.RETRIED,
    "H": TransitionKind.DELAYED,
    "N": TransitionKind.RENEWED,
    "K": TransitionKind.EXPIRED,
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


_OF_THE_RUN = {TransitionKind.SUBMITTED, TransitionKind.STARTED, TransitionKind.REOPENED, TransitionKind.EXPIRED}


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
    seal: Seal | None = None
    """The worker's signature when the call completed attempts: it covers the records of these lines in their order;
    its `digests` are empty unless it covers others as well (completed by an earlier, repeated call)."""


class Transition(NamedTuple):  # of a large run there are very many, and such ones are made fastest
    """One thing that happened to a task or to the run."""

    kind: TransitionKind
    at_us: int
    """Server time, microseconds since the epoch."""
    worker: str
    index: int  # type: ignore[assignment]  # hides a method of tuples that nobody asks of a transition
    """Task index; -1 when the run as a whole is meant."""
    attempt: int
    """Number of the attempt; 0 when none is meant."""
    detail: str
    """JSON record of the attempt (and, behind a tab, its inline evidence); for SKIPPED the index of the failed task,
    for ENDED the run's status, for SUBMITTED head, key and signature (tab-separated), for REOPENED and RETRIED who
    and why as JSON, for DELAYED the server time (µs) it is due, for RENEWED the microseconds since the lease lapsed,
    for QUEUED empty, or JSON: on which workers it was placed, after how long a wait, and what had made room,
    for SATISFIED empty, or JSON that says which attempt of which run was taken over."""


def parse_entry(entry: LogEntry) -> Iterator[Transition]:
    """Yield the transitions of an entry, in order."""
    for line in entry.lines.split("\n"):
        letter, index, attempt, *rest = line.split(" ", 3)
        kind, detail = _LETTERS[letter], rest[0] if rest else ""
        if kind is TransitionKind.ENDED:
            yield Transition(kind, entry.at_us, entry.worker, -1, 0, index)
        elif kind in _OF_THE_RUN:
            yield Transition(kind, entry.at_us, entry.worker, -1, 0, detail)
        elif kind is TransitionKind.SKIPPED:
            yield Transition(kind, entry.at_us, entry.worker, int(index), 0, attempt)
        else:
            yield Transition(kind, entry.at_us, entry.worker, int(index), int(attempt), detail)
