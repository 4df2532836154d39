"""The graphs that are measured, and the forms they are written in: a plan for us, a Makefile for `make`."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = ["WORKLOADS", "make_plan", "write_makefile"]

Graph = Sequence[Sequence[int]]
"""For each task, the tasks it depends on."""

PAYLOADS = {
    "noop": ("noop", ""),
    "python": ("python", "builtins:int"),
    "true": ("shell", "/bin/true"),
}
"""Name -> agent and command: nothing, a Python call that does nothing, the smallest process."""


def _independent() -> Graph:
    return [[] for _ in range(1000)]


def _chain() -> Graph:
    return [[index - 1] if index else [] for index in range(200)]


def _fan() -> Graph:
    return [[], *[[0]] * 500, list(range(1, 501))]


def _layers(count: int, width: int, seed: int = 1) -> Graph:
    """Return `count` layers of `width` tasks, each with 3 random dependencies in the layer before."""
    source = random.Random(seed)
    graph: list[list[int]] = [[] for _ in range(width)]
    for layer in range(1, count):
        before = range((layer - 1) * width, layer * width)
        graph += [sorted(source.sample(before, 3)) for _ in range(width)]
    return graph


WORKLOADS: dict[str, Callable[[], Graph]] = {
    "1,000 independent": _independent,
    "chain of 200": _chain,
    "1 → 500 → 1": _fan,
    "20 × 50 layers": lambda: _layers(20, 50),
    "50 × 100 layers": lambda: _layers(50, 100),
}


def make_plan(graph: Graph, payload: str) -> str:
    """Return a graph as CSV."""
    agent, command = PAYLOADS[payload]
    rows = [f"t{index},{agent},{command},{';'.join(f't{before}' for before in row)}" for index, row in enumerate(graph)]
    return "\n".join(["id,agent,command,depends_on", *rows]) + "\n"


def write_makefile(graph: Graph, path: Path) -> None:
    """Write a graph for `make`, each task a `/bin/true`."""
    names = [f"t{index}" for index in range(len(graph))]
    lines = [f"all: {' '.join(names)}", f".PHONY: all {' '.join(names)}"]
    for index, row in enumerate(graph):
        lines += [f"t{index}: {' '.join(f't{before}' for before in row)}", "\t@/bin/true"]
    path.write_text("\n".join(lines) + "\n")
