"""What it costs to be measured: rates with and without a watched worker in turns, and the parts one by one."""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent))

import orjson
from rates import WarmCluster, warm_cluster
from workloads import WORKLOADS, make_plan

from taskexec.cluster import Cluster, embedded_server
from taskexec.cluster.durations import DurationCounter
from taskexec.cluster.metrics import ClusterMetrics
from taskexec.domain.clock import iso_time
from taskexec.domain.program import Completion, Member
from taskexec.observability.metrics import ScrapeServer
from taskexec.plan import build_plan
from taskexec.runtime.meter import Board
from taskexec.settings import load_settings
from taskexec.sources import read_csv
from taskexec.store import connection as scripts

SHAPES = ("1,000 independent", "chain of 200")
CALLS = 100_000
TASKS = 2_000


@contextlib.contextmanager
def scraped(port: int) -> Iterator[None]:
    """Ask a worker every second, as often as anybody would."""
    over = threading.Event()

    def ask() -> None:
        while not over.wait(1.0):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read()

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def free_port() -> int:
    """Return a port that is free now."""
    server = ScrapeServer("127.0.0.1", 0, bytes)
    try:
        return server.port
    finally:
        server.stop()


def measure_rates(folder: Path, repeats: int) -> Iterator[str]:
    """Yield a row for each workload: the two clusters take turns, so that both see the same machine."""
    port = free_port()
    for name in ("off", "on"):
        (folder / name).mkdir()
    with warm_cluster(folder / "off") as off, warm_cluster(folder / "on", metrics__port=port) as on, scraped(port):
        for shape in SHAPES:
            for payload in ("noop", "true"):
                yield _row(shape, payload, off, on, repeats)


def _row(shape: str, payload: str, off: WarmCluster, on: WarmCluster, repeats: int) -> str:
    graph = WORKLOADS[shape]()
    text = make_plan(graph, payload)
    pairs = []
    for number in range(repeats + 1):  # the first is to know durations, and counts for nothing
        order = (off, on) if number % 2 else (on, off)
        found = {cluster: _measure(cluster, text, len(graph)) for cluster in order}
        pairs.append((*found[off], *found[on]))
    rate, cpu_us, watched_rate, watched_cpu_us = (median(column) for column in zip(*pairs[1:], strict=True))
    ratio = median(watched / other for other, _, watched, _ in pairs[1:])
    rates = f"{rate:,.0f} | {watched_rate:,.0f} | {ratio:.2f}"
    return f"| {shape}, {payload} | {rates} | {cpu_us:,.0f} | {watched_cpu_us:,.0f} |"


def _measure(cluster: WarmCluster, text: str, tasks: int) -> tuple[float, float]:
    """Return tasks a second, and the worker's processor time for a task in microseconds."""
    before = cluster.worker_cpu_s()
    rate = tasks / cluster.measure(text).run_s
    return rate, (cluster.worker_cpu_s() - before) / tasks * 1e6


def meter_us() -> float:
    """Return what a task costs the worker that counts it, in microseconds: one that travels alone."""
    meter = Board(["noop"], 2).meter()
    begun = time.process_time()
    for _ in range(CALLS):
        meter.called("claim", 0.0002)
        meter.dispatched("cpu", 0.003, 1)
        meter.called("complete", 0.0002)
        meter.ended("noop", "succeeded", "", 0.004, 120)
    return (time.process_time() - begun) / CALLS * 1e6


def script_us(folder: Path, *, batch: int, repeats: int) -> tuple[float, float]:
    """Return the server's time for a task, in microseconds, without what is counted for good and with it.

    A task is claimed and completed, in messages of `batch`; the library without counting takes turns with ours.
    """
    shared, each = scripts._sources()
    uncounted = shared.replace("  write_counted()\n", "")
    assert uncounted != shared
    settings = load_settings({"evidence.runs_dir": folder / "runs"}, environ={}, cwd=folder)
    plan = build_plan(read_csv("id,agent\n" + "".join(f"t{n},noop\n" for n in range(TASKS)), "benchmark.csv"))
    found: dict[bool, list[float]] = {False: [], True: []}
    original = scripts._sources
    with embedded_server(settings) as server:
        for number in range(2 * repeats + 2):
            is_counted = bool(number % 2)
            scripts._library.cache_clear()
            if not is_counted:
                scripts._sources = lambda: (uncounted, each)
            try:
                found[is_counted].append(_perform(Cluster(server.url, settings), plan, batch))
            finally:
                scripts._sources = original
                scripts._library.cache_clear()
    return min(found[False][1:]), min(found[True][1:])  # of what others on the machine do, the least


