"""What the processes of one worker count: each in a row of its own of a memory that all of them share.

The row of a pool child is that of its place in the pool: who takes the place of one that died goes on counting there.
So nobody waits for anybody, nothing is sent, and what a process has counted outlives it. A worker that is not watched
has no board, and its processes count nothing.
"""

from __future__ import annotations

import mmap
import os
import threading
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import cached_property

from billiard.process import current_process

from taskexec.domain.counts import OTHER, is_plain
from taskexec.domain.resources import Route
from taskexec.domain.states import Reason
from taskexec.observability.metrics import DURATION_BOUNDS, SCRIPT_BOUNDS, Histogram

__all__ = ["KINDS_MOST", "Board", "Meter"]

KINDS_MOST = 20
"""Agents that are told apart; what is beyond counts as `other`."""
_BUILT_IN = ("noop", "python", "shell")
OUTCOMES = ("succeeded", "failed", "late")
"""How attempts end, as a worker sees it."""
_REASONS = ("", *map(str, Reason))
_ROUTES = tuple(map(str, Route))
_SCRIPTS = (
    "claim",
    "complete",
    "renew",
    "release",
    "append",
    "lose",
    "reap",
    "join",
    "place",
    "yield",
    "enter",
    "part",
)
_VALUE_BYTES = 8


class Board:
    """The counters of a worker; made in its main process before its pool."""

    def __init__(self, kinds: Sequence[str], processes: int) -> None:
        """Begin with nothing counted.

        Args:
            kinds: Names of its agents; the first are told apart, those of ours before them.
            processes: Most children that its pool will have at a time.
        """
        told = [kind for kind in (*_BUILT_IN, *kinds) if kind != OTHER and is_plain(kind)]
        self.kinds = [*[*dict.fromkeys(told)][:KINDS_MOST], OTHER]
        self._kind_at = {kind: at for at, kind in enumerate(self.kinds)}
        self._route_at = {route: at for at, route in enumerate(_ROUTES)}
        self._script_at = {script: at for at, script in enumerate((*_SCRIPTS, OTHER))}
        self._ending_at = {(outcome, reason): at for at, (outcome, reason) in enumerate(_endings())}
        self._duration_width = len(DURATION_BOUNDS) + 2
        self._script_width = len(SCRIPT_BOUNDS) + 2
        self._dispatch_from = 3
        self._work_from = self._dispatch_from + len(_ROUTES) * self._duration_width
        self._scripts_from = self._work_from + len(self.kinds) * self._duration_width
        self._endings_from = self._scripts_from + len(self._script_at) * self._script_width
        self.width = self._endings_from + len(self.kinds) * len(self._ending_at)
        self._rows = processes + 1
        self._memory = mmap.mmap(-1, self.width * self._rows * _VALUE_BYTES)
        self._values = memoryview(self._memory).cast("d")
        self._meters: dict[int, Meter] = {}

    def meter(self) -> Meter:
        """Return what this process counts on, the same for all of its threads."""
        pid = os.getpid()
        if pid not in self._meters:  # what was made before a fork is the parent's
            place = getattr(current_process(), "index", None)  # billiard's: there is none in the main process
            row = 0 if place is None else min(place + 1, self._rows - 1)  # more than were expected share the last
            self._meters = {pid: Meter(self, self._values[row * self.width : (row + 1) * self.width])}
        return self._meters[pid]

    @cached_property
    def other(self) -> int:
        """Position of the agents that are not told apart."""
        return self._kind_at[OTHER]

    def total(self) -> list[float]:
        """Return the sums of all rows."""
        rows = (self._values[at * self.width : (at + 1) * self.width] for at in range(self._rows))
        return [sum(column) for column in zip(*rows, strict=True)]

    def kind_at(self, kind: str) -> int:
        """Return the position of an agent."""
        return self._kind_at.get(kind, self.other)

    def dispatch_at(self, route: str) -> int | None:
        """Return where the durations of a route's dispatch begin; None for one that there is not."""
        at = self._route_at.get(route)
        return None if at is None else self._dispatch_from + at * self._duration_width

    def work_at(self, kind: str) -> int:
        """Return where the durations of an agent's attempts begin."""
        return self._work_from + self.kind_at(kind) * self._duration_width

    def script_at(self, name: str) -> int:
        """Return where the durations of a script begin."""
        return self._scripts_from + self._script_at.get(name, self._script_at[OTHER]) * self._script_width

    def ending_at(self, kind: str, outcome: str, reason: str) -> int:
        """Return where attempts of an agent that ended so are counted."""
        ending = self._ending_at.get((outcome, reason), self._ending_at[outcome, ""])
        return self._endings_from + self.kind_at(kind) * len(self._ending_at) + ending

    def dispatch(self, total: Sequence[float]) -> Iterator[tuple[str, Histogram]]:
        """Yield each route with its histogram, out of sums."""
        for at, route in enumerate(_ROUTES):
            yield route, _histogram(total, self._dispatch_from + at * self._duration_width, DURATION_BOUNDS)

    def work(self, total: Sequence[float]) -> Iterator[tuple[str, Histogram]]:
        """Yield each agent with its histogram, out of sums."""
        for at, kind in enumerate(self.kinds):
            yield kind, _histogram(total, self._work_from + at * self._duration_width, DURATION_BOUNDS)

    def scripts(self, total: Sequence[float]) -> Iterator[tuple[str, Histogram]]:
        """Yield each script with its histogram, out of sums."""
        for script, at in self._script_at.items():
            yield script, _histogram(total, self._scripts_from + at * self._script_width, SCRIPT_BOUNDS)

    def endings(self, total: Sequence[float]) -> Iterator[tuple[str, str, str, float]]:
        """Yield agent, outcome, reason and how many attempts ended so, out of sums; what never did is left out."""
        for kind in self.kinds:
            for outcome, reason in self._ending_at:
                count = total[self.ending_at(kind, outcome, reason)]
                if count:
                    yield kind, outcome, reason, count

    @staticmethod
    def evidence_bytes(total: Sequence[float]) -> float:
        """Return the size of the evidence, out of sums."""
        return total[0]

    @staticmethod
    def lapsed(total: Sequence[float]) -> float:
        """Return how many lapsed leases were ended, out of sums."""
        return total[1]

    @staticmethod
    def dropped(total: Sequence[float]) -> float:
        """Return how many spans were dropped, out of sums."""
        return total[2]


