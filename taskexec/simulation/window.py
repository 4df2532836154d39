"""The first ones of many that wait, at hand at any time."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, Generic, TypeVar

__all__ = ["Window"]

T = TypeVar("T", bound=Any)


class Window(Generic[T]):
    """Distinct values that have an order, of which the least are wanted."""

    def __init__(self, size: int, kind_of: Callable[[T], int] = lambda _: 0) -> None:
        """Make it empty.

        Args:
            size: How wide it is.
            kind_of: What values are told apart by where only one of a kind is looked at.
        """
        self.first: list[T] = []
        """The least of them, at most as many as the window is wide, ascending."""
        self.kinds: dict[int, int] = {}
        """How many of those are of each kind; kinds of which there are none are left out."""
        self._size = size
        self._kind_of = kind_of
        self._rest: list[T] = []
        self._gone: set[T] = set()

    def add(self, value: T) -> None:
        """Add a value; none is added twice."""
        if len(self.first) < self._size:
            insort(self.first, value)
            self._count(value, 1)
        elif value > self.first[-1]:
            heappush(self._rest, value)
        else:
            insort(self.first, value)
            self._count(value, 1)
            heappush(self._rest, self.first[-1])
            self._count(self.first.pop(), -1)

    def remove(self, value: T) -> None:
        """Remove a value; when it was one of the first, another one takes its place."""
        if value > self.first[-1]:
            self._gone.add(value)
            return
        del self.first[bisect_left(self.first, value)]
        self._count(value, -1)
        while self._rest:
            following = heappop(self._rest)
            if following not in self._gone:
                self.first.append(following)
                self._count(following, 1)
                return
            self._gone.discard(following)

    def _count(self, value: T, by: int) -> None:
        kind = self._kind_of(value)
        self.kinds[kind] = self.kinds.get(kind, 0) + by
        if not self.kinds[kind]:
            del self.kinds[kind]
