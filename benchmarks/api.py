"""What the API takes while a run goes on beside two workers: answers, readers of events, memory, and from the run.

Everything is on loopback of one machine. The floor is the same server program (uvicorn) that answers with a constant,
asked at the same pace; figures of a busy machine mean something only beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import httpx2
import psutil

from taskexec.cluster import Cluster, embedded_server, worker_supervisor
from taskexec.domain.resources import Route
from taskexec.placement import measure_offer
from taskexec.plan import Plan, build_plan
from taskexec.settings import WorkerSettings, load_settings
from taskexec.sources import read_csv

_SERVE = """
import sys
from pathlib import Path
import uvicorn
if sys.argv[1] == "floor":
    async def app(scope, receive, send):
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": b"x" * 500})
else:
    from taskexec.api.access import Caller, Role
    from taskexec.api.app import make_app
    from taskexec.api.services import Services
    from taskexec.cluster import Cluster
    from taskexec.settings import load_settings

    class Open:
        async def admit(self, request, role):
            return Caller("benchmark", "benchmark", Role.ADMIN)

        async def still_counts(self, request):
            return True

    options = {"evidence.runs_dir": Path(sys.argv[3]), "api.connections": 2000}
    settings = load_settings(options, environ={}, cwd=Path(sys.argv[3]).parent)
    app = make_app(Services(Cluster(sys.argv[4], settings), settings, Open()))
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="error", timeout_graceful_shutdown=1)
"""


@dataclass(frozen=True, slots=True)
class Served:
    """A server process."""

    url: str
    process: psutil.Process

    def memory_mb(self) -> float:
        """Return its proportional set size in MB."""
        return float(self.process.memory_full_info().pss / 1e6)


@contextlib.contextmanager
def served(kind: str, *arguments: str) -> Iterator[Served]:
    """Start a server process for as long as the context lasts."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-c", _SERVE, kind, str(port), *arguments])
    url = f"http://127.0.0.1:{port}"
    try:
        while True:
            with contextlib.suppress(httpx2.TransportError):
                httpx2.get(f"{url}/healthz", timeout=2.0)
                break
            assert process.poll() is None, "the server ended"
            time.sleep(0.05)  # it does not answer yet
        yield Served(url, psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait(20)


def layered_plan(tasks: int, command: str) -> Plan:
    """Return a plan of so many tasks, each behind two of the hundred before it."""
    source = random.Random(1)
    rows = ["id,title,command,depends_on,queue"]
    for index in range(tasks):
        first = index - 200
        before = [source.randrange(first, first + 100) for _ in range(2)] if first >= 0 else []
        names = ";".join(f"step-{one:05d}" for one in sorted(set(before)))
        rows.append(f"step-{index:05d},Step {index} of the whole,{command},{names},lane {index % 7}")
    return build_plan(read_csv("\n".join(rows) + "\n", "benchmark.csv"))


@contextlib.contextmanager
def cluster_with_workers(folder: Path, workers: int) -> Iterator[Cluster]:
    """Give a cluster with some workers of one slot each."""
    settings = load_settings({"evidence.runs_dir": folder / "runs"}, environ={}, cwd=folder)
    with embedded_server(settings) as server, contextlib.ExitStack() as stack:
        cluster = Cluster(server.url, settings)
        for number in range(workers):
            supervisor = worker_supervisor(
                cluster,
                routes=list(Route),
                capacity=measure_offer(WorkerSettings(concurrency=1)).capacity,
                log_path=folder / f"worker-{number}.log",
            )
            supervisor.start()
            stack.callback(supervisor.kill)
        while len(cluster.workers.listed()) < workers:
            time.sleep(0.05)  # they have not registered yet
        yield cluster


async def ask(url: str, paths: Sequence[str], *, rate: float, seconds: float) -> list[float]:
    """Ask for paths in turn at a pace, whether or not earlier answers have come; return the seconds each took."""
    took: list[float] = []

    async def one(client: httpx2.AsyncClient, path: str, due: float) -> None:
        answer = await client.get(url + path)
        assert answer.status_code == 200, (path, answer.status_code, answer.text[:300])
        took.append(time.perf_counter() - due)

    limits = httpx2.Limits(max_connections=100, max_keepalive_connections=100)
    async with httpx2.AsyncClient(timeout=30.0, limits=limits) as client, asyncio.TaskGroup() as group:
        begun = time.perf_counter()
        for number in range(int(rate * seconds)):
            due = begun + number / rate
            await asyncio.sleep(max(due - time.perf_counter(), 0))
            group.create_task(one(client, paths[number % len(paths)], due))
    return took


def p95_ms(seconds: Sequence[float]) -> float:
    """Return the 95th percentile in milliseconds."""
    return sorted(seconds)[int(0.95 * (len(seconds) - 1))] * 1000


def paths_of(run_id: str, tasks: int) -> list[str]:
    """Return what a page and a program ask for, mixed."""
    run = f"/api/v1/runs/{run_id}"
    some = [f"{run}/tasks/step-{index:05d}" for index in range(0, tasks, max(tasks // 7, 1))]
    lists = [f"{run}/tasks?status=running", f"{run}/tasks?search=step-000&limit=50", f"{run}/tasks?limit=100"]
    return [run, f"{run}/timeline", *lists, "/api/v1/runs", "/api/v1/workers", "/api/v1/queues", f"{run}/graph", *some]


async def _read_events(url: str, ready: asyncio.Semaphore, lags: list[float], seconds: float) -> None:
    """Read one stream: how old the newest change is when it has come, by the one clock of this machine."""
    host, port = url.removeprefix("http://").partition("/")[0].split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=32 * 1024 * 1024)
    path = "/" + url.removeprefix("http://").partition("/")[2]
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    first = True
    with contextlib.suppress(TimeoutError, asyncio.IncompleteReadError):
        async with asyncio.timeout(seconds):
            while line := await reader.readline():
                if line.startswith(b'data: {"at_ms"'):
                    at_ms = int(line[15:].partition(b",")[0])
                    if not first:
                        lags.append(time.time() - at_ms / 1000)
                    elif ready:
                        ready.release()
                    first = False
    writer.close()


async def read_events(url: str, readers: int, seconds: float) -> list[float]:
    """Have many read the events of one run for a while; return how old each message was when it came."""
    lags: list[float] = []
    ready = asyncio.Semaphore(0)
    found = httpx2.get(url.removesuffix("/events") + "/timeline", timeout=30.0).json()["last_id"]
    async with asyncio.TaskGroup() as group:
        for _ in range(readers):
            group.create_task(_read_events(f"{url}?after={found}", ready, lags, seconds))
    return lags


def run_seconds(cluster: Cluster, run_id: str) -> float:
    """Wait for the end of a run; return how long it took, by the server's clock."""
    while (head := cluster.runs.head(run_id)).finished_at is None:
        time.sleep(0.1)  # a rare look, which takes nothing from what is measured
    assert head.started_at is not None
    return head.finished_at - head.started_at


def cost_of_watching(cluster: Cluster, api: Served, tasks: int, pairs: int) -> list[tuple[float, float]]:
    """Return tasks a second of runs that nobody watches and that one reader watches, in pairs that take turns."""
    plan = layered_plan(tasks, "/bin/true")
    rates: list[tuple[float, float]] = []
    for pair in range(pairs + 1):
        found = {}
        for is_watched in (pair % 2 == 0, pair % 2 == 1):
            run_id = cluster.submit(plan, dry_run=False).run_id
            reader = None
            if is_watched:
                url = f"{api.url}/api/v1/runs/{run_id}/events"
                reader = subprocess.Popen(["curl", "-sN", "-o", os.devnull, url])
            found[is_watched] = tasks / run_seconds(cluster, run_id)
            if reader is not None:
                reader.terminate()
                reader.wait()
        if pair:  # the first one warms up
            rates.append((found[False], found[True]))
    return rates


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return all figures."""
    figures: dict[str, Any] = {"tasks": options.tasks, "readers": options.readers}
    with cluster_with_workers(folder, 2) as cluster, served("api", str(folder / "runs"), cluster.url) as api:
        figures["memory_at_rest_mb"] = round(api.memory_mb(), 1)
        run_id = cluster.submit(layered_plan(options.tasks, "sleep 0.02"), dry_run=False).run_id
        time.sleep(2.0)  # the run is to be at work before it is looked at
        begun = time.perf_counter()
        httpx2.get(f"{api.url}/api/v1/runs/{run_id}/timeline", timeout=60.0)
        figures["first_timeline_s"] = round(time.perf_counter() - begun, 3)
        took = asyncio.run(ask(api.url, paths_of(run_id, options.tasks), rate=50, seconds=options.seconds))
        figures["p95_ms"] = round(p95_ms(took), 1)
        figures["median_ms"] = round(median(took) * 1000, 1)
        with served("floor") as floor:
            figures["floor_p95_ms"] = round(p95_ms(asyncio.run(ask(floor.url, ["/"], rate=50, seconds=5))), 1)
        figures["p95_to_floor"] = round(figures["p95_ms"] / figures["floor_p95_ms"], 1)
        url = f"{api.url}/api/v1/runs/{run_id}/events"
        for readers in (1, options.readers):
            lags = asyncio.run(read_events(url, readers, options.seconds))
            figures[f"lag_of_{readers}_readers_p95_s"] = round(p95_ms(lags) / 1000, 3) if lags else None
            figures[f"messages_to_{readers}_readers"] = len(lags)
        figures["memory_mb"] = round(api.memory_mb(), 1)
        cluster.runs.stop(run_id, kill=True)
        run_seconds(cluster, run_id)
        pairs = cost_of_watching(cluster, api, options.watched, options.pairs)
        figures["unwatched_per_s"] = round(median(one for one, _ in pairs)) if pairs else None
        figures["watched_per_s"] = round(median(two for _, two in pairs)) if pairs else None
        figures["watched_to_unwatched"] = round(median(two / one for one, two in pairs), 3) if pairs else None
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=10_000, help="Tasks of the run that is live.")
    parser.add_argument("--readers", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=15.0, help="So long each figure is taken.")
    parser.add_argument("--watched", type=int, default=4000, help="Tasks of each run of the pairs.")
    parser.add_argument("--pairs", type=int, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tek") as folder:
        print(json.dumps(measure(options, Path(folder)), indent=2))


if __name__ == "__main__":
    main()
