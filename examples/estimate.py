"""Estimate pi with tasks of the `python` agent; the callables of `estimate.csv`."""

from __future__ import annotations

import random
from collections.abc import Mapping


def count_hits(seed: int, points: int = 100_000) -> dict[str, int]:
    """Return how many of `points` random points of the unit square lie in the quarter circle."""
    source = random.Random(seed)
    hits = sum(source.random() ** 2 + source.random() ** 2 <= 1 for _ in range(points))
    return {"hits": hits, "points": points}


def combine(inputs: Mapping[str, Mapping[str, int]]) -> float:
    """Return the estimate from the results of all dependencies, which arrive by task id."""
    hits = sum(part["hits"] for part in inputs.values())
    points = sum(part["points"] for part in inputs.values())
    print(f"{hits} of {points} points")
    return 4 * hits / points
