"""The first ones of many that wait, at hand at any time."""

from __future__ import annotations

from bisect import bisect_left, insort
from heapq import heappop, heappush

__all__ = ["Window"]


class Window:
    """Distinct numbers, of which the least are wanted, and only those are removed."""

    def __init__(self, size: int) -> None:
        self.first: list[int] = []
        """The least of them, at most as many as the window is wide, ascending."""
        self._size = size
        self._rest: list[int] = []

    def __len__(self) -> int:
        return len(self.first) + len(self._rest)

    def add(self, number: int) -> None:
        """Add a number."""
        if len(self.first) < self._size:
            insort(self.first, number)
        elif number > self.first[-1]:
            heappush(self._rest, number)
        else:
            insort(self.first, number)
            heappush(self._rest, self.first.pop())

    def remove(self, number: int) -> None:
        """Remove one of the first; another one takes its place."""
        del self.first[bisect_left(self.first, number)]
        if self._rest:
            self.first.append(heappop(self._rest))
