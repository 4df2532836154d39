"""Checking that a run obeyed its plan: legal transitions, dependencies first, results from holders of leases only.

A task is `waiting`, `ready` (held until a delay is over), `queued`, `running` or final; between two of these an
attempt may have been given back, tried in vain or lost, which decides what may follow. In a ledger that begins with a
further life of its run, a task is unknown until the ledger speaks of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from taskexec.completion.ledger import SIGNED
from taskexec.completion.proof.chain import Entry
from taskexec.domain.events import TransitionKind
from taskexec.domain.states import FINAL_TASK_STATUSES, TaskStatus, run_outcome

__all__ = ["OrderCheck"]

_GIVEN_BACK, _TRIED, _LOST, _UNKNOWN = "given back", "tried", "lost", "unknown"
_DONE = {TaskStatus.SUCCEEDED, TaskStatus.SATISFIED}
_MAY_HAVE_FAILED = {TaskStatus.FAILED, TaskStatus.SKIPPED, TaskStatus.CANCELLED, _UNKNOWN}
_UNBEGUN = {TaskStatus.WAITING, TaskStatus.READY, TaskStatus.QUEUED, _UNKNOWN}


class _Task:
    """Where the ledger has brought a task."""

    __slots__ = ("attempt", "ended", "started", "status", "worker")

    def __init__(self) -> None:
        self.status: str = TaskStatus.WAITING
        self.attempt = 0
        """The attempt that is held, queued or runs, or that ended last."""
        self.started = 0
        """The last attempt that was started."""
        self.ended = 0
        """The last attempt that has ended; a later one may be queued."""
        self.worker = ""
        """Who holds the lease of the attempt that runs."""

    def runs(self, entry: Entry) -> bool:
        """Return whether an entry's attempt runs, held by its worker."""
        return self.is_running(entry) and self.worker == entry.get("worker", "")

    def is_running(self, entry: Entry) -> bool:
        """Return whether an entry's attempt runs."""
        return self.status == TaskStatus.RUNNING and self.attempt == entry.get("attempt")


class OrderCheck:
    """Takes the entries in order."""

    def __init__(self, tasks: Sequence[Mapping[str, Any]], index_of: Mapping[str, int]) -> None:
        """Check a run of a plan with these tasks (of `plan.json`)."""
        self._index_of = index_of
        self._plan = tasks
        self._dependencies = [
            tuple(index_of[before] for before in task["depends_on"] if isinstance(before, str) and before in index_of)
            for task in tasks
        ]
        self._tasks = [_Task() for _ in tasks]
        self._is_expired = False
        self._is_first = True
        self.has_ended = False
        """Whether the run has ended, and was not taken up again."""

    def take(self, entry: Entry) -> Iterator[str]:
        """Yield what is wrong with the next entry."""
        event = entry["event"]
        if event == SIGNED:
            return
        if "task" not in entry:
            yield from self._take_run(event, entry)
            self._is_first = False
            return
        self._is_first = False
        if self.has_ended and event != TransitionKind.REFUSED:
            yield "it comes after the end of the run"
        task = self._tasks[self._index_of[entry["task"]]]
        before = task.status
        wrong = _RULES[event](self, task, entry)
        if wrong:
            yield wrong if wrong is not _ILLEGAL else f"`{event}` cannot follow: the task was {_told(task, before)}"

    def counts(self) -> Counter[str]:
        """Return how many tasks stand where."""
        return Counter(str(task.status) for task in self._tasks)

    def _take_run(self, event: str, entry: Entry) -> Iterator[str]:
        if event == TransitionKind.ENDED:
            yield from self._take_end(entry)
        elif event == TransitionKind.EXPIRED:
            self._is_expired = True
        elif event in {TransitionKind.SUBMITTED, TransitionKind.REOPENED}:
            self.has_ended = self._is_expired = False
            if event == TransitionKind.SUBMITTED:
                self._begin_life(is_unknown=self._is_first and "continues" in entry["head"])

    def _begin_life(self, *, is_unknown: bool) -> None:
        """Have tasks wait that had not ended: the server that knew of them is gone."""
        for task in self._tasks:
            if is_unknown:
                task.status = _UNKNOWN
            elif task.status not in FINAL_TASK_STATUSES and task.status != _UNKNOWN:
                task.status = TaskStatus.WAITING

    def _take_end(self, entry: Entry) -> Iterator[str]:
        if self.has_ended:
            yield "the run had ended before"
        self.has_ended = True
        counts = self.counts()
        unknown = counts.pop(_UNKNOWN, 0)
        left = sum(count for status, count in counts.items() if status not in FINAL_TASK_STATUSES)
        if left:
            yield f"the run ended while {left} tasks were not done"
        outcome = run_outcome(
            failed=counts[TaskStatus.FAILED], cancelled=counts[TaskStatus.CANCELLED], is_expired=self._is_expired
        )
        if entry.get("status") != outcome and not unknown:
            yield f"it says that the run is `{entry.get('status')}`, but its tasks make it `{outcome}`"

    def statuses_before(self, entry: Entry) -> Iterator[str]:
        """Yield the statuses of what a task depends on."""
        return (self._tasks[index].status for index in self._dependencies[self._index_of[entry["task"]]])

    def is_done_before(self, entry: Entry) -> bool:
        """Return whether the plan says that a task was done before the run."""
        return bool(self._plan[self._index_of[entry["task"]]].get("satisfied"))


_ILLEGAL = "illegal"

