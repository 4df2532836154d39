"""The first ones of many that wait, at hand at any time."""

from __future__ import annotations

from bisect import bisect_left, insort
from heapq import heappop, heappush
from typing import Any, Generic, TypeVar

__all__ = ["Window"]

T = TypeVar("T", bound=Any)


class Window(Generic[T]):
    """Distinct values that have an order, of which the least are wanted."""

    def __init__(self, size: int) -> None:
        self.first: list[T] = []
        """The least of them, at most as many as the window is wide, ascending."""
        self._size = size
        self._rest: list[T] = []
        self._gone: set[T] = set()

    def add(self, value: T) -> None:
        """Add a value; none is added twice."""
        if len(self.first) < self._size:
            insort(self.first, value)
        elif value > self.first[-1]:
            heappush(self._rest, value)
        else:
            insort(self.first, value)
            heappush(self._rest, self.first.pop())

    def remove(self, value: T) -> None:
        """Remove a value; when it was one of the first, another one takes its place."""
        if value > self.first[-1]:
            self._gone.add(value)
            return
        del self.first[bisect_left(self.first, value)]
        while self._rest:
            following = heappop(self._rest)
            if following not in self._gone:
                self.first.append(following)
                return
            self._gone.discard(following)
