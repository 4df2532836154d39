"""Tasks a second on a warm cluster: one embedded server, one worker with two slots, evidence on."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from taskexec.cluster import Cluster, embedded_server, worker_supervisor
from taskexec.domain.resources import Route
from taskexec.placement import measure_offer
from taskexec.plan import build_plan
from taskexec.settings import WorkerSettings, load_settings
from taskexec.sources import read_csv

__all__ = ["Rate", "WarmCluster", "warm_cluster"]

SLOTS = 2


@dataclass(frozen=True, slots=True)
class Rate:
    """One run of a workload."""

    run_s: float
    """From the start of the run to the end of its last task, by the server's clock."""
    home_s: float
    """From submission until all evidence is at home."""


class WarmCluster:
    """A cluster that has already run something."""

    def __init__(self, cluster: Cluster, worker_pid: int) -> None:
        self._cluster = cluster
        self._worker_pid = worker_pid
        self.url = cluster.url

    def measure(self, plan_text: str) -> Rate:
        """Run a plan and bring it home."""
        plan = build_plan(read_csv(plan_text, "benchmark.csv"))
        begun = time.perf_counter()
        run_id = self._cluster.submit(plan, dry_run=False).run_id
        with contextlib.closing(self._cluster.collector(run_id)) as collector:
            while not collector.step(wait_s=0.2):
                pass
            summary = collector.finish()
        home_s = time.perf_counter() - begun
        assert summary["counts"] == {"succeeded": len(plan.tasks)}, summary["counts"]
        head = self._cluster.runs.head(run_id)
        assert head.finished_at is not None
        assert head.started_at is not None
        return Rate(head.finished_at - head.started_at, home_s)

    def worker_cpu_s(self) -> float:
        """Return the processor time that the processes of the worker have used, without that of tasks' processes."""
        main = psutil.Process(self._worker_pid)
        return sum(sum(process.cpu_times()[:2]) for process in (main, *main.children()))

    def resident_mb(self) -> list[float]:
        """Return the proportional set size of each process of the worker, in MB."""
        main = psutil.Process(self._worker_pid)
        return [process.memory_full_info().pss / 1e6 for process in (main, *main.children())]


@contextlib.contextmanager
def warm_cluster(folder: Path, **settings_by_key: object) -> Iterator[WarmCluster]:
    """Start a cluster for as long as the context lasts; keywords are settings, with `__` for the dot."""
    others = {key.replace("__", "."): value for key, value in settings_by_key.items()}
    settings = load_settings({"evidence.runs_dir": folder / "runs"} | others, environ={}, cwd=folder)
    with embedded_server(settings) as server:
        cluster = Cluster(server.url, settings)
        supervisor = worker_supervisor(
            cluster,
            routes=list(Route),
            capacity=measure_offer(WorkerSettings(concurrency=SLOTS)).capacity,
            log_path=folder / "worker.log",
        )
        supervisor.start()
        try:
            while not cluster.workers.listed():
                time.sleep(0.02)
            assert supervisor.pid is not None
            yield WarmCluster(cluster, supervisor.pid)
        finally:
            supervisor.kill()
