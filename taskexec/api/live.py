"""The runs that somebody looks at, each folded once for everybody, and how many are kept.

A run is read when it is first asked for, taken up to date when it is asked for again, and followed only while it has
readers of its events. What is kept is bounded by the number of tasks.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from pathlib import Path

from taskexec.api.live_run import LiveRun
from taskexec.api.log_readers import LogReaders
from taskexec.api.origins import HomeOrigin, Origin, ServerOrigin
from taskexec.api.run_lists import HomeLines
from taskexec.cluster import Cluster
from taskexec.domain.names import is_run_id
from taskexec.domain.secrets import Redactor
from taskexec.errors import ConnectionLost, NotFound

__all__ = ["Hub"]

_MOST_TASKS = 25_000
"""So many tasks of runs are kept; a run that is larger, or that is watched, is kept as well."""
_MOST_RUNS = 32
_LOOK_S = 5.0
"""So often the server is asked for a run that was read from its folder: somebody may have taken it up there."""
_IDLE_S = 60.0
"""A run that has ended is forgotten when nobody has asked for it for so long."""


class Hub:
    """Runs by their ids."""

    def __init__(self, cluster: Cluster, runs_dir: Path) -> None:
        """Look at the runs of a cluster, and at those in a folder at home."""
        self._cluster = cluster
        self._runs_dir = runs_dir
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[LiveRun, float]] = OrderedDict()
        self._loading: dict[str, threading.Lock] = {}
        self.redactor = Redactor.of(os.environ)
        """Keeps secrets out of what is shown of plans."""
        self.at_home = HomeLines(runs_dir, self.redactor)
        """The runs at home, in lines."""
        self.log_readers = LogReaders()
        """Those who follow what a task writes."""
        self.telling = threading.Lock()
        """Held by who needs the whole ledger of a run in memory, or all of its plan: one at a time."""

    def folder(self, run_id: str) -> Path:
        """Return where a run's folder at home is, or would be.

        Raises:
            NotFound: This cannot be the id of a run.
        """
        if not is_run_id(run_id):
            raise _no_run(run_id)
        return self._runs_dir / run_id

    def run(self, run_id: str) -> LiveRun:
        """Return a run as it stands now.

        Raises:
            NotFound: Neither the server nor the folder at home knows it.
            ConnectionLost: The server did not answer, and the folder does not know how it ended.
        """
        run = self._known(run_id) or self._load(run_id)
        if run.is_at_home and self._is_back(run):
            self._forget(run)
            run = self._load(run_id)
        try:
            run.refresh()
        except NotFound:
            self._forget(run)
            run = self._load(run_id)
        except ConnectionLost:
            at_home = self._at_home(run_id)
            if at_home is None:
                raise
            self._forget(run)
            run = LiveRun(run_id, at_home)
            self._keep(run)
        return run

    def planned(self, run_id: str) -> LiveRun:
        """Return a run whose plan is known: while its log is read for the first time, without waiting for that.

        Raises:
            NotFound, ConnectionLost: As `run`.
        """
        run = self._known(run_id) or self._load(run_id)
        return run if run.is_unread else self.run(run_id)

    def _known(self, run_id: str) -> LiveRun | None:
        with self._lock:
            found = self._kept.get(run_id)
            if found is None or found[0].gone or found[0].stamp != found[0].origin.stamp:
                return None
            self._kept[run_id] = found[0], time.monotonic()
            self._kept.move_to_end(run_id)
            return found[0]

    def _is_back(self, run: LiveRun) -> bool:
        """Return whether the server knows a run that was read from its folder; asked now and then."""
        now = time.monotonic()
        if now - run.looked < _LOOK_S:
            return False
        run.looked = now
        try:
            return self._cluster.runs.first_entry(run.run_id) is not None
        except ConnectionLost:
            return False

    def _load(self, run_id: str) -> LiveRun:
        folder = self.folder(run_id)
        with self._lock:
            loading = self._loading.setdefault(run_id, threading.Lock())
        with loading:
            try:
                run = self._known(run_id)
                if run is None:
                    run = self._read(run_id, folder)
                    self._keep(run)
                return run
            finally:
                with self._lock:
                    self._loading.pop(run_id, None)

    def _read(self, run_id: str, folder: Path) -> LiveRun:
        try:
            return LiveRun(run_id, ServerOrigin(self._cluster.runs, run_id, folder, self.redactor))
        except NotFound:
            at_home = self._at_home(run_id, must_have_ended=False)
            if at_home is None:
                raise _no_run(run_id) from None
        except ConnectionLost:
            at_home = self._at_home(run_id)
            if at_home is None:
                raise
        return LiveRun(run_id, at_home)

    def _at_home(self, run_id: str, *, must_have_ended: bool = True) -> Origin | None:
        """Return the run as its folder at home has it; None when there is none, or it does not know its end."""
        folder = self.folder(run_id)
        needed = ["plan.json", "ledger.jsonl", *(["run.json"] if must_have_ended else [])]
        is_there = not folder.is_symlink() and all((folder / name).is_file() for name in needed)
        return HomeOrigin(folder, self.redactor) if is_there else None

    def _keep(self, run: LiveRun) -> None:
        now = time.monotonic()
        with self._lock:
            self._kept[run.run_id] = run, now
            self._kept.move_to_end(run.run_id)
            for run_id, (other, used) in list(self._kept.items()):
                if other is run or other.is_watched:
                    continue
                is_idle = other.timeline.view.is_final and now - used > _IDLE_S
                if is_idle or len(self._kept) > _MOST_RUNS or self._tasks() > _MOST_TASKS:
                    del self._kept[run_id]

    def _tasks(self) -> int:
        return sum(run.size for run, _ in self._kept.values())

    def _forget(self, run: LiveRun) -> None:
        with self._lock:
            found = self._kept.get(run.run_id)
            if found is not None and found[0] is run:
                del self._kept[run.run_id]

    @property
    def followed(self) -> list[str]:
        """The runs that are followed for readers of their events."""
        with self._lock:
            return [run_id for run_id, (run, _) in self._kept.items() if run.is_watched]

    def close(self) -> None:
        """Stop following all runs, and tell their readers."""
        with self._lock:
            runs = [run for run, _ in self._kept.values()]
            self._kept.clear()
        for run in runs:
            run.close()
        self.log_readers.close()


def _no_run(run_id: str) -> NotFound:
    return NotFound(f"there is no run `{run_id}`", hint="`tek runs` and `GET /api/v1/runs` list the runs")
