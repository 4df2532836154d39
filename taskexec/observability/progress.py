"""Where a run stands, folded from its log: a pure view that progress displays, `status` and `watch` share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from taskexec.domain.events import LogEntry, Transition, TransitionKind, parse_entry
from taskexec.domain.states import FINAL_TASK_STATUSES, RunStatus, TaskStatus

__all__ = ["RunView"]

_STATUS = {
    TransitionKind.QUEUED: TaskStatus.QUEUED,
    TransitionKind.RUNNING: TaskStatus.RUNNING,
    TransitionKind.SUCCEEDED: TaskStatus.SUCCEEDED,
    TransitionKind.FAILED: TaskStatus.FAILED,
    TransitionKind.SKIPPED: TaskStatus.SKIPPED,
    TransitionKind.CANCELLED: TaskStatus.CANCELLED,
    TransitionKind.SATISFIED: TaskStatus.SATISFIED,
    TransitionKind.DELAYED: TaskStatus.READY,
    TransitionKind.RETRIED: TaskStatus.WAITING,
}


class RunView:
    """Statuses of all tasks of a run after the entries seen so far."""

    def __init__(self, tasks: int) -> None:
        """Begin with a run of so many tasks, all waiting."""
        self.statuses = [TaskStatus.WAITING] * tasks
        self.counts: Counter[TaskStatus] = Counter({TaskStatus.WAITING: tasks})
        self.running: dict[int, int] = {}
        """Index of each running task -> server time (µs) it was claimed."""
        self.failed: list[int] = []
        """Indexes of failed tasks, in the order of their failures."""
        self.status = RunStatus.PENDING
        self.started_us: int | None = None
        self.ended_us: int | None = None
        self.last_us = 0
        """Server time of the last entry, microseconds."""

    @property
    def is_final(self) -> bool:
        """Whether the run has ended."""
        return self.ended_us is not None

    @property
    def done(self) -> int:
        """How many tasks are in a final status."""
        return sum(self.counts[status] for status in FINAL_TASK_STATUSES)

    def apply(self, entries: Iterable[LogEntry]) -> None:
        """Take in further entries, oldest first."""
        for entry in entries:
            self.last_us = entry.at_us
            for transition in parse_entry(entry):
                self.take(transition)

    def take(self, transition: Transition) -> None:
        """Take in the next transition."""
        status = _STATUS.get(transition.kind)
        if status is not None:
            self._move(transition.index, status, transition.at_us)
        elif transition.kind is TransitionKind.STARTED:
            self.status, self.started_us = RunStatus.RUNNING, transition.at_us
        elif transition.kind is TransitionKind.REOPENED:
            self.status, self.ended_us = RunStatus.RUNNING, None
        elif transition.kind is TransitionKind.SUBMITTED:
            self._begin_life(transition.at_us)
        elif transition.kind is TransitionKind.ENDED:
            self.status, self.ended_us = RunStatus(transition.detail), transition.at_us

    def _begin_life(self, at_us: int) -> None:
        """Have what had not ended wait again: a further life of the run begins."""
        self.status, self.ended_us = RunStatus.PENDING, None
        for index, status in enumerate(self.statuses):
            if status not in FINAL_TASK_STATUSES and status is not TaskStatus.WAITING:
                self._move(index, TaskStatus.WAITING, at_us)

    def _move(self, index: int, status: TaskStatus, at_us: int) -> None:
        before = self.statuses[index]
        self.counts[before] -= 1
        self.counts[status] += 1
        self.statuses[index] = status
        if before is TaskStatus.FAILED:
            self.failed.remove(index)
        elif before is TaskStatus.RUNNING:
            del self.running[index]
        if status is TaskStatus.RUNNING:
            self.running[index] = at_us
        elif status is TaskStatus.FAILED:
            self.failed.append(index)

    def rate(self, now_us: int | None = None) -> float:
        """Return tasks finished a second since the start; 0 before anything happened.

        Args:
            now_us: Server time in microseconds, up to which it is counted while the run goes on; None is the time of
                the last entry, for who looks at a run that nobody follows.
        """
        until_us = self.last_us if now_us is None or self.is_final else max(self.last_us, now_us)
        if self.started_us is None or until_us <= self.started_us:
            return 0.0
        finished = self.counts[TaskStatus.SUCCEEDED] + self.counts[TaskStatus.FAILED]
        return finished / ((until_us - self.started_us) / 1e6)

    def left_s(self, now_us: int | None = None) -> float | None:
        """Return the seconds left at the rate up to now (as `rate`); None while nothing is known."""
        rate = self.rate(now_us)
        return (len(self.statuses) - self.done) / rate if rate > 0 else None

    def tally(self) -> dict[str, int]:
        """Return the counts of all statuses that occur, by name."""
        return {str(status): self.counts[status] for status in TaskStatus if self.counts[status]}