_Rule = Callable[[OrderCheck, _Task, Entry], str]
"""Takes a task over a transition; returns what is wrong with it, `_ILLEGAL` or nothing."""


def _told(task: _Task, status: str) -> str:
    return f"{status}, at attempt {task.attempt}" if task.attempt else status


def _queued(_: OrderCheck, task: _Task, entry: Entry) -> str:
    number = entry.get("attempt", 0)
    may_be = {
        TaskStatus.WAITING: task.ended < number <= task.started + 1,
        TaskStatus.READY: number == task.attempt,
        TaskStatus.QUEUED: number == task.attempt,
        _GIVEN_BACK: number == task.attempt,
        _TRIED: number == task.attempt + 1,
        _LOST: number == task.attempt + 1,
        _UNKNOWN: number > 0,
    }
    is_legal = may_be.get(task.status, False)
    task.status, task.attempt = TaskStatus.QUEUED, number
    return "" if is_legal else _ILLEGAL


def _running(run: OrderCheck, task: _Task, entry: Entry) -> str:
    is_legal = task.status == TaskStatus.QUEUED and task.attempt == entry.get("attempt")
    task.status, task.attempt = TaskStatus.RUNNING, entry.get("attempt", 0)
    task.started, task.worker = max(task.started, task.attempt), entry.get("worker", "")
    if not is_legal:
        return _ILLEGAL
    early = sum(status not in _DONE and status != _UNKNOWN for status in run.statuses_before(entry))
    return f"it was started before {early} of the tasks that it depends on were done" if early else ""


def _end_of_attempt(status: str) -> _Rule:
    def rule(_: OrderCheck, task: _Task, entry: Entry) -> str:
        is_legal = task.runs(entry)
        if status == TaskStatus.FAILED and task.status == _LOST:
            is_legal = task.attempt == entry.get("attempt")
        wrong = "" if is_legal or task.status != TaskStatus.RUNNING else "its worker did not hold this attempt"
        task.ended = max(task.ended, entry.get("attempt", 0))
        task.status = status
        return "" if is_legal else wrong or _ILLEGAL

    return rule


def _lost(_: OrderCheck, task: _Task, entry: Entry) -> str:
    is_legal = task.is_running(entry)  # whoever finds out says so
    task.status, task.ended = _LOST, max(task.ended, entry.get("attempt", 0))
    return "" if is_legal else _ILLEGAL


def _delayed(_: OrderCheck, task: _Task, entry: Entry) -> str:
    is_legal = task.status in {_TRIED, _LOST} and entry.get("attempt") == task.attempt + 1
    task.status, task.attempt = TaskStatus.READY, entry.get("attempt", 0)
    return "" if is_legal else _ILLEGAL


def _given_back(_: OrderCheck, task: _Task, entry: Entry) -> str:
    is_legal = task.runs(entry)
    task.status = _GIVEN_BACK
    return "" if is_legal else _ILLEGAL


def _renewed(_: OrderCheck, task: _Task, entry: Entry) -> str:
    return "" if task.runs(entry) else _ILLEGAL


def _refused(_: OrderCheck, __: _Task, ___: Entry) -> str:
    return ""  # it changed nothing, whoever sent it: perhaps for an attempt that a server that is gone had started


def _skipped(run: OrderCheck, task: _Task, entry: Entry) -> str:
    is_legal = task.status in {TaskStatus.WAITING, _UNKNOWN}
    task.status = TaskStatus.SKIPPED
    if not is_legal:
        return _ILLEGAL
    is_told = any(status in _MAY_HAVE_FAILED for status in run.statuses_before(entry))
    return "" if is_told else "nothing before it has failed"


def _cancelled(_: OrderCheck, task: _Task, entry: Entry) -> str:
    is_legal = task.status in {*_UNBEGUN, TaskStatus.RUNNING, _GIVEN_BACK, _TRIED, _LOST}
    task.status, task.ended = TaskStatus.CANCELLED, max(task.ended, entry.get("attempt", 0))
    return "" if is_legal else _ILLEGAL


def _satisfied(run: OrderCheck, task: _Task, entry: Entry) -> str:
    is_legal = task.status == TaskStatus.WAITING
    task.status = TaskStatus.SATISFIED
    if not is_legal:
        return _ILLEGAL
    is_told = run.is_done_before(entry) or "taken_from" in entry
    return "" if is_told else "the plan does not say that it was done before"


def _retried(_: OrderCheck, task: _Task, entry: Entry) -> str:
    is_legal = task.status in {*FINAL_TASK_STATUSES, _UNKNOWN} and task.status != TaskStatus.SATISFIED
    task.status = TaskStatus.WAITING
    return "" if is_legal else _ILLEGAL


_RULES: Mapping[str, _Rule] = {
    TransitionKind.QUEUED: _queued,
    TransitionKind.RUNNING: _running,
    TransitionKind.SUCCEEDED: _end_of_attempt(TaskStatus.SUCCEEDED),
    TransitionKind.FAILED: _end_of_attempt(TaskStatus.FAILED),
    TransitionKind.TRIED: _end_of_attempt(_TRIED),
    TransitionKind.LOST: _lost,
    TransitionKind.DELAYED: _delayed,
    TransitionKind.GIVEN_BACK: _given_back,
    TransitionKind.RENEWED: _renewed,
    TransitionKind.REFUSED: _refused,
    TransitionKind.SKIPPED: _skipped,
    TransitionKind.CANCELLED: _cancelled,
    TransitionKind.SATISFIED: _satisfied,
    TransitionKind.RETRIED: _retried,
}
