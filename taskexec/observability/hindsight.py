"""How good the estimates of a run's end were: what would have been said on the way, held against the real end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import orjson

from taskexec.domain.clock import iso_time
from taskexec.domain.events import Transition, TransitionKind
from taskexec.domain.states import TaskStatus
from taskexec.observability.estimate import Estimate, estimate_end
from taskexec.observability.slots import look_at_slots
from taskexec.observability.timeline import AttemptSpan, RunTimeline, TaskSpan

__all__ = ["Hindsight", "Said", "look_back"]

_SHARES = (0.25, 0.5, 0.75)
_END = {
    "succeeded": TransitionKind.SUCCEEDED,
    "failed": TransitionKind.TRIED,
    "lost": TransitionKind.LOST,
    "given_back": TransitionKind.GIVEN_BACK,
    "cancelled": TransitionKind.CANCELLED,
}
_FINAL = {
    TaskStatus.FAILED: TransitionKind.FAILED,
    TaskStatus.SKIPPED: TransitionKind.SKIPPED,
    TaskStatus.CANCELLED: TransitionKind.CANCELLED,
    TaskStatus.SATISFIED: TransitionKind.SATISFIED,
}


@dataclass(frozen=True, slots=True)
class Said:
    """What was said at one moment."""

    share: float
    """Which part of the run's time was over, 0 to 1."""
    said_s: float
    """Seconds that should have been left."""
    earliest_s: float
    latest_s: float
    was_s: float
    """Seconds that were left."""

    @property
    def error_ratio(self) -> float:
        """How much too late (positive) or too early it was, as a share of the time that was left."""
        return self.said_s / self.was_s - 1 if self.was_s else 0.0

    @property
    def is_within(self) -> bool:
        """Whether the run ended within the interval that was said."""
        return self.earliest_s <= self.was_s <= self.latest_s

    def to_json(self) -> dict[str, Any]:
        """Return the fields by name, with what follows from them."""
        seconds = {"said_s": self.said_s, "earliest_s": self.earliest_s, "latest_s": self.latest_s, "was_s": self.was_s}
        rounded = {name: round(value, 6) for name, value in seconds.items()}
        ratio = round(self.error_ratio, 6)
        return {"share": self.share, **rounded, "error_ratio": ratio, "is_within": self.is_within}


@dataclass(frozen=True, slots=True)
class Hindsight:
    """How good the estimates of a run were."""

    said: tuple[Said, ...]
    """After 25, 50 and 75 % of its time, as far as something could be said."""

    @property
    def mean_error_ratio(self) -> float | None:
        """Mean of how far they were off, as a share of the time that was left; None when nothing was said."""
        return sum(abs(one.error_ratio) for one in self.said) / len(self.said) if self.said else None

    def to_json(self) -> dict[str, Any]:
        """Return the fields by name."""
        mean = self.mean_error_ratio
        return {
            "mean_error_ratio": None if mean is None else round(mean, 6),
            "said": [one.to_json() for one in self.said],
        }


def look_back(timeline: RunTimeline) -> Hindsight:
    """Return how good the estimates of a run that has ended were.

    Nothing is said of a run that was stopped, or taken up again. It is gone through again, which costs a few
    microseconds for each transition. How many slots there are is taken as known, as it is to who runs them.
    """
    started, ended = timeline.view.started_us, timeline.view.ended_us
    if started is None or ended is None or ended <= started:
        return Hindsight(())
    if timeline.pauses or timeline.view.counts[TaskStatus.CANCELLED]:
        return Hindsight(())
    again = RunTimeline(timeline.plan)
    slots = look_at_slots(timeline, ended).count
    moments = [(share, started + round((ended - started) * share)) for share in _SHARES]
    said = []
    for transition in _transitions(timeline, started):
        while moments and transition.at_us > moments[0][1]:
            share, at_us = moments.pop(0)
            estimate = estimate_end(again, at_us, slots=slots)
            if estimate is not None:
                said.append(_said(share, estimate, at_us, ended))
        again.take(transition)
    return Hindsight(tuple(said))


def _said(share: float, estimate: Estimate, at_us: int, ended_us: int) -> Said:
    return Said(share, *estimate.left_s(at_us), (ended_us - at_us) / 1e6)


def _transitions(timeline: RunTimeline, started_us: int) -> list[Transition]:
    """Return what happened to the tasks of a run, in order."""
    found = [Transition(TransitionKind.STARTED, started_us, "", -1, 0, "")]
    for index, span in enumerate(timeline.spans):
        found += _of_task(index, span)
    found.sort(key=lambda transition: transition.at_us)
    return found


def _of_task(index: int, span: TaskSpan) -> Iterator[Transition]:
    for attempt, following in zip_longest(span.attempts, span.attempts[1:]):
        number, worker = attempt.number, attempt.worker
        if attempt.queued_us is not None:
            yield Transition(TransitionKind.QUEUED, attempt.queued_us, "", index, number, "")
        if attempt.claimed_us is not None:
            yield Transition(TransitionKind.RUNNING, attempt.claimed_us, worker, index, number, "")
        kind = _END.get(attempt.outcome)
        if kind is not None and attempt.finished_us is not None:
            at_us = attempt.finished_us
            if following is None and span.changed_us is not None:
                kind, at_us = _FINAL.get(span.status, kind), max(at_us, span.changed_us)
            yield Transition(kind, at_us, worker, index, number, _record(attempt))
    if not span.attempts and span.status in _FINAL and span.changed_us is not None:
        because_of = "" if span.because_of is None else str(span.because_of)
        yield Transition(_FINAL[span.status], span.changed_us, "", index, 0, because_of)


def _record(attempt: AttemptSpan) -> str:
    if attempt.started_us is None or attempt.finished_us is None:
        return ""
    times = {"started_at": attempt.started_us, "finished_at": attempt.finished_us}
    return orjson.dumps({name: iso_time(value / 1e6) for name, value in times.items()}).decode()
