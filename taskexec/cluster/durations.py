"""Counts how long the tasks of all runs of a cluster waited and worked, from where somebody left off.

What is found is kept on the server: who counts may end, or be one of several, and nothing is lost or counts twice.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice

from taskexec.domain.counts import OTHER
from taskexec.domain.events import LogEntry, parse_entry
from taskexec.observability.metrics import DURATION_BOUNDS, Histogram, Phase, RunDurations
from taskexec.store.connection import Connection
from taskexec.store.durations import TOTAL_US, Lengths, Measured, RedisDurations, RunShape
from taskexec.store.logs import RunLogs

__all__ = ["DurationCounter"]

_NEWEST = 1000
"""Runs whose logs are looked at each time, besides those that go on and those of which nothing is counted yet."""
_IN_TURN = 200
"""Others whose logs are looked at each time: tasks of an old run may be run again, and end between two looks."""
_RUNS_AT_ONCE = 25
_ENTRIES = 50
"""Entries of one run that are read at a time: they hold the output of short tasks as well."""
_KINDS_MOST = 20
"""Agents that are told apart; what is beyond counts as `other`."""
_PHASES = tuple(map(str, Phase))
_ALWAYS = ("noop", "python", "shell", OTHER)
"""Agents that are told with noughts from the start, so that the first of their tasks shows as an increase."""
_BOUNDS = (*map(str, map(float, DURATION_BOUNDS)), "+Inf")

Histograms = Mapping[tuple[str, str], Histogram]
"""Phase and agent -> how long."""


class DurationCounter:
    """Takes in what happens in the runs of one server; used by one thread at a time."""

    def __init__(self, connection: Connection, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Prepare to count; `clock` tells monotonic seconds."""
        self._logs = RunLogs(connection)
        self._kept = RedisDurations(connection)
        self._clock = clock
        self._runs: dict[str, _Followed] = {}
        self._rota = _Rota()
        self._odd: set[str] = set()
        """Runs that are not understood, as those of a later version are not."""

    def count(self, *, limit_s: float) -> Histograms:
        """Count what has happened since somebody did; return all that was counted.

        Args:
            limit_s: After so long, what is left waits for the next call.

        Raises:
            ConnectionLost: The server did not answer; what it did not hear of is found again.
        """
        until = self._clock() + limit_s
        before = self._kept.read()
        if before is None:
            return {}
        found = _Found(before)
        self._odd &= before.runs.keys() | before.active
        runs = self._rota.runs(before, [run_id for run_id in self._runs if run_id in before.runs], but=self._odd)
        for run_id in self._runs.keys() - set(runs):
            del self._runs[run_id]
        try:
            while self._take(runs, found, until):
                pass
            lengths = _few(found.lengths, before.lengths)
            counts = not found.reached or self._kept.add(lengths, found.reached, before)
        except BaseException:
            self._runs.clear()  # these are ahead of what is counted
            raise
        if not counts:
            for run_id in found.reached:
                self._runs.pop(run_id, None)
            return _histograms(before.lengths)
        for run_id in [run_id for run_id, run in self._runs.items() if run.durations.is_over]:
            del self._runs[run_id]
        return _histograms(before.lengths, lengths)

    def _take(self, runs: Sequence[str], found: _Found, until: float) -> bool:
        """Take in the next entries of some runs; return whether there may be more, and time for them."""
        is_news, clear = False, [run_id for run_id in runs if run_id not in self._odd]
        for at in range(0, len(clear), _RUNS_AT_ONCE):
            after = {run_id: self._read_to(run_id, found) for run_id in clear[at : at + _RUNS_AT_ONCE]}
            told = self._logs.read(after, most=_ENTRIES)
            for run_id, entries in told.items():
                is_news = True
                self._take_of_run(run_id, entries, found)
            for run_id in self._rota.rest(after.keys() - told.keys() - found.reached.keys()):
                self._runs.pop(run_id, None)
            if self._clock() >= until:
                return False
        return is_news

    def _read_to(self, run_id: str, found: _Found) -> str:
        run = self._runs.get(run_id)
        return found.after(run_id) if run is None else run.read_to

    def _take_of_run(self, run_id: str, entries: Sequence[LogEntry], found: _Found) -> None:
        run = self._runs.get(run_id)
        try:
            if run is not None:
                found.take(run_id, run, entries)
            elif (shape := self._kept.shape(run_id)).size:
                self._runs[run_id] = _Followed(shape)  # it is understood from its first entry on
            else:
                found.reached[run_id] = entries[-1].id
        except (LookupError, ValueError):
            self._runs.pop(run_id, None)
            self._odd.add(run_id)


