"""What this machine can do at best: process starts, round trips to the server, `make` on the same graphs."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from workloads import Graph, write_makefile

from taskexec.store.connection import Connection

__all__ = ["make_rate", "round_trips", "spawns"]


def spawns(count: int = 1000) -> float:
    """Return `/bin/true` processes a second, started and awaited one by one by one thread."""
    begun = time.perf_counter()
    for _ in range(count):
        os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
    return count / (time.perf_counter() - begun)


def round_trips(url: str, count: int = 5000) -> float:
    """Return PINGs a second on one connection."""
    connection = Connection(url)
    begun = time.perf_counter()
    for _ in range(count):
        connection.ping()
    return count / (time.perf_counter() - begun)


def make_rate(graph: Graph, folder: Path) -> float:
    """Return tasks a second of `make -j2` on a graph of `/bin/true`."""
    path = folder / "Makefile"
    write_makefile(graph, path)
    begun = time.perf_counter()
    subprocess.run(["make", "-s", "-j2", "-f", path], check=True, stdout=subprocess.DEVNULL)
    return len(graph) / (time.perf_counter() - begun)
