"""Bringing runs home as they go, for as long as somebody wants it: some, or all that a cluster has.

Each run has a thread of its own, for few runs at a time. A folder that somebody else writes is left to them and looked
at again; a server that does not answer is waited for; a run that it has lost is taken up again from its folder.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Collection

from taskexec.cluster.client import Cluster
from taskexec.cluster.places import RunPlace
from taskexec.domain.clock import iso_time
from taskexec.domain.names import is_run_id
from taskexec.errors import ConnectionLost, NotFound, TekError
from taskexec.store.run_lines import RedisRunLines
from taskexec.submission import Collector
from taskexec.submission.journal import JOURNAL_FILE

__all__ = ["Keeper", "keep_collecting"]

_LOOK_S = 0.5
_AT_ONCE = 16
"""Runs that are brought home at the same time."""
_STEP_S = 0.5
_LOST_S = 0.5
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 30.0
"""How long a run is left alone that cannot be brought home now."""


class Keeper:
    """Brings runs home until it is told to stop."""

    def __init__(
        self, cluster: Cluster, run_ids: Collection[str] = (), *, tell: Callable[[str], None] = lambda _: None
    ) -> None:
        """Bring home some runs, or all that the cluster has; `tell` is called with lines for people, from threads."""
        self._cluster = cluster
        self._wanted = tuple(run_ids)
        self._tell = tell
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads: dict[str, threading.Thread] = {}
        self._done: dict[str, float | None] = {}
        """Runs that are at home, and when each had ended."""
        self._pauses: dict[str, tuple[float, float]] = {}
        """Runs that are left alone: until when, and for how long."""
        self._told: set[str] = set()
        self._began_at: float | None = None
        """When it first saw what the cluster has, by the server's clock, in seconds since the epoch."""
        self._are_told: dict[str, bool] = {}
        """Runs that were begun with, and whether somebody is told of each."""

    def run(self) -> None:
        """Go on until `stop`, or until the runs that were named are at home."""
        try:
            while not self._stop.is_set() and not self._is_complete():
                self._say_once("", self._look)
                self._stop.wait(_LOOK_S)
        finally:
            self._stop.set()
            for thread in list(self._threads.values()):
                thread.join()

    def stop(self) -> None:
        """End soon; what has come home stays, and the rest is gone on with another time."""
        self._stop.set()

    def _is_complete(self) -> bool:
        with self._lock:
            return bool(self._wanted) and all(run_id in self._done for run_id in self._wanted)

    def _say_once(self, run_id: str, call: Callable[[], None]) -> bool:
        """Call; an error is told the first time that it happens. Return whether it went well."""
        try:
            call()
        except TekError as error:
            text = f"run {run_id}: {error.message}" if run_id else error.message
            if text not in self._told:
                self._told.add(text)
                self._tell(text)
            return False
        return True

    def _look(self) -> None:
        """Begin with runs that are not at home, the oldest first."""
        if self._began_at is None:
            self._began_at = RedisRunLines(self._cluster.connection).now_us() / 1e6
        listed = [run_id for run_id in self._cluster.runs.listed() if is_run_id(run_id)]
        for run_id in self._wanted or reversed(listed):
            with self._lock:
                is_free = run_id not in self._threads and len(self._threads) < _AT_ONCE
                is_paused = self._pauses.get(run_id, (0.0, 0.0))[0] > time.monotonic()
            if not is_free or is_paused or self._stop.is_set() or self._is_at_home(run_id):
                continue
            thread = threading.Thread(target=self._keep, args=(run_id,), name=f"collect {run_id}", daemon=True)
            with self._lock:
                self._threads[run_id] = thread
            thread.start()

    def _is_at_home(self, run_id: str) -> bool:
        """Return whether a run has ended and all of it that can come is at home."""
        try:
            ended = self._cluster.runs.head(run_id).finished_at
        except NotFound:
            return run_id not in self._wanted  # it was removed, or its time was over
        if ended is None:
            return False
        if self._done.get(run_id, -1.0) == ended:
            return True
        summary = RunPlace(run_id, self._cluster.settings.evidence.runs_dir / run_id, None).home_summary() or {}
        is_whole = summary.get("ended") == iso_time(ended) and not summary.get("pending_files")
        if is_whole:
            with self._lock:
                self._done[run_id] = ended
        return is_whole

    def _keep(self, run_id: str) -> None:
        is_done = False
        try:
            is_done = self._say_once(run_id, lambda: self._bring_home(run_id))
        finally:
            with self._lock:
                del self._threads[run_id]
                if is_done:
                    self._pauses.pop(run_id, None)
                else:
                    length = min(self._pauses.get(run_id, (0.0, _FIRST_PAUSE_S / 2))[1] * 2, _LONGEST_PAUSE_S)
                    self._pauses[run_id] = time.monotonic() + length, length

    def _tells(self, run_id: str) -> bool:
        """Return whether somebody is to be told of a run: not of those that had ended before, and nobody here followed.

        A run that was followed here, or submitted, has a folder: who begins again tells what was not told.
        """
        if run_id not in self._are_told:
            ended = self._cluster.runs.head(run_id).finished_at
            is_news = ended is None or self._began_at is None or ended >= self._began_at
            has_folder = (self._cluster.settings.evidence.runs_dir / run_id).exists()
            self._are_told[run_id] = is_news or has_folder or run_id in self._wanted
        return self._are_told[run_id]

    def _bring_home(self, run_id: str) -> None:
        """Follow a run until it has ended and is at home, or this ends.

        Raises:
            TekError: It cannot be brought home now.
        """
        with contextlib.closing(self._cluster.collector(run_id, tells=self._tells(run_id))) as collector:
            while not self._stop.is_set():
                if self._step(collector):
                    break
            if collector.view.is_final:  # else what is left is still on the server
                ended = self._cluster.runs.head(run_id).finished_at
                collector.finish()
                with self._lock:
                    self._done[run_id] = ended
                self._tell(f"run {run_id} has ended and is at home in {collector.folder.path}")

    def _step(self, collector: Collector) -> bool:
        try:
            return collector.step(wait_s=_STEP_S)
        except NotFound:
            if not (collector.folder.path / JOURNAL_FILE).is_file():
                raise  # whoever submitted it may take it up again
            self._cluster.submitter.take_up(collector.run_id)
            collector.begin_again()
            self._tell(f"run {collector.run_id} was lost by the server, and is taken up from its folder")
        except ConnectionLost:
            self._stop.wait(_LOST_S)
        return False


def keep_collecting(
    cluster: Cluster, run_ids: Collection[str] = (), *, tell: Callable[[str], None] = lambda _: None
) -> None:
    """Bring runs home until a signal ends it, or those that were named are at home.

    Called from the main thread, of whose process SIGINT and SIGTERM end it.
    """
    from taskexec.runtime.interrupts import Interrupts  # the runtime is heavy, and not needed to keep

    keeper = Keeper(cluster, run_ids, tell=tell)
    worker = threading.Thread(target=keeper.run, name="keeper", daemon=True)
    with Interrupts() as interrupts:
        worker.start()
        while worker.is_alive() and not interrupts.count:
            worker.join(0.2)
        keeper.stop()
        worker.join()