class Meter:
    """What one process counts; its threads share it."""

    def __init__(self, board: Board, row: memoryview[float]) -> None:
        self._board = board
        self._row = row
        self._lock = threading.Lock()
        self._scripts = {name: board.script_at(name) for name in _SCRIPTS}
        self._work = {kind: board.work_at(kind) for kind in board.kinds}
        self._succeeded = {kind: board.ending_at(kind, "succeeded", "") for kind in board.kinds}

    def called(self, script: str, seconds: float) -> None:
        """Count a call of a script."""
        at = self._scripts.get(script)
        self._observe(self._board.script_at(script) if at is None else at, SCRIPT_BOUNDS, seconds, 1)

    def dispatched(self, route: str, seconds: float, amount: int) -> None:
        """Count attempts that were claimed so long after they were queued."""
        at = self._board.dispatch_at(route)
        if at is not None:
            self._observe(at, DURATION_BOUNDS, seconds, amount)

    def ended(self, kind: str, outcome: str, reason: str, seconds: float, evidence_bytes: int) -> None:
        """Count an attempt that ended: how, how long it lasted, and what it left.

        Args:
            kind: Its agent.
            outcome: One of `OUTCOMES`.
            reason: Why it did not succeed; what is no reason counts as none.
            seconds: From its start to its end.
            evidence_bytes: Size of its output and files.
        """
        if kind not in self._work:
            kind = OTHER
        at = self._succeeded[kind] if outcome == "succeeded" else self._board.ending_at(kind, outcome, reason)
        work, row = self._work[kind], self._row
        seconds = max(seconds, 0.0)  # clocks disagree
        bucket = work + 1 + bisect_left(DURATION_BOUNDS, seconds)
        with self._lock:
            row[at] += 1
            row[work] += seconds
            row[bucket] += 1
            row[0] += evidence_bytes

    def lapsed(self, amount: int) -> None:
        """Count lapsed leases that were ended."""
        with self._lock:
            self._row[1] += amount

    def dropped(self, amount: int) -> None:
        """Count spans that never arrived."""
        with self._lock:
            self._row[2] += amount

    def _observe(self, at: int, bounds: Sequence[float], seconds: float, amount: int) -> None:
        seconds = max(seconds, 0.0)  # clocks disagree
        bucket, row = at + 1 + bisect_left(bounds, seconds), self._row
        with self._lock:
            row[at] += seconds * amount
            row[bucket] += amount


def _endings() -> Iterator[tuple[str, str]]:
    for outcome in OUTCOMES:
        for reason in _REASONS:
            yield outcome, reason


def _histogram(total: Sequence[float], at: int, bounds: Sequence[float]) -> Histogram:
    histogram = Histogram(bounds)
    histogram.total = total[at]
    histogram.counts = list(total[at + 1 : at + 2 + len(bounds)])
    return histogram