def _perform(
    cluster: Cluster, plan: object, batch: int, record: bytes = b'{"agent":"noop"}', *, is_removed: bool = True
) -> float:
    run_id = cluster.submit(plan, dry_run=False).run_id
    before = _spent_us(cluster)
    for first in range(0, TASKS, batch):
        # the whole backlog is worked off in its order, whatever of it lies in a list
        members = [Member(index, 1) for index in range(first, first + batch)]
        claim = cluster.runs.claim(run_id, members, worker="w", token="w/1-1", lease_s=60.0)
        done = [
            Completion(
                member=one.member,
                token="w/1-1",
                succeeded=True,
                reason="",
                exit_status=None,
                record=record,
                result=b"",
                celery_key="",
                celery_result=b"",
                celery_retry=b"",
            )
            for one in claim.members
        ]
        if done:
            cluster.runs.complete(run_id, done, worker="w", agent="noop", spent_s=0.001)
    spent = _spent_us(cluster) - before
    performed = cluster.runs.head(run_id).succeeded
    if is_removed:
        cluster.runs.stop(run_id, kill=True)
        cluster.runs.remove(run_id)
    return spent / performed


def _spent_us(cluster: Cluster) -> int:
    return int(cluster.connection.call("INFO", "commandstats")["cmdstat_fcall"]["usec"])


def page_ms(folder: Path, tasks: int, runs: int) -> float:
    """Return what one look at a cluster with so many runs of so many tasks takes, in milliseconds."""
    settings = load_settings({"evidence.runs_dir": folder / "runs"}, environ={}, cwd=folder)
    plan = build_plan(read_csv("id,agent\n" + "".join(f"t{n},noop\n" for n in range(tasks)), "benchmark.csv"))
    with embedded_server(settings) as server:
        cluster = Cluster(server.url, settings)
        for _ in range(runs):
            cluster.submit(plan, dry_run=False)
        metrics = ClusterMetrics(cluster)
        times = []
        for _ in range(10):
            begun = time.perf_counter()
            metrics._make()
            times.append(time.perf_counter() - begun)
    return median(times) * 1e3


def count_us(folder: Path) -> float:
    """Return what it takes whoever is asked for the page to count a task, in microseconds: of runs that have ended."""
    settings = load_settings({"evidence.runs_dir": folder / "runs"}, environ={}, cwd=folder)
    plan = build_plan(read_csv("id,agent\n" + "".join(f"t{n},noop\n" for n in range(TASKS)), "benchmark.csv"))
    record = orjson.dumps({"started_at": iso_time(1.0), "finished_at": iso_time(2.5), "note": "x" * 600})
    with embedded_server(settings) as server:
        cluster = Cluster(server.url, settings)
        DurationCounter(cluster.connection).count(limit_s=1.0)
        for _ in range(5):
            _perform(cluster, plan, 25, record, is_removed=False)
        begun = time.perf_counter()
        found = DurationCounter(cluster.connection).count(limit_s=60.0)
        spent = time.perf_counter() - begun
    tasks = sum(found["work", "noop"].counts)
    assert tasks == 5 * TASKS, tasks
    return spent / tasks * 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="pairs of each figure (median)")
    repeats = parser.parse_args().repeats
    print(f"a task, counted by its worker: {meter_us():.1f} µs")
    with tempfile.TemporaryDirectory(prefix="tek-bench-") as name:
        folder = Path(name)
        for batch in (1, 25):
            without, counted = script_us(folder, batch=batch, repeats=repeats)
            print(f"a task in messages of {batch}, scripts: {without:.1f} µs, {counted:.1f} µs with what is counted")
        for tasks, runs in ((100, 1), (10_000, 1), (100, 100)):
            print(f"a look at {runs} runs of {tasks:,} tasks: {page_ms(folder, tasks, runs):.1f} ms")
        print(f"a task, counted by whoever is asked for the page: {count_us(folder):.1f} µs")
        print(
            "| tasks/s | not watched | watched | ratio | worker's CPU a task, µs | watched |\n|---|---|---|---|---|---|"
        )
        for row in measure_rates(folder, repeats):
            print(row, flush=True)


if __name__ == "__main__":
    main()
