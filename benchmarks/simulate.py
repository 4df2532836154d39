"""How long it takes to simulate a million tasks on 10,000 workers, beside a bare event loop over as many events.

python benchmarks/simulate.py [--tasks N] [--workers N] [--only NAME]
"""

from __future__ import annotations

import argparse
import gc
import heapq
import random
import resource
import time
from collections.abc import Callable

from taskexec.domain.fit import Ask
from taskexec.domain.resources import Capacity, Gpu, Needs, Route, choose_route
from taskexec.simulation import ClusterSpec, WorkerGroup, Workload, simulate

SHAPES = [
    Needs(cpus=2, memory_mib=4096),
    Needs(cpus=1, memory_mib=2048),
    Needs(cpus=4, memory_mib=16384),
    Needs(cpus=8, memory_mib=8192, gpus=1, gpu_memory_mib=20_000),
    Needs(cpus=0.5, memory_mib=1024),
    Needs(cpus=16, memory_mib=65536),
]


def workload(
    count: int, needs_of: Callable[[random.Random], Needs], *, layers: int = 1, longest_s: int = 600
) -> Workload:
    """Return tasks with needs by chance, in so many layers; each waits for one or two of the layer before."""
    chance = random.Random(7)
    asks: list[Ask | None] = []
    routes, predecessors = [], []
    width = -(-count // layers)
    shared: dict[Needs, Ask] = {}
    for index in range(count):
        needs = needs_of(chance)
        route = choose_route(None, needs)
        routes.append(route.value)
        if needs.is_default:
            asks.append(None)
        else:
            if needs not in shared:
                shared[needs] = Ask.of(needs, route, "shell")
            asks.append(shared[needs])
        layer = index // width
        first = (layer - 1) * width
        predecessors.append(tuple({first + chance.randrange(width) for _ in range(2)}) if layer else ())
    successors: list[list[int]] = [[] for _ in range(count)]
    for index, before in enumerate(predecessors):
        for one in before:
            successors[one].append(index)
    durations = [chance.randrange(1_000_000, longest_s * 1_000_000) for _ in range(count)]
    return Workload(
        asks=asks,
        routes=routes,
        durations_us=durations,
        ranks=range(count),
        predecessors=predecessors,
        successors=successors,
        is_satisfied=[False] * count,
        agents=frozenset({"shell"}),
    )


def cluster(workers: int) -> ClusterSpec:
    """Return a tenth GPU workers, the rest of two sizes."""
    gpus = tuple(Gpu(f"g{number}", "H200", 141_000) for number in range(8))
    large = Capacity(cpus=64, memory_mib=262_144, slots=64)
    small = Capacity(cpus=16, memory_mib=65_536, slots=16)
    fast = Capacity(cpus=96, memory_mib=1_048_576, gpus=gpus, slots=96)
    return ClusterSpec(
        (
            WorkerGroup(name="large", count=workers * 4 // 10, capacity=large, routes=frozenset({Route.CPU})),
            WorkerGroup(name="small", count=workers * 5 // 10, capacity=small, routes=frozenset({Route.CPU})),
            WorkerGroup(name="gpu", count=workers - workers * 9 // 10, capacity=fast),
        )
    )


def floor(work: Workload, room: int) -> float:
    """Return the seconds of a bare event loop: so many tasks at once, each start and end through a heap."""
    began = time.perf_counter()
    events: list[tuple[int, int, int]] = []
    now = 0
    for task, duration in enumerate(work.durations_us):
        if len(events) >= room:
            now = heapq.heappop(events)[0]
        heapq.heappush(events, (now + duration, task, task))
    while events:
        now = heapq.heappop(events)[0]
    return time.perf_counter() - began


SCENARIOS: dict[str, Callable[[random.Random], Needs]] = {
    "slots": lambda chance: Needs(),
    "one ask": lambda chance: SHAPES[0],
    "six asks": lambda chance: chance.choice(SHAPES),
    "mixed": lambda chance: Needs() if chance.random() < 0.5 else chance.choice(SHAPES),
    "gangs": lambda chance: Needs(cpus=8, nodes=8) if chance.random() < 0.001 else chance.choice(SHAPES),
}


def main() -> None:
    """Measure each scenario once."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=10_000)
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--only", choices=list(SCENARIOS))
    options = parser.parse_args()
    print("| scenario | tasks | workers | s | s of a core | µs/task | × bare loop | peak MiB | makespan |")
    for name, needs_of in SCENARIOS.items():
        if options.only not in (None, name):
            continue
        work, here = workload(options.tasks, needs_of, layers=options.layers), cluster(options.workers)
        gc.collect()
        gc.freeze()
        bare_s = floor(work, 10 * options.workers)
        began, began_cpu = time.perf_counter(), time.process_time()
        schedule = simulate(work, here)
        spent_s, cpu_s = time.perf_counter() - began, time.process_time() - began_cpu
        assert min(schedule.finished_us) >= 0
        peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        each_us = spent_s / options.tasks * 1e6
        print(
            f"| {name} | {options.tasks:,} | {options.workers:,} | {spent_s:.1f} | {cpu_s:.1f} | {each_us:.1f} |"
            f" {spent_s / bare_s:.1f} | {peak_mib:,.0f} | {schedule.makespan_us / 1e6:,.0f} s |",
            flush=True,
        )


if __name__ == "__main__":
    main()
