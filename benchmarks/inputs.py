"""`make bench-inputs`: what reading, checking and summarising a plan costs, beside the floor of the machine.

Each figure comes from a process of its own, so that peak memory is that plan's; the floor is the standard library's
reader over the same bytes. Writes the second table of `benchmarks/README.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- inputs: begin -->", "<!-- inputs: end -->"

MEASURE = """
import json, sys, time
from taskexec.plan import Estimates, build_plan, collection_paused, summarize
from taskexec.sources import read_plan

begun = time.perf_counter()
with collection_paused():
    plan = build_plan(read_plan(sys.argv[1]))
    summary = summarize(plan, Estimates(plan))
seconds = time.perf_counter() - begun
status = open("/proc/self/status").read()  # getrusage would count the process that started this one
peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
print(json.dumps([seconds, peak, summary.tasks, summary.edges]))
"""
FLOOR = """
import csv, json, sys, time
csv.field_size_limit(sys.maxsize)
begun = time.perf_counter()
with open(sys.argv[1], newline="", encoding="utf-8") as file:
    if sys.argv[1].endswith(".csv"):
        rows = sum(1 for _ in csv.reader(file))
    elif sys.argv[1].endswith(".json"):
        rows = len(json.load(file)["tasks"])
    else:
        rows = sum(1 for _ in file)
print(time.perf_counter() - begun)
"""


def table(rows: int) -> Iterator[str]:
    """Yield a table with one and a half dependencies a row, on rows that stand near."""
    choose = random.Random(rows)
    yield "id,title,command,depends_on,queue,cpus,memory_mb,gpus,duration_s,priority\n"
    for row in range(rows):
        before = [f"t{choose.randrange(max(0, row - 500), row)}" for _ in range(1 + row % 2)] if row else []
        yield f"t{row},Task number {row},true,{';'.join(before)},cpu,1,512,0,{row % 100 / 10},{row % 10}\n"


def chain(rows: int) -> Iterator[str]:
    """Yield a table in which each row waits for the one before it."""
    yield "id,depends_on\n"
    yield from (f"t{row},{f't{row - 1}' if row else ''}\n" for row in range(rows))


def fan_in(rows: int) -> Iterator[str]:
    """Yield a table in which the last row waits for all others."""
    yield "id,depends_on\n"
    yield from (f"t{row},\n" for row in range(rows))
    yield f"last,{';'.join(f't{row}' for row in range(rows))}\n"


def ledger(lines: int) -> Iterator[str]:
    """Yield a ledger of executed tasks, with a backlog of a tenth of them."""
    yield "# State of Truth\n\n## Executed\n"
    for line in range(lines * 9 // 10):
        artifacts = f"`docs/{line}.md`, `src/{{a,b}}.py`"
        yield f"- [x] 2025-10-05 12:04 UTC — Step {line} — Artifacts: {artifacts} — Notes: done — as planned.\n"
    yield "\n## Backlog\n"
    for line in range(lines // 10):
        yield f"- [ ] Plan {line} — Rationale: why not — Target: 2026-01-15 — Dependencies: Step {line}\n"


def workflow(tasks: int) -> Iterator[str]:
    """Yield a workflow whose tasks wait for the one before them."""
    yield "version: 1\ntasks:\n"
    for task in range(tasks):
        yield f"  t{task}:\n    command: echo {task}\n    depends_on: [{f't{task - 1}' if task else ''}]\n    cpus: 1\n"


def document(tasks: int) -> Iterator[str]:
    """Yield a plan.json whose tasks wait for the one before them."""
    entries = [
        {"id": f"t{task}", "command": f"echo {task}", "depends_on": [f"t{task - 1}"] if task else []}
        for task in range(tasks)
    ]
    yield json.dumps({"version": 2, "tasks": entries})


CASES: tuple[tuple[str, str, int, Callable[[int], Iterator[str]]], ...] = (
    *((f"table, {10**power:,} rows", "csv", 10**power, table) for power in range(3, 7)),
    ("table, chain of 10,000", "csv", 10_000, chain),
    ("table, fan-in of 50,000", "csv", 50_000, fan_in),
    ("ledger, 50,000 lines", "md", 50_000, ledger),
    ("workflow, 10,000 tasks", "yaml", 10_000, workflow),
    ("plan.json, 20,000 tasks", "json", 20_000, document),
)


def measure(name: str, path: Path, size: int, repeats: int) -> str:
    """Return the table row of one file."""
    ours, floors = [], []
    for _ in range(repeats):
        ours.append(json.loads(_call(MEASURE, path)))
        floors.append(float(_call(FLOOR, path)))
    seconds, peak = median(entry[0] for entry in ours), median(entry[1] for entry in ours)
    ratio = median(entry[0] / floor for entry, floor in zip(ours, floors, strict=True))
    each = seconds / size * 1e6
    counts = f"{ours[0][2]:,} | {ours[0][3]:,}"
    return f"| {name} | {counts} | {seconds:.2f} s | {each:,.0f} µs | {peak:,.0f} MB | {ratio:,.0f} |"


def _call(program: str, path: Path) -> str:
    done = subprocess.run([sys.executable, "-c", program, str(path)], check=True, capture_output=True, text=True)
    return done.stdout


def measure_all(repeats: int, largest: int) -> str:
    """Return the whole table as Markdown."""
    lines = [
        (
            f"Measured {datetime.now(UTC):%Y-%m-%d} on {os.cpu_count()} cores ({platform.machine()}, "
            f"Python {platform.python_version()}), medians of {repeats}; read, checked and summarised, imports not "
            "counted. The floor is `csv.reader`, `json.load` or a loop over the lines of the same file."
        ),
        "",
        "| plan | tasks | edges | time | each | peak memory | time ÷ floor |",
        "|---|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory(prefix="tek-bench-") as folder:
        for name, suffix, size, lines_of in CASES:
            if size > largest:
                continue
            path = Path(folder) / f"plan.{suffix}"
            path.write_text("".join(lines_of(size)), encoding="utf-8")
            lines.append(measure(name, path, size, repeats if size < 10**6 else 1))
            print(lines[-1], flush=True)
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and write the table into the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3, help="runs of each figure (median)")
    parser.add_argument("--largest", type=int, default=10**6, help="leave larger plans out")
    parser.add_argument("--print-only", action="store_true", help="leave benchmarks/README.md as it is")
    options = parser.parse_args()
    text = measure_all(options.repeats, options.largest)
    if not options.print_only:
        before, _, rest = README.read_text().partition(BEGIN)
        README.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
