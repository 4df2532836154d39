"""What a whole cluster tells Prometheus, read from its server: at most once in a while, however often it is asked."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from taskexec.cluster.durations import DurationCounter
from taskexec.domain.counts import EVIDENCE, EXPIRED, LAPSED, LATE, OTHER, is_plain
from taskexec.domain.events import TransitionKind
from taskexec.domain.fit import CPUS, GPUS, MEMORY, SLOTS, WHOLE, Vector
from taskexec.domain.resources import Route
from taskexec.domain.states import FINAL_RUN_STATUSES, TaskStatus
from taskexec.errors import ConnectionLost
from taskexec.observability.metrics import Histogram, Sheet
from taskexec.store.figures import Figures, RedisFigures, WorkerFigures
from taskexec.store.workers import CORDONED, DRAINING, READY_STATE

if TYPE_CHECKING:
    from taskexec.cluster.client import Cluster
    from taskexec.domain.autoscale import NodeClass, Wanted

__all__ = ["ClusterMetrics", "cluster_sheet", "run_sheet_at_home", "tell_nodes"]

_MIB = 2**20
_LASTS_S = 1.0
"""So long a page is good for."""
_COUNTING_S = 2.0
"""So long a page may count how long tasks waited; what it did not come to the next one does."""
_WANTED_LASTS_S = 5.0
"""So long the nodes that are wanted are: finding out looks at what waits, task by task."""
_IDLE_S = 300.0
"""Nodes that nothing needs are not wanted any more after so long, as `tek autoscale` has it by default."""
_KINDS_MOST = 20
"""Agents of tasks at work that are told apart."""
_UNFINISHED = (TaskStatus.WAITING, TaskStatus.READY, TaskStatus.QUEUED, TaskStatus.RUNNING)
_STOPPED = (TaskStatus.FAILED, TaskStatus.SKIPPED, TaskStatus.CANCELLED)
_HELD = ("turn", "place", "delay", "trial")


class ClusterMetrics:
    """The page of a cluster; safe to share between threads."""

    def __init__(
        self, cluster: Cluster, *, classes: Path | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Prepare to read.

        Args:
            cluster: Where from.
            classes: File with the classes of nodes there can be; None does not tell how many are wanted.
            clock: Monotonic seconds.

        Raises:
            UsageError: The file cannot be used.
        """
        from taskexec.settings.node_classes import read_node_classes

        self._cluster = cluster
        self._clock = clock
        self._durations = DurationCounter(cluster.connection)
        self._classes: Sequence[NodeClass] = () if classes is None else read_node_classes(classes)
        self._lock = threading.Lock()
        self._made_at = self._wanted_at = float("-inf")
        self._made = b""
        self._wanted: Mapping[str, Wanted] = {}

    def page(self) -> bytes:
        """Return the page, at most a second old; a server that does not answer is told there."""
        with self._lock:  # whoever comes while it is made gets what is made
            if self._clock() - self._made_at >= _LASTS_S:
                self._made = self._make()
                self._made_at = self._clock()
            return self._made

    def _make(self) -> bytes:
        begun = self._clock()
        try:
            sheet = cluster_sheet(RedisFigures(self._cluster.connection).read())
            for (phase, kind), histogram in self._durations.count(limit_s=_COUNTING_S).items():
                sheet.set(f"taskexec_{phase}_seconds", histogram, kind=kind)
            self._tell_wanted(sheet)
        except ConnectionLost:
            sheet = Sheet()
            sheet.set("taskexec_server_up", 0)
            return sheet.text()
        sheet.set("taskexec_look_seconds", self._clock() - begun)
        return sheet.text()

    def _tell_wanted(self, sheet: Sheet) -> None:
        from taskexec.cluster.autoscale import survey

        if self._classes and self._clock() - self._wanted_at >= _WANTED_LASTS_S:
            self._wanted = survey(self._cluster, self._classes, idle_s=_IDLE_S)
            self._wanted_at = self._clock()
        tell_nodes(sheet, self._wanted)


def run_sheet_at_home(folder: Path, *, scripts: Mapping[str, Histogram]) -> Sheet:
    """Return what is told of a run whose evidence is at home; `scripts` are what its submitter has measured.

    Raises:
        OSError, ValueError: Its folder cannot be read.
    """
    from taskexec.cluster.histories import timeline_at_home
    from taskexec.observability.metrics import run_sheet

    timeline = timeline_at_home(folder)
    mark = str(TransitionKind.REFUSED).encode()
    with (folder / "ledger.jsonl").open("rb") as ledger:
        late = sum(orjson.loads(line)["event"] == TransitionKind.REFUSED for line in ledger if mark in line)
    source = str(timeline.plan.get("source") or "")
    size = sum(_size_of(entry) for entry in folder.rglob("*"))
    return run_sheet(timeline, plan=source, evidence_bytes=size, late=late, scripts=scripts)


def _size_of(path: Path) -> int:
    return path.lstat().st_size if path.is_file() and not path.is_symlink() else 0


def tell_nodes(sheet: Sheet, wanted: Mapping[str, Wanted]) -> None:
    """Tell how many nodes of each class there are, and are wanted."""
    for name, figure in wanted.items():
        sheet.set("taskexec_nodes", figure.now, **{"class": name})
        sheet.set("taskexec_nodes_wanted", figure.wanted, **{"class": name})


