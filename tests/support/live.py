"""A real server with real workers, runs on it, and what they brought home."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import shutil
import signal
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from support.isolation import Place
from support.waiting import wait_until

from taskexec.cluster import Cluster, kept_server, worker_supervisor
from taskexec.domain.resources import Capacity, Route
from taskexec.errors import NotFound
from taskexec.plan import Located, Plan, build_plan
from taskexec.runtime.supervisor import WorkerSupervisor
from taskexec.settings import load_settings
from taskexec.sources import read_csv
from taskexec.store.embedded import EmbeddedServer
from taskexec.submission import Collector

__all__ = ["Home", "LiveCluster", "Task", "csv_text", "live_cluster", "make_plan"]

Task = Mapping[str, object]


def csv_text(tasks: Sequence[Task]) -> str:
    """Return the plan of some tasks, each with the columns it needs."""
    columns = list(dict.fromkeys(name for task in tasks for name in ("id", *task)))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(tasks)
    return text.getvalue()


def make_plan(
    tasks: Sequence[Task],
    *,
    satisfied: Collection[str] = (),
    payloads: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> Plan:
    """Return the plan of some tasks; what a CSV file cannot say comes by id: what is done, and whole payloads."""
    draft = read_csv(csv_text(tasks), "plan.csv")
    for task in draft.tasks:
        if task.id.value in satisfied:
            task.satisfied = Located(True, task.id.place)
        task.payload = payloads.get(task.id.value, task.payload)
    return build_plan(draft)


class Home:
    """The folder of a run, as its submitter sees it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.summary: dict[str, Any] = json.loads((folder / "run.json").read_text())
        self.results: dict[str, dict[str, Any]] = {result["task"]: result for result in self.summary["results"]}
        self.ledger = [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines()]

    @property
    def statuses(self) -> dict[str, str]:
        return {task: result["status"] for task, result in self.results.items()}

    def attempt(self, task: str, number: int = 1) -> Path:
        folders = json.loads((self.folder / "plan.json").read_text())["folders"]
        return self.folder / "tasks" / folders.get(task, task) / f"attempt-{number}"

    def record(self, task: str, number: int = 1) -> dict[str, Any]:
        record: dict[str, Any] = json.loads((self.attempt(task, number) / "result.json").read_text())
        return record

    def stdout(self, task: str, number: int = 1) -> str:
        return (self.attempt(task, number) / "stdout.log").read_text()

    def transitions(self, event: str, task: str | None = None) -> list[dict[str, Any]]:
        return [line for line in self.ledger if line["event"] == event and task in (None, line.get("task"))]

    def order_violations(self, tasks: Sequence[Task]) -> list[str]:
        """Return what started before something it depends on had finished, by the server's clock."""
        return [
            f"{task['id']} started before {dependency} finished"
            for task in tasks
            for dependency in str(task.get("depends_on", "")).split(";")
            if dependency and self.results[str(task["id"])]["started_at"] < self.results[dependency]["finished_at"]
        ]


class LiveCluster:
    """A server, workers on it that are tended while something is waited for, and the runs on it."""

    def __init__(self, place: Place, server: EmbeddedServer, **settings: object) -> None:
        self.place = place
        self.server = server
        self.project = place.folder / "project"
        self.project.mkdir(exist_ok=True)
        defaults = {
            "worker.lease_s": 2.0,
            "worker.reap_interval_s": 0.3,
            "worker.kill_grace_s": 0.5,
            "worker.project_dir": self.project,
            "evidence.runs_dir": place.folder / "runs",
            "evidence.output_limit_mib": 1,
        }
        self.settings = load_settings(defaults | settings, cwd=self.project, environ={})
        self.cluster = Cluster(server.url, self.settings)
        self.store = self.cluster.runs
        self.supervisors: list[WorkerSupervisor] = []

    def start_worker(self, slots: int = 4, routes: Sequence[Route] = tuple(Route)) -> WorkerSupervisor:
        """Start a worker and wait until it is registered."""
        capacity = Capacity(cpus=64.0, memory_mib=65_536, slots=slots)
        log = self.place.folder / "worker.log"
        supervisor = worker_supervisor(self.cluster, routes=routes, capacity=capacity, log_path=log)
        self.supervisors.append(supervisor)
        supervisor.start()
        self.await_worker(supervisor)
        return supervisor

    def await_worker(self, supervisor: WorkerSupervisor) -> None:
        wait_until(lambda: supervisor.name in self.worker_names(), "the worker", timeout_s=30.0, diagnose=self.log)

    def worker_names(self) -> list[str]:
        return [worker["name"] for worker in self.cluster.workers.listed()]

    def log(self) -> str:
        path = self.place.folder / "worker.log"
        return path.read_text()[-2000:] if path.is_file() else "no log"

    def submit(self, tasks: Sequence[Task] | Plan, *, dry_run: bool = False, fail_fast: bool = False) -> str:
        plan = tasks if isinstance(tasks, Plan) else make_plan(tasks)
        return self.cluster.submit(plan, dry_run=dry_run, fail_fast=fail_fast).run_id

    def lose_all_data(self) -> None:
        """Kill the server and start it again with nothing: as one whose disk was replaced, or that never had one."""
        assert self.server.pid is not None
        os.kill(self.server.pid, signal.SIGKILL)
        shutil.rmtree(self.server.data_dir / "appendonlydir")
        wait_until(self.server.tend, "the server to be started again")

    def state(self, run_id: str, index: int = 0) -> str:
        """Return the letter and attempt of a task, such as `R1`; `W` while it waits."""
        return self.store.states(run_id).get(index, "W")

    def await_state(self, run_id: str, state: str, index: int = 0) -> None:
        wait_until(
            lambda: self.state(run_id, index) == state,
            f"state {state} of task {index}",
            timeout_s=30.0,
            diagnose=lambda: (self.store.states(run_id), self.log()),
        )

    def finish(self, run_id: str, *, timeout_s: float = 40.0, tend: bool = False) -> Home:
        """Follow a run to its end and bring it home; `tend` starts again what dies.

        A run that its server has lost is taken up from its folder.
        """
        deadline = time.monotonic() + timeout_s
        with contextlib.closing(self.cluster.collector(run_id)) as collector:
            while not self._step(collector):
                if tend:
                    for supervisor in self.supervisors:
                        supervisor.tend()
                if time.monotonic() > deadline:
                    self.store.stop(run_id, kill=True)
                    raise AssertionError(f"run {run_id} did not end; {self.store.states(run_id)}; {self.log()}")
            collector.finish()
            return Home(collector.folder.path)

    def _step(self, collector: Collector) -> bool:
        try:
            return collector.step(wait_s=0.1)
        except NotFound:
            self.cluster.submitter.take_up(collector.run_id)
            collector.begin_again()
            return False

    def carry_out(self, tasks: Sequence[Task] | Plan, *, dry_run: bool = False, fail_fast: bool = False) -> Home:
        """Submit a plan and follow it to its end."""
        return self.finish(self.submit(tasks, dry_run=dry_run, fail_fast=fail_fast))


@contextlib.contextmanager
def live_cluster(place: Place, **settings: object) -> Iterator[LiveCluster]:
    """Give a server without workers; it and its workers end with the context."""
    with kept_server(load_settings({}, cwd=place.folder, environ={}), place.folder / "data") as server:
        live = LiveCluster(place, server, **settings)
        try:
            yield live
        finally:
            for supervisor in live.supervisors:
                supervisor.kill()
            live.cluster.connection.close()
