"""What it costs a run that Flower watches it: the same plans take turns with Flower going and stopped beside them."""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent))

import psutil
from rates import Rate, WarmCluster, warm_cluster
from workloads import make_plan

ASKED_S = 0.1
"""Between two requests of a page while a run goes on."""


def settle(process: psutil.Process) -> None:
    """Wait until Flower has seen all that there is to see."""
    used = -1.0
    while (now := spent_s(process)) - used > 0.05:
        used = now
        time.sleep(1.5)  # so long it is seen to use nothing more


@contextlib.contextmanager
def flower(url: str, folder: Path) -> Iterator[tuple[psutil.Process, urllib.request.Request]]:
    """Run Flower on a server, in a session of its own as a service is; give its process and a request for a page."""
    process = subprocess.Popen(
        [sys.executable, "-c", "from taskexec.cli.main import main; main()", "flower", "--output", "json"],
        env=os.environ | {"TEK_REDIS_URL": url, "XDG_STATE_HOME": str(folder)},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        text = b""
        while not text.endswith(b"}\n"):
            text += process.stdout.readline()
        told = json.loads(text)
        request = urllib.request.Request(told["url"] + "/workers?json=1")
        credentials = base64.b64encode(f"{told['user']}:{told['password']}".encode()).decode()
        request.add_header("Authorization", f"Basic {credentials}")
        watcher = psutil.Process(process.pid)
        settle(watcher)
        yield watcher, request
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait(20)


@contextlib.contextmanager
def stopped(process: psutil.Process) -> Iterator[None]:
    """Let Flower not go on for as long as the context lasts; what it has missed it shows then."""
    settle(process)
    process.suspend()
    try:
        yield
    finally:
        process.resume()
        settle(process)


@contextlib.contextmanager
def asking(request: urllib.request.Request) -> Iterator[list[float]]:
    """Ask for a page again and again; the list gets the seconds that each answer took."""
    took: list[float] = []
    end = threading.Event()

    def ask() -> None:
        while not end.wait(ASKED_S):
            begun = time.perf_counter()
            with urllib.request.urlopen(request) as answer:
                answer.read()
            took.append(time.perf_counter() - begun)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield took
    finally:
        end.set()
        thread.join()


def spent_s(process: psutil.Process) -> float:
    """Return the processor time that a process has used, in seconds."""
    return float(sum(process.cpu_times()[:2]))


def others_s(flower_pid: int = 0) -> float:
    """Return that of this process, the server and the worker together."""
    own = psutil.Process()
    total = 0.0
    for process in (own, *own.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            total += 0.0 if process.pid == flower_pid else spent_s(process)
    return total


class Side(NamedTuple):
    """One run, with Flower going or stopped."""

    rate: Rate
    work_s: float
    """Processor time of everything but Flower."""
    flower_s: float
    """That of Flower until the run was at home."""
    in_all_s: float
    """That of Flower until it had shown the run."""


def side(cluster: WarmCluster, plan: str, process: psutil.Process) -> Side:
    """Run a plan once."""
    before_s, begun_s = spent_s(process), others_s(process.pid)
    rate = cluster.measure(plan)
    work_s, flower_s = others_s(process.pid) - begun_s, spent_s(process) - before_s
    settle(process)
    return Side(rate, work_s, flower_s, spent_s(process) - before_s)


def measure(repeats: int, tasks: int, payloads: list[str]) -> None:
    """Print a line for each payload; times of processors hold on a machine that others use as well."""
    graph: list[list[int]] = [[] for _ in range(tasks)]
    with tempfile.TemporaryDirectory(prefix="tek-bench-") as name, warm_cluster(Path(name)) as cluster:
        for payload in payloads:
            plan = make_plan(graph, payload)
            cluster.measure(plan)
            ratios, work, shares, times, answers = [], [], [], [], []
            with flower(cluster.url, Path(name)) as (process, request):
                for turn in range(repeats):
                    sides: dict[bool, Side] = {}
                    for is_watched in (turn % 2 == 0, turn % 2 == 1):  # who comes first changes
                        with contextlib.nullcontext() if is_watched else stopped(process):
                            sides[is_watched] = side(cluster, plan, process)
                    alone, watched = sides[False], sides[True]
                    ratios.append(alone.rate.run_s / watched.rate.run_s)
                    work.append(watched.work_s / alone.work_s)
                    shares.append(watched.flower_s / watched.rate.home_s / (os.cpu_count() or 1))
                    times.append(watched.in_all_s / tasks * 1e6)
                    with asking(request) as took:
                        cluster.measure(plan)
                    answers += took
                    settle(process)
                size_mb = process.memory_full_info().pss / 1e6
            print(
                f"{payload}: rate watched / alone {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}); "
                f"processor time of everything else watched / alone {median(work):.2f}; "
                f"Flower meanwhile {median(shares):.1%} of the machine, in all {median(times):,.0f} µs a task, "
                f"{size_mb:,.0f} MB; a page in {median(answers) * 1e3:,.0f} ms, at most {max(answers) * 1e3:,.0f} ms",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--tasks", type=int, default=3_000)
    parser.add_argument("--payloads", nargs="+", default=["noop", "true"])
    chosen = parser.parse_args()
    measure(chosen.repeats, chosen.tasks, chosen.payloads)
