"""What a display knows of a run beside its counts, at a price that the run does not feel."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskexec.cluster import Cluster
    from taskexec.domain.events import LogEntry
    from taskexec.observability import RunView
    from taskexec.observability.timeline import RunTimeline

__all__ = ["Outlook", "ServerTime", "left_text", "seconds_text", "slots_of"]

_STEP = 16
"""So many entries are taken in before the time is looked at."""


def seconds_text(seconds: float) -> str:
    """Return a duration for people: `0.4 s`, `12 s`, `3:05`, `1:02:03`."""
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class ServerTime:
    """The server's time, as it goes on behind the last entry that was seen of a run."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Begin with nothing seen; `clock` gives seconds that go on steadily."""
        self._clock = clock
        self._seen_us, self._seen_at = 0, clock()

    def now_us(self, view: RunView) -> int:
        """Return the time in microseconds since the epoch; to be asked whenever the view may have changed."""
        now = self._clock()
        if view.last_us != self._seen_us:
            self._seen_us, self._seen_at = view.last_us, now
        return view.last_us + round((now - self._seen_at) * 1e6)


class Outlook:
    """The timeline of a run, taken in as far as there is time for it."""

    def __init__(self, timeline: RunTimeline, *, slots: int | None, clock: Callable[[], float]) -> None:
        """Begin with what is known.

        Args:
            timeline: The run up to now.
            slots: How many tasks can run at once; None for unknown.
            clock: Seconds that go on steadily.
        """
        self.timeline = timeline
        self._slots = slots
        self._clock = clock
        self._backlog: deque[LogEntry] = deque()

    @property
    def is_current(self) -> bool:
        """Whether all that happened was taken in."""
        return not self._backlog

    def take(self, entries: Sequence[LogEntry]) -> None:
        """Remember what happened."""
        self._backlog.extend(entries)

    def work(self, seconds: float) -> None:
        """Take in what was remembered, for at most so long."""
        until = self._clock() + seconds
        while self._backlog and self._clock() < until:
            self.timeline.apply([self._backlog.popleft() for _ in range(min(_STEP, len(self._backlog)))])

    def left_text(self, view: RunView, now_us: int) -> str:
        """Return how long the run should still take, for people; empty when nothing can be said.

        While it is not current, which is while very many short tasks end, the rate says it.
        """
        if view.is_final or view.done == len(view.statuses):
            return ""
        if not self.is_current:
            left = view.left_s(now_us)
            return "" if left is None else f"{seconds_text(left)} left"
        return left_text(self.timeline, now_us, self._slots)

    def expected_s(self, index: int) -> float | None:
        """Return how long the work of a task should take; None when that is not known."""
        return self.timeline.pace.expected_s(index)

    def what_failed(self, index: int) -> str:
        """Return why the last attempt of a task failed; empty when that is not known (yet)."""
        attempt = self.timeline.spans[index].last
        if attempt is None or attempt.outcome not in {"failed", "lost"}:
            return ""
        return ": ".join(filter(None, [attempt.reason, attempt.error]))


def left_text(timeline: RunTimeline, now_us: int, slots: int | None = None) -> str:
    """Return how long a run should still take, with the interval, for people; empty when nothing can be said."""
    from taskexec.observability.estimate import estimate_end

    estimate = estimate_end(timeline, now_us, slots=slots)
    if estimate is None:
        return ""
    left, least, most = estimate.left_s(now_us)
    if most - least < 1.0:
        return f"{seconds_text(left)} left"
    return f"{seconds_text(left)} left ({seconds_text(least)} to {seconds_text(most)})"


def slots_of(cluster: Cluster) -> int | None:
    """Return how many tasks the workers of a cluster can run at once; None when it has none."""
    return sum(int(worker["capacity"]["slots"]) for worker in cluster.workers.listed()) or None