class _Rota:
    """Says which runs are worth a look: a server may know very many, in which nothing happens any more."""

    def __init__(self) -> None:
        self._near: set[str] = set()
        """Runs that are looked at each time."""
        self._silent: set[str] = set()
        """Others that said nothing when they were looked at."""
        self._seen: set[str] = set()
        """Those of them that had their turn."""

    def runs(self, before: Measured, followed: Sequence[str], *, but: Collection[str]) -> list[str]:
        """Return the runs to look at now, by how much there is to expect of them.

        Args:
            before: What was counted, and the runs there are.
            followed: Runs that were not read to their ends.
            but: Runs that are not looked at.
        """
        near = [*islice(before.runs, _NEWEST), *sorted(before.active, reverse=True)]
        self._near = set(near)
        older = [run_id for run_id in before.runs if run_id not in self._near and run_id not in but]
        self._silent.intersection_update(older)
        self._seen.intersection_update(older)
        new = [
            run_id
            for run_id in older
            if before.runs[run_id] >= before.since_us and run_id not in before.reached and run_id not in self._silent
        ]
        if self._seen.issuperset(older):
            self._seen.clear()
        turn = islice((run_id for run_id in older if run_id not in self._seen), _IN_TURN)
        return list(dict.fromkeys((*near, *followed, *new, *turn)))

    def rest(self, silent: Iterable[str]) -> list[str]:
        """Note the runs that said nothing when they were looked at; return those that only their turn comes back to."""
        older = [run_id for run_id in silent if run_id not in self._near]
        self._silent.update(older)
        self._seen.update(older)
        return older


class _Followed:
    """A run whose log is taken in."""

    def __init__(self, shape: RunShape) -> None:
        self.durations = RunDurations(shape.size, shape.successors)
        self.kinds = shape.kinds
        self.read_to = "0"

    def take(self, entry: LogEntry) -> Iterator[tuple[str, str, float]]:
        """Take in the next entry; yield what is over with it: phase, agent, seconds."""
        self.read_to = entry.id
        for lasted in self.durations.take(parse_entry(entry)):
            yield str(lasted.phase), self.kinds[lasted.index], lasted.seconds


class _Found:
    """What one call finds."""

    def __init__(self, before: Measured) -> None:
        self._before = before
        self.lengths: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self.reached: dict[str, str] = {}

    def after(self, run_id: str) -> str:
        return self.reached.get(run_id) or self._before.after(run_id)

    def take(self, run_id: str, run: _Followed, entries: Sequence[LogEntry]) -> None:
        """Take in further entries of a run, those that count already as well."""
        counted, is_new = _order(self._before.after(run_id)), False
        for entry in entries:
            is_new = is_new or _order(entry.id) > counted
            over = list(run.take(entry))  # all of an entry counts, or nothing
            if is_new:
                self._add(over)
                self.reached[run_id] = entry.id

    def _add(self, over: Sequence[tuple[str, str, float]]) -> None:
        for phase, kind, seconds in over:
            lasted_s = max(seconds, 0.0)  # clocks disagree
            lengths = self.lengths[phase, kind]
            lengths[_BOUNDS[bisect_left(DURATION_BOUNDS, lasted_s)]] += 1
            lengths[TOTAL_US] += round(lasted_s * 1e6)


def _order(entry_id: str) -> tuple[int, ...]:
    return tuple(map(int, entry_id.split("-")))


def _few(found: Lengths, before: Lengths) -> Lengths:
    """Return what was found with agents beyond some as `other`; those that are known already stay apart."""
    kinds = {kind for _, kind in before} - {OTHER}
    told: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for (phase, kind), counts in found.items():
        if len(kinds) < _KINDS_MOST and kind != OTHER:
            kinds.add(kind)
        told[phase, kind if kind in kinds else OTHER].update(counts)
    return told


def _histograms(*parts: Lengths) -> Histograms:
    found = {(phase, kind): Histogram(DURATION_BOUNDS) for phase in _PHASES for kind in _ALWAYS}
    for part in parts:
        for name, counts in part.items():
            if name[0] not in _PHASES:  # of a later version
                continue
            histogram = found.setdefault(name, Histogram(DURATION_BOUNDS))
            for bound, amount in counts.items():
                if bound == TOTAL_US:
                    histogram.total += amount / 1e6
                else:  # a bound of another version counts in the bucket that it falls into
                    histogram.counts[bisect_left(DURATION_BOUNDS, float(bound))] += amount
    return found
