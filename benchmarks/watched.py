"""What it costs a run that Flower watches it: the same plans take turns with Flower beside them and without."""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent))

import psutil
from rates import warm_cluster
from workloads import make_plan

TASKS = 3_000


def settle(process: psutil.Process) -> None:
    """Wait until Flower has seen all that there is to see."""
    used = -1.0
    while (now := spent_s(process)) - used > 0.05:
        used = now
        time.sleep(1.5)  # so long it is seen to use nothing more


@contextlib.contextmanager
def flower(url: str, folder: Path) -> Iterator[psutil.Process]:
    """Run Flower on a server."""
    process = subprocess.Popen(
        [sys.executable, "-c", "from taskexec.cli.main import main; main()", "flower", "--output", "quiet"],
        env=os.environ | {"TEK_REDIS_URL": url, "XDG_STATE_HOME": str(folder)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        with contextlib.suppress(urllib.error.HTTPError):  # it answers, if only that it lets nobody in
            urllib.request.urlopen(address)
        watcher = psutil.Process(process.pid)
        settle(watcher)
        yield watcher
    finally:
        process.terminate()
        process.wait(20)


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


def measure(repeats: int) -> None:
    """Print a line for each payload; times of processors hold on a machine that others use as well."""
    graph = [[] for _ in range(TASKS)]
    with tempfile.TemporaryDirectory(prefix="tek-bench-") as name, warm_cluster(Path(name)) as cluster:
        for payload in ("noop", "true"):
            plan = make_plan(graph, payload)
            cluster.measure(plan)
            ratios, work, shares, times, sizes = [], [], [], [], []
            for _ in range(repeats):
                begun = others_s()
                alone = cluster.measure(plan)
                alone_s = others_s() - begun
                with flower(cluster.url, Path(name)) as process:
                    before, begun = spent_s(process), others_s(process.pid)
                    watched = cluster.measure(plan)
                    work.append((others_s(process.pid) - begun) / alone_s)
                    shares.append((spent_s(process) - before) / watched.home_s / (os.cpu_count() or 1))
                    settle(process)
                    times.append((spent_s(process) - before) / TASKS * 1e6)
                    sizes.append(process.memory_full_info().pss / 1e6)
                ratios.append(alone.run_s / watched.run_s)
            print(
                f"{payload}: rate watched / alone {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}); "
                f"processor time of everything else watched / alone {median(work):.2f}; "
                f"Flower meanwhile {median(shares):.1%} of the machine, in all {median(times):,.0f} µs a task, "
                f"{median(sizes):,.0f} MB",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    measure(parser.parse_args().repeats)
