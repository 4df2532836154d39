"""How much of a machine Flower takes to follow the runs: some of what is idle, and next to nothing where nothing is."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import psutil

__all__ = ["Restraint", "idle_s", "rest_s", "share_of"]

_LEAST = 0.02
"""Part of the machine that it takes however busy that is: what comes faster is shown later, and lost is nothing."""
_OF_THE_FREE = 0.5
"""Part of what nobody else uses that it takes: so it catches up at once where nobody works."""
_SHORTEST_LOOK_S = 0.1
"""In less, the idle time that the system tells in steps of a hundredth says too little."""


def idle_s() -> float:
    """Return for how long the cores of this machine have been idle since it was started, added up."""
    times = psutil.cpu_times()
    return float(times.idle + getattr(times, "iowait", 0.0))


def share_of(free: float) -> float:
    """Return the part of a machine to take (0..1), by the part of it that nobody else uses."""
    return max(free * _OF_THE_FREE, _LEAST)


def rest_s(worked_s: float, cores: int, share: float) -> float:
    """Return how long to rest after so much processor time, to take no more than a share of a machine."""
    return max(worked_s / (share * cores) - worked_s, 0.0)


class Restraint:
    """Rests after each piece of this process's work; how long goes by what others have left of the machine lately."""

    def __init__(
        self,
        cores: int | None = None,
        *,
        idle: Callable[[], float] = idle_s,
        worked: Callable[[], float] = time.process_time,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Begin.

        Args:
            cores: Of the machine; None counts them.
            idle: Tells for how long, in seconds, they were idle, all together.
            worked: Tells how much processor time this process has used, in seconds.
            clock: Monotonic seconds.
            sleep: Waits so many seconds.
        """
        self._cores = cores or os.cpu_count() or 1
        self._idle, self._worked, self._clock, self._sleep = idle, worked, clock, sleep
        self._share = _LEAST  # nothing is known of others yet
        self._looked_at, self._idle_then, self._worked_then = clock(), idle(), worked()
        self._rested_at_s = self._worked_then

    def rest(self, at_least_s: float = 0.0) -> None:
        """Rest for what was worked since the last time."""
        pause_s = max(rest_s(self._worked() - self._rested_at_s, self._cores, self._share), at_least_s)
        if pause_s > 0:
            self._sleep(pause_s)
        self._rested_at_s = self._worked()
        self._look()

    def _look(self) -> None:
        passed_s = self._clock() - self._looked_at
        if passed_s < _SHORTEST_LOOK_S:
            return
        idle, worked = self._idle(), self._worked()
        free_s = idle - self._idle_then + worked - self._worked_then
        self._share = share_of(min(max(free_s / (passed_s * self._cores), 0.0), 1.0))
        self._looked_at, self._idle_then, self._worked_then = self._looked_at + passed_s, idle, worked
