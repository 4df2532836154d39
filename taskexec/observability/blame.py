"""Where the time of a run went: its wall time, split without remainder along the chain of tasks that took it.

The chain is followed back from the end of the run: from a task to when it could start, and from there to the dependency
that was done last. What is between two instants is one of the parts; they add up to the microsecond.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from taskexec.domain.clock import iso_time
from taskexec.domain.states import FINAL_TASK_STATUSES, TaskStatus
from taskexec.observability.parts import Part, parts_of_task
from taskexec.observability.remedies import Remedy, find_remedies
from taskexec.observability.slots import look_at_slots
from taskexec.observability.timeline import RunTimeline

__all__ = ["Blame", "Link", "Part", "blame"]


@dataclass(frozen=True, slots=True)
class Link:
    """A task of the chain."""

    index: int
    """Position in the plan."""
    since_us: int
    """From when its time counts."""
    until_us: int
    parts: Mapping[Part, int]
    """Microseconds."""


@dataclass(frozen=True, slots=True)
class Blame:
    """Where the time of a run went."""

    started_us: int
    ended_us: int
    is_final: bool
    """Whether the run has ended; else it is split until its last transition."""
    parts: Mapping[Part, int]
    """Microseconds, every part; their sum is the wall time."""
    chain: tuple[Link, ...]
    """The tasks on whose time the run's depended, in order."""
    ids: tuple[str, ...] = field(default=(), repr=False)
    """Ids of the tasks of the chain, in the same order."""
    remedies: tuple[Remedy, ...] = ()
    """What would have shortened it, the most first."""

    @property
    def wall_us(self) -> int:
        """From start to end, microseconds."""
        return self.ended_us - self.started_us

    def to_json(self) -> dict[str, Any]:
        """Return it as programs read it; microseconds, so that nothing is lost by rounding."""
        return {
            "started": iso_time(self.started_us / 1e6),
            "ended": iso_time(self.ended_us / 1e6),
            "is_final": self.is_final,
            "wall_us": self.wall_us,
            "parts_us": {str(part): self.parts[part] for part in Part},
            "critical_path": [self._link(link, name) for link, name in zip(self.chain, self.ids, strict=True)],
            "remedies": [remedy.to_json() for remedy in self.remedies],
        }

    def _link(self, link: Link, name: str) -> dict[str, Any]:
        return {
            "task": name,
            "from_us": link.since_us - self.started_us,
            "to_us": link.until_us - self.started_us,
            "parts_us": {str(part): amount for part, amount in link.parts.items() if amount},
        }


def blame(timeline: RunTimeline) -> Blame:
    """Return where the time of a run went; of one that goes on, until its last transition.

    It takes a few microseconds for each attempt. All is 0 for a run that has not started.
    """
    started_us = timeline.view.started_us
    end_us = timeline.view.ended_us or timeline.view.last_us
    if started_us is None or end_us < started_us:
        return Blame(end_us, end_us, timeline.view.is_final, dict.fromkeys(Part, 0), ())
    walk = _Walk(timeline, started_us, end_us)
    walk.go()
    ids = tuple(timeline.ids[link.index] for link in walk.links)
    remedies = find_remedies(timeline, walk.slots, [link.index for link in walk.links], end_us - started_us)
    return Blame(started_us, end_us, timeline.view.is_final, walk.parts, tuple(walk.links), ids, tuple(remedies))


class _Walk:
    """The way back from the end of a run to its start."""

    def __init__(self, timeline: RunTimeline, started_us: int, end_us: int) -> None:
        self._timeline = timeline
        self._started_us = started_us
        self._at_us = self._end_us = end_us
        self.slots = look_at_slots(timeline, end_us)
        self.parts: Counter[Part] = Counter(dict.fromkeys(Part, 0))
        self.links: list[Link] = []

    def go(self) -> None:
        """Walk all of it."""
        index = self._last_task()
        while index is not None and self._at_us > self._started_us:
            index = self._pass(index)
        self._pass_the_rest()
        self.links.reverse()

    def _pass(self, index: int) -> int | None:
        """Go back over a task; return the one that it waited for."""
        span = self._timeline.spans[index]
        until_us = span.changed_us if span.status in FINAL_TASK_STATUSES and span.changed_us else self._end_us
        self._cut(Part.OVERHEAD, until_us)
        before, since_us = Counter(self.parts), self._at_us
        route = str(self._timeline.tasks[index].get("route", ""))
        for part, from_us in parts_of_task(span, route, self.slots, self._at_us):
            self._cut(part, from_us)
        self.links.append(Link(index, self._at_us, since_us, self.parts - before))
        done = (one for one in self._timeline.dependencies[index] if self._has_run(one))
        return max(done, key=self._ended_us, default=None)

    def _has_run(self, index: int) -> bool:
        span = self._timeline.spans[index]
        is_before = span.changed_us is not None and span.changed_us <= self._at_us
        return is_before and span.status is TaskStatus.SUCCEEDED and span.ready_us is not None

    def _ended_us(self, index: int) -> int:
        return self._timeline.spans[index].changed_us or 0

    def _last_task(self) -> int | None:
        """Return the task with which the run ended, or of one that goes on, that which has gone on the longest."""
        spans = self._timeline.spans
        tried = [index for index, span in enumerate(spans) if span.attempts and span.ready_us is not None]
        running = [index for index in tried if spans[index].status not in FINAL_TASK_STATUSES]
        if running and not self._timeline.view.is_final:
            return min(running, key=lambda index: spans[index].ready_us or 0)
        return max((index for index in tried if spans[index].last), key=self._ended_us, default=None)

    def _cut(self, part: Part, from_us: int) -> None:
        """Give the time from an instant until where the walk stands to a part."""
        from_us = max(min(from_us, self._at_us), self._started_us)
        self.parts[part] += self._at_us - from_us
        self._at_us = from_us

    def _pass_the_rest(self) -> None:
        """Go back from where no task leads on: over ends of the run from which it was taken up again."""
        for ended_us, reopened_us in reversed(self._timeline.pauses):
            if ended_us < self._at_us:
                self._cut(Part.OVERHEAD, reopened_us)
                self._cut(Part.PEOPLE, ended_us)
                self._cut(Part.RETRIES, self._started_us)
        self._cut(Part.OVERHEAD, self._started_us)
