"""A histogram that is filled in one place and told at once."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

__all__ = ["Histogram"]


class Histogram:
    """Counts by upper bound of a bucket, and the sum of what was counted."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        """Begin with nothing; `bounds` are those of all buckets but the last, which has none."""
        self.bounds = bounds
        self.counts = [0.0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, seconds: float, amount: int = 1) -> None:
        """Count something that lasted so long; what is negative, by clocks that disagree, lasted no time."""
        seconds = max(seconds, 0.0)
        self.counts[bisect_left(self.bounds, seconds)] += amount
        self.total += seconds * amount
