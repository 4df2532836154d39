"""How long whole commands take, from the shell's point of view."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

__all__ = ["time_commands"]

TEK = str(Path(sys.executable).with_name("tek"))


def _write_large_plan(path: Path) -> None:
    """Write 20,000 tasks with 96,000 dependencies: layers of 200, five dependencies each but for the first layers."""
    source = random.Random(7)
    rows = ["id,command,depends_on,duration_s"]
    left = 96_000
    for index in range(20_000):
        before = range(max(index - index % 200 - 200, 0), index - index % 200)
        count = min(5 if index >= 400 else 3, len(before), left)
        left -= count
        dependencies = ";".join(f"task-{other}" for other in source.sample(before, count))
        rows.append(f"task-{index},sleep 1,{dependencies},{source.randint(1, 9)}")
    path.write_text("\n".join(rows) + "\n")


def time_commands(folder: Path, repeats: int) -> dict[str, float]:
    """Return the median wall time of each command, in seconds."""
    large, one = folder / "large.csv", folder / "one.csv"
    _write_large_plan(large)
    one.write_text("id,command\nonly,/bin/true\n")
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "tek --help": [TEK, "--help"],
        "tek run, one task, cold": [TEK, "run", str(one)],
        "tek plan, 20,000 tasks": [TEK, "plan", str(large)],
    }
    return {name: _median([_wall(argv, folder) for _ in range(repeats)]) for name, argv in commands.items()}


def _wall(argv: list[str], folder: Path) -> float:
    begun = time.perf_counter()
    subprocess.run(argv, check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - begun


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
