"""What a ledger says of each task of a run, as far as faults could change it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from taskexec.domain.events import TransitionKind

__all__ = ["Course", "Courses"]


@dataclass(slots=True)
class Course:
    """What the ledger says of one task."""

    started: dict[int, tuple[float, str]] = field(default_factory=dict)
    """Attempt -> when it was claimed last, and by whom."""
    lost_at: dict[int, float] = field(default_factory=dict)
    """Attempt -> when it was taken from who held it."""
    accepted: int = 0
    """Completions that ended the task, since it was last told to run again."""
    end: str = ""
    """The event that ended it; empty while none has."""
    reason: str = ""
    """Why it failed."""
    because_of: str = ""
    """The task that made it be skipped."""


class Courses:
    """Folds a ledger."""

    def __init__(self) -> None:
        self.of: dict[str, Course] = defaultdict(Course)
        """By task id."""
        self.status: str | None = None
        """How the run ended; None while it goes on."""
        self.refused = 0
        """Late results that were refused."""

    def take(self, entry: Mapping[str, Any]) -> None:
        """Take in the next entry."""
        event = entry["event"]
        if event == TransitionKind.ENDED:
            self.status = entry.get("status")
        elif "task" in entry:
            self._take_task(event, entry, self.of[entry["task"]])

    def _take_task(self, event: str, entry: Mapping[str, Any], course: Course) -> None:
        attempt = entry.get("attempt", 0)
        if event == TransitionKind.RUNNING:
            course.started[attempt] = (_seconds(entry["at"]), entry.get("worker", ""))
        elif event == TransitionKind.LOST:
            course.lost_at[attempt] = _seconds(entry["at"])
        elif event == TransitionKind.REFUSED:
            self.refused += 1
        elif event == TransitionKind.RETRIED:
            course.accepted, course.end = 0, ""
        elif event in _ENDS:
            course.accepted += event in {TransitionKind.SUCCEEDED, TransitionKind.FAILED}
            course.end, course.reason = event, entry.get("reason", "")
            course.because_of = entry.get("because_of", "")


_ENDS = {
    TransitionKind.SUCCEEDED,
    TransitionKind.FAILED,
    TransitionKind.SKIPPED,
    TransitionKind.CANCELLED,
    TransitionKind.SATISFIED,
}


def _seconds(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()
