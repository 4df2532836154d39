"""`make bench`: measures everything in one run and writes the table into `benchmarks/README.md`.

Figures are medians; each stands beside the floor of the same machine, measured in the same minutes.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent))

from commands import time_commands
from fence import measure_fence
from floor import make_rate, round_trips, spawns
from placement import measure_placement
from rates import WarmCluster, warm_cluster
from workloads import WORKLOADS, make_plan

README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


def measure_workload(cluster: WarmCluster, name: str, folder: Path, repeats: int) -> str:
    """Return the table row of one workload: the payloads take turns with `make`, so that all see the same machine."""
    graph = WORKLOADS[name]()
    rates: dict[str, list[float]] = {"make": [], "noop": [], "python": [], "true": [], "home": []}
    for payload in ("noop", "python", "true"):  # warm: helpers started, durations known
        cluster.measure(make_plan(graph, payload))
    for _ in range(repeats):
        rates["make"].append(make_rate(graph, folder))
        for payload in ("true", "python", "noop"):
            rate = cluster.measure(make_plan(graph, payload))
            rates[payload].append(len(graph) / rate.run_s)
            if payload == "true":
                rates["home"].append(len(graph) / rate.home_s)
    ratio = median(ours / floor for ours, floor in zip(rates["true"], rates["make"], strict=True))
    cells = [f"{median(rates[column]):,.0f}" for column in ("noop", "python", "true", "home", "make")]
    return f"| {name} | {' | '.join(cells)} | {ratio:.2f} |"


def measure_all(repeats: int) -> str:
    """Return the whole table as Markdown."""
    with tempfile.TemporaryDirectory(prefix="tek-bench-") as name:
        folder = Path(name)
        times = time_commands(folder, repeats)
        with warm_cluster(folder) as cluster:
            sizes = cluster.resident_mb()
            floors = {"spawns": median(spawns() for _ in range(3)), "trips": round_trips(cluster.url)}
            rows = []
            for workload in WORKLOADS:
                rows.append(measure_workload(cluster, workload, folder, repeats))
                print(rows[-1], flush=True)
        fence = measure_fence(folder, repeats)
        placement = measure_placement(folder / "placement", repeats)
    lines = [
        (
            f"Measured {datetime.now(UTC):%Y-%m-%d} on {os.cpu_count()} cores ({platform.machine()}, "
            f"Python {platform.python_version()}), medians of {repeats}. Floor of the machine: "
            f"{floors['spawns']:,.0f} `/bin/true` a second from one thread, {floors['trips']:,.0f} round trips "
            "a second to the server."
        ),
        "",
        (
            "| workload, tasks/s | noop agent | python no-op | `/bin/true` | `/bin/true`, until evidence is home | "
            "`make -j2` | `/bin/true` ÷ make |"
        ),
        "|---|---|---|---|---|---|---|",
        *rows,
        "",
        "| command | wall time | ÷ `python -c pass` |",
        "|---|---|---|",
        *(f"| `{name}` | {wall:.3f} s | {wall / times['python -c pass']:.1f} |" for name, wall in times.items()),
        "",
        "A worker at rest, proportional set size a process: " + ", ".join(f"{size:.0f} MB" for size in sizes) + ".",
        "",
        *fence,
        "",
        *placement,
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and write the table into the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="runs of each figure (median)")
    parser.add_argument("--print-only", action="store_true", help="leave benchmarks/README.md as it is")
    options = parser.parse_args()
    table = measure_all(options.repeats)
    print(table)
    if not options.print_only:
        before, _, rest = README.read_text().partition(BEGIN)
        README.write_text(f"{before}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
