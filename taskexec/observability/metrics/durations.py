"""How long the tasks of one run waited and worked: told as its log goes on, with some bytes a task and no plan kept.

A `RunTimeline` knows the same and much more; what counts all runs of a cluster cannot keep one of each.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import orjson

from taskexec.domain.events import Transition, TransitionKind

__all__ = ["Lasted", "Phase", "RunDurations"]

_NEVER = -1
_PERFORMED = {TransitionKind.SUCCEEDED, TransitionKind.FAILED, TransitionKind.TRIED}
_LEFT = {TransitionKind.LOST, TransitionKind.CANCELLED, TransitionKind.SKIPPED}
_DONE = {TransitionKind.SUCCEEDED, TransitionKind.SATISFIED}


class Phase(StrEnum):
    """What lasted."""

    WAIT = "wait"
    """From a task's last dependency being done until its first attempt was claimed that was not given back."""
    DISPATCH = "dispatch"
    """From being queued or placed until it was claimed, of each attempt that was and was not given back."""
    WORK = "work"
    """From the start of an attempt to its end, of each that was performed."""


@dataclass(frozen=True, slots=True)
class Lasted:
    """One phase of a task that is over."""

    phase: Phase
    index: int
    """The task."""
    seconds: float


class RunDurations:
    """The tasks of a run by their position in its plan, as far as its log was taken in."""

    def __init__(self, size: int, successors: Mapping[int, Sequence[int]]) -> None:
        """Begin with nothing having happened.

        Args:
            size: How many tasks the run has.
            successors: Task -> tasks that depend on it; what is not there has none.
        """
        self._open = array("l", [0]) * size
        self._others = array("l")
        self._others_from = array("l", [0])
        for index in range(size):
            for other in successors.get(index, ()):
                self._others.append(other)
                self._open[other] += 1
            self._others_from.append(len(self._others))
        self._ready_us = _instants(size)
        self._queued_us = _instants(size)
        self._claimed_us = _instants(size)
        self._is_done = bytearray(size)
        self._has_waited = bytearray(size)
        self.is_over = False
        """Whether the run has ended; it may go on."""

    def take(self, transitions: Iterable[Transition]) -> Iterator[Lasted]:
        """Take in the next transitions; yield what is over with them."""
        for transition in transitions:
            kind, index = transition.kind, transition.index
            if index >= 0:  # a late result may come after the end
                yield from self._take_of_task(transition)
                continue
            self.is_over = kind is TransitionKind.ENDED
            if kind is TransitionKind.STARTED:
                self._make_ready((one for one, count in enumerate(self._open) if not count), transition.at_us)
            elif kind is TransitionKind.SUBMITTED:  # what a server had lost begins again
                size = len(self._open)
                self._queued_us, self._claimed_us, self._has_waited = _instants(size), _instants(size), bytearray(size)

    def _take_of_task(self, transition: Transition) -> Iterator[Lasted]:
        kind, index, at_us = transition.kind, transition.index, transition.at_us
        if kind is TransitionKind.QUEUED:
            self._queued_us[index] = at_us
        elif kind is TransitionKind.RUNNING:
            self._claimed_us[index] = at_us
        elif kind in _PERFORMED:
            is_claimed = self._claimed_us[index] != _NEVER
            yield from self._leave(index)
            if is_claimed and (work_s := _work_s(transition.detail)) is not None:
                yield Lasted(Phase.WORK, index, work_s)
        elif kind in _LEFT:
            yield from self._leave(index)
        elif kind is TransitionKind.GIVEN_BACK:  # as if nobody had taken it: it waits for the next claim
            self._forget(index)
        elif kind is TransitionKind.RETRIED:
            self._count(index, at_us, is_done=False)
            self._ready_us[index] = _NEVER if self._open[index] else at_us
            self._has_waited[index] = False
        if kind in _DONE:
            self._count(index, at_us, is_done=True)

    def _leave(self, index: int) -> Iterator[Lasted]:
        """Note that an attempt is over; yield how long it was waited for, which is known only now that it is kept."""
        claimed_us, queued_us = self._claimed_us[index], self._queued_us[index]
        self._forget(index)
        if claimed_us == _NEVER:
            return
        # of a run that goes on after its server was lost, what was done before does not stand in the log
        ready_us = queued_us if self._ready_us[index] == _NEVER else self._ready_us[index]
        if queued_us != _NEVER:
            yield Lasted(Phase.DISPATCH, index, (claimed_us - queued_us) / 1e6)
        if ready_us != _NEVER and not self._has_waited[index]:
            yield Lasted(Phase.WAIT, index, (claimed_us - ready_us) / 1e6)
        self._has_waited[index] = True

    def _forget(self, index: int) -> None:
        self._queued_us[index] = self._claimed_us[index] = _NEVER

    def _count(self, index: int, at_us: int, *, is_done: bool) -> None:
        """Note whether a task is done now, and which of those that depend on it have nothing more to wait for."""
        if self._is_done[index] == is_done:
            return
        self._is_done[index] = is_done
        others = self._others[self._others_from[index] : self._others_from[index + 1]]
        for other in others:
            self._open[other] += -1 if is_done else 1
        if is_done:
            self._make_ready((other for other in others if not self._open[other]), at_us)

    def _make_ready(self, indexes: Iterable[int], at_us: int) -> None:
        for index in indexes:
            if not self._is_done[index]:
                self._ready_us[index] = at_us


def _instants(size: int) -> array[int]:
    return array("q", [_NEVER]) * size


def _work_s(detail: str) -> float | None:
    """Return how long an attempt worked, as its record says; None where it does not."""
    try:
        record = orjson.loads(detail.partition("\t")[0])
        begun, ended = (datetime.fromisoformat(record[name]) for name in ("started_at", "finished_at"))
    except (ValueError, KeyError, TypeError):  # what a worker wrote may be anything
        return None
    return (ended - begun).total_seconds()