def cluster_sheet(figures: Figures) -> Sheet:
    """Return what is told of a cluster."""
    sheet = Sheet()
    sheet.set("taskexec_server_up", 1)
    _tell_runs(sheet, figures)
    _tell_counted(sheet, figures.counted)
    _tell_queues(sheet, figures)
    _tell_workers(sheet, figures.workers)
    if figures.server is not None:
        server = figures.server
        sheet.set("taskexec_server_memory_used_bytes", server.memory_used_bytes)
        if server.memory_limit_bytes:
            sheet.set("taskexec_server_memory_limit_bytes", server.memory_limit_bytes)
        sheet.set("taskexec_server_clients", server.clients)
        sheet.set("taskexec_server_scripts_total", server.scripts)
        sheet.set("taskexec_server_script_seconds_total", server.scripts_s)
    return sheet


def _tell_runs(sheet: Sheet, figures: Figures) -> None:
    sheet.set("taskexec_runs", figures.runs)
    sheet.set("taskexec_runs_past_deadline", figures.runs_past_deadline)
    for status in _UNFINISHED:
        sheet.set("taskexec_tasks", figures.tasks[status], state=str(status))
    for cause in _HELD:
        sheet.set("taskexec_tasks_held", figures.held[cause], cause=cause)
    common = [kind for kind, _ in figures.running.most_common() if kind != OTHER and is_plain(kind)][:_KINDS_MOST]
    running = Counter({OTHER: 0} | dict.fromkeys(common, 0))
    for kind, count in figures.running.items():
        running[kind if kind in running else OTHER] += count
    for kind, count in running.items():
        sheet.set("taskexec_tasks_running", count, kind=kind)


def _tell_counted(sheet: Sheet, counted: Mapping[str, int]) -> None:
    for name in ("taskexec_runs_expired_total", EXPIRED), ("taskexec_leases_lapsed_total", LAPSED):
        sheet.set(name[0], counted.get(name[1], 0))
    sheet.set("taskexec_late_results_refused_total", counted.get(LATE, 0))
    sheet.set("taskexec_evidence_streamed_bytes_total", counted.get(EVIDENCE, 0))
    for status in sorted(FINAL_RUN_STATUSES):  # with a 0 from the start, so that the first one shows as an increase
        sheet.set("taskexec_runs_ended_total", counted.get(f"runs {status}", 0), status=str(status))
    for state in _STOPPED:
        sheet.set("taskexec_tasks_ended_total", counted.get(f"tasks {state}", 0), state=str(state))
    succeeded = 0
    for counter, count in counted.items():
        word, _, rest = counter.partition(" ")
        if word != "attempts":
            continue
        outcome, reason, kind = rest.split(" ", 2)
        told = "" if reason == "-" else reason
        sheet.set("taskexec_attempts_total", count, outcome=outcome, kind=kind, reason=told)
        succeeded += count if outcome == TaskStatus.SUCCEEDED else 0
    sheet.set("taskexec_tasks_ended_total", succeeded, state=str(TaskStatus.SUCCEEDED))


def _tell_queues(sheet: Sheet, figures: Figures) -> None:
    for route in map(str, Route):
        sheet.set("taskexec_queue_tasks", figures.queued[route], route=route)
        sheet.set("taskexec_queue_messages", figures.messages.get(route, 0), route=route)
        sheet.set("taskexec_queue_oldest_seconds", figures.oldest_s.get(route, 0.0), route=route)


def _tell_workers(sheet: Sheet, workers: Sequence[WorkerFigures]) -> None:
    states = Counter({READY_STATE: 0, CORDONED: 0, DRAINING: 0})
    routes = Counter(dict.fromkeys(map(str, Route), 0))
    busy = []
    for worker in workers:
        states[worker.state if worker.state in states else CORDONED] += 1
        if worker.state == READY_STATE:
            routes.update(set(worker.record["classes"]) & set(routes))
        load = worker.record.get("load", {})
        busy += [gpu["busy_percent"] / 100 for gpu in load.get("gpus", ()) if "busy_percent" in gpu]
    for state, count in states.items():
        sheet.set("taskexec_workers", count, state=state)
    for route, count in routes.items():
        sheet.set("taskexec_route_workers", count, route=route)
    _tell_amounts(sheet, "", [worker.total for worker in workers])
    used = [[one - left for one, left in zip(worker.total, worker.free, strict=False)] for worker in workers]
    _tell_amounts(sheet, "_used", used)
    if busy:
        sheet.set("taskexec_gpus_busy_ratio", sum(busy) / len(busy))


def _tell_amounts(sheet: Sheet, suffix: str, vectors: Sequence[Vector]) -> None:
    sheet.set(f"taskexec_slots{suffix}", sum(vector[SLOTS] for vector in vectors))
    sheet.set(f"taskexec_cores{suffix}", sum(vector[CPUS] for vector in vectors) / WHOLE)
    sheet.set(f"taskexec_memory{suffix}_bytes", sum(vector[MEMORY] for vector in vectors) * _MIB)
    sheet.set(f"taskexec_gpus{suffix}", sum(sum(vector[GPUS::2]) for vector in vectors) / WHOLE)
