"""What exactly once costs: rates beside a worker without fence and ledger, and the time to recover from a death."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from workloads import WORKLOADS, make_plan

from taskexec.cluster import Cluster, embedded_server, worker_supervisor
from taskexec.domain.events import TransitionKind, parse_entry
from taskexec.domain.resources import Capacity, Route
from taskexec.plan import build_plan
from taskexec.runtime.supervisor import WorkerSupervisor
from taskexec.settings import load_settings
from taskexec.sources import read_csv

__all__ = ["measure_fence"]

UNFENCED = Path(__file__).with_name("unfenced.py")
SHAPES = ("1,000 independent", "20 × 50 layers", "50 × 100 layers")
SLOTS = 2
LEASE_S = 2.0
LOOK_S = 0.01
"""Between two looks at the server: a measurement waits for real workers, and must not take their core meanwhile."""


@contextmanager
def _cluster(folder: Path, *, fenced: bool) -> Iterator[Cluster]:
    """Start a server and a worker, with or without fence."""
    folder.mkdir()
    settings = load_settings({"evidence.runs_dir": folder / "runs"}, environ={}, cwd=folder)
    with embedded_server(settings) as server:
        cluster = Cluster(server.url, settings)
        supervisor = _supervisor(cluster, folder, fenced=fenced)
        supervisor.start()
        try:
            while not cluster.workers.listed():
                time.sleep(LOOK_S)
            yield cluster
        finally:
            supervisor.kill()


def _supervisor(cluster: Cluster, folder: Path, *, fenced: bool = True) -> WorkerSupervisor:
    capacity = Capacity(cpus=64.0, memory_mib=65_536, slots=SLOTS)
    made = worker_supervisor(cluster, routes=list(Route), capacity=capacity, log_path=folder / "worker.log")
    launch = made._launch

    def launch_unfenced(name: str, scratch: Path) -> tuple[list[str], Mapping[str, str]]:
        return [sys.executable, str(UNFENCED)], launch(name, scratch)[1]

    if not fenced:
        made._launch = launch_unfenced
    return made


def _rate(cluster: Cluster, text: str) -> float:
    """Return the tasks a second of one run, by the server's clock; nobody brings it home meanwhile."""
    plan = build_plan(read_csv(text, "benchmark.csv"))
    run_id = cluster.submit(plan, dry_run=False).run_id
    while (head := cluster.runs.head(run_id)).finished_at is None:
        time.sleep(LOOK_S)
    assert head.started_at is not None
    assert head.status == "succeeded", head
    return len(plan.tasks) / (head.finished_at - head.started_at)


def _measure_rates(folder: Path, repeats: int) -> Iterator[str]:
    with _cluster(folder / "fenced", fenced=True) as fenced, _cluster(folder / "unfenced", fenced=False) as unfenced:
        for shape in SHAPES:
            for payload in ("noop", "true"):
                text = make_plan(WORKLOADS[shape](), payload)
                for cluster in (fenced, unfenced):
                    _rate(cluster, text)  # durations known, helpers started
                pairs = [(_rate(fenced, text), _rate(unfenced, text)) for _ in range(repeats)]
                ratio = median(one / other for one, other in pairs)
                with_fence, without = (median(column) for column in zip(*pairs, strict=True))
                name = "`/bin/true`" if payload == "true" else "noop agent"
                yield f"| {shape}, {name} | {with_fence:,.0f} | {without:,.0f} | {ratio:.2f} |"


def _recovery(folder: Path, *, tended: bool) -> float:
    """Return the time from a worker's death to the next start of its task, in lease periods.

    With `tended` its supervisor sees it die; else its machine is gone, as far as anybody can tell.
    """
    folder.mkdir()
    values = {"evidence.runs_dir": folder / "runs", "worker.lease_s": LEASE_S}
    settings = load_settings(values, environ={}, cwd=folder)
    with embedded_server(settings) as server:
        cluster = Cluster(server.url, settings)
        workers = [_supervisor(cluster, folder), _supervisor(cluster, folder)]
        for worker in workers:
            worker.start()
        try:
            while len(cluster.workers.listed()) < len(workers):
                time.sleep(LOOK_S)
            return _time_to_recover(cluster, workers, tended=tended)
        finally:
            for worker in workers:
                worker.kill()


def _time_to_recover(cluster: Cluster, workers: Sequence[WorkerSupervisor], *, tended: bool) -> float:
    plan = build_plan(read_csv("id,command\na,[ $TEK_ATTEMPT = 2 ] || sleep 300\n", "benchmark.csv"))
    run_id = cluster.submit(plan, dry_run=False).run_id
    while not (starts := _starts(cluster, run_id)):
        time.sleep(LOOK_S)
    time.sleep(LEASE_S)  # reaping has begun its regular rounds
    holder = next(worker for worker in workers if worker.name == starts[0][1])
    assert holder.pid is not None
    seconds, microseconds = cluster.connection.call("TIME")
    os.killpg(holder.pid, signal.SIGKILL)
    while len(starts := _starts(cluster, run_id)) < 2:
        if tended:
            holder.tend()
        time.sleep(LOOK_S)
    return (starts[1][0] - (int(seconds) * 1_000_000 + int(microseconds))) / 1e6 / LEASE_S


def _starts(cluster: Cluster, run_id: str) -> list[tuple[int, str]]:
    steps = (step for entry in cluster.runs.read_log(run_id) for step in parse_entry(entry))
    return [(step.at_us, step.worker) for step in steps if step.kind is TransitionKind.RUNNING]


def measure_fence(folder: Path, repeats: int) -> list[str]:
    """Return the lines of the table."""
    rows = list(_measure_rates(folder, repeats))
    tended = median(_recovery(folder / f"tended-{number}", tended=True) for number in range(repeats))
    alone = median(_recovery(folder / f"alone-{number}", tended=False) for number in range(repeats))
    return [
        "| workload, tasks/s | fence, ledger, signatures | without them | ratio |",
        "|---|---|---|---|",
        *rows,
        "",
        (
            "From the death of a worker to the next start of the task that it held, in lease periods of "
            f"{LEASE_S:g} s: {tended:.2f} when its supervisor sees it, {alone:.2f} when its machine is gone."
        ),
    ]


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory(prefix="tek-bench-") as name:
        print("\n".join(measure_fence(Path(name), int(sys.argv[1]) if len(sys.argv) > 1 else 3)))
