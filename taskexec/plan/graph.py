"""The dependency graph of a plan by index: order, cycles, levels and the longest weighted path."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

__all__ = ["Graph", "LongestPath"]


@dataclass(frozen=True, slots=True)
class LongestPath:
    """The longest path by weight, and how far each node may slip without making it longer."""

    length: float
    """Sum of the weights along the path; 0 for an empty graph."""
    nodes: tuple[int, ...]
    """One longest path, from a root to a leaf."""
    earliest_start: tuple[float, ...]
    """Per node: when it can start at the earliest, counted from 0."""
    latest_start: tuple[float, ...]
    """Per node: when it must start at the latest, never before `earliest_start`."""

    def slack(self, node: int) -> float:
        """Return by how much a node may slip, >= 0."""
        return self.latest_start[node] - self.earliest_start[node]


@dataclass(frozen=True)
class Graph:
    """Nodes 0 to n-1 and whom each waits for; equal when the predecessors are equal.

    Everything else is worked out on first use and kept. `levels`, `widths` and `longest_path` need an
    acyclic graph.
    """

    predecessors: tuple[tuple[int, ...], ...]
    """Per node: those it waits for, without repeats."""

    @classmethod
    def of(cls, predecessors: Iterable[Sequence[int]]) -> Graph:
        """Return the graph with these predecessors, each from 0 to n-1; repeats are united."""
        return cls(tuple(tuple(dict.fromkeys(indices)) for indices in predecessors))

    def __len__(self) -> int:
        return len(self.predecessors)

    @cached_property
    def edge_count(self) -> int:
        """Number of distinct dependencies."""
        return sum(map(len, self.predecessors))

    @cached_property
    def successors(self) -> tuple[tuple[int, ...], ...]:
        """Per node: those that wait for it, ascending."""
        successors: list[list[int]] = [[] for _ in self.predecessors]
        for node, before in enumerate(self.predecessors):
            for index in before:
                successors[index].append(node)
        return tuple(map(tuple, successors))

    @cached_property
    def order(self) -> tuple[int, ...]:
        """Nodes, each after its predecessors, level by level; what waits for a cycle is missing.

        Source: Kahn (1962), first in, first out.
        """
        missing = list(map(len, self.predecessors))
        ready = deque(node for node, count in enumerate(missing) if not count)
        order = []
        successors = self.successors
        while ready:
            node = ready.popleft()
            order.append(node)
            for after in successors[node]:
                missing[after] -= 1
                if not missing[after]:
                    ready.append(after)
        return tuple(order)

    @property
    def is_acyclic(self) -> bool:
        """Whether no node waits for itself, directly or through others."""
        return len(self.order) == len(self)

    @cached_property
    def levels(self) -> tuple[int, ...]:
        """Per node: the number of nodes before it on the longest way from a root, so roots have 0."""
        assert self.is_acyclic
        levels = [0] * len(self)
        for node in self.order:
            before = self.predecessors[node]
            if before:
                levels[node] = 1 + max([levels[index] for index in before])
        return tuple(levels)

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Number of nodes on each level, from level 0."""
        widths = [0] * (1 + max(self.levels, default=-1))
        for level in self.levels:
            widths[level] += 1
        return tuple(widths)

    def longest_path(self, weights: Sequence[float]) -> LongestPath:
        """Return the longest path when a node takes `weights[node]`, >= 0."""
        assert self.is_acyclic
        starts, tails = [0.0] * len(self), [0.0] * len(self)
        for node in self.order:
            before = self.predecessors[node]
            if before:
                starts[node] = max([starts[index] + weights[index] for index in before])
        for node in reversed(self.order):
            after = self.successors[node]
            tails[node] = weights[node] + (max([tails[index] for index in after]) if after else 0.0)
        length = max(tails, default=0.0)
        latest = [max(start, length - tail) for start, tail in zip(starts, tails, strict=True)]
        return LongestPath(length, self._follow(tails), tuple(starts), tuple(latest))

    def _follow(self, tails: Sequence[float]) -> tuple[int, ...]:
        """Return the path that begins at the root with the longest tail and keeps to the longest."""
        path: list[int] = []
        choices: Sequence[int] = [node for node, before in enumerate(self.predecessors) if not before]
        while choices:
            path.append(max(choices, key=tails.__getitem__))
            choices = self.successors[path[-1]]
        return tuple(path)

    def find_cycles(self) -> list[list[int]]:
        """Return one cycle for each knot of nodes that wait for each other, ordered by their first node.

        Each cycle begins with the lowest node of its knot and is the shortest through it; each node waits for
        the one before it, and the first for the last.
        """
        if self.is_acyclic:
            return []
        settled = set(self.order)
        suspects = [node for node in range(len(self)) if node not in settled]
        knots = _strong_components(self.successors, suspects)
        return sorted(self._cycle_in(knot) for knot in knots if self._is_knot(knot))

    def _is_knot(self, component: Sequence[int]) -> bool:
        return len(component) > 1 or component[0] in self.predecessors[component[0]]

    def _cycle_in(self, knot: Sequence[int]) -> list[int]:
        """Return a shortest cycle through the lowest node of a strongly connected component."""
        members, first = set(knot), min(knot)
        came_from: dict[int, int] = {}
        reached = deque([first])
        while first not in came_from:
            node = reached.popleft()
            for after in self.successors[node]:
                if after in members and after not in came_from:
                    came_from[after] = node
                    reached.append(after)
        cycle = [came_from[first]]
        while cycle[-1] != first:
            cycle.append(came_from[cycle[-1]])
        return cycle[::-1]


def _strong_components(successors: Sequence[Sequence[int]], nodes: Iterable[int]) -> list[list[int]]:
    """Return the strongly connected components that hold `nodes`.

    Source: Tarjan (1972), with a stack of iterators in place of recursion.
    """
    number: dict[int, int] = {}
    lowest: dict[int, int] = {}
    depth: dict[int, int] = {}
    open_nodes: list[int] = []
    components: list[list[int]] = []
    is_closed: set[int] = set()
    for root in nodes:
        calls = [] if root in number else [(root, iter(successors[root]))]
        while calls:
            node, rest = calls[-1]
            if node not in number:
                number[node] = lowest[node] = len(number)
                depth[node] = len(open_nodes)
                open_nodes.append(node)
            for after in rest:
                if after not in number:
                    calls.append((after, iter(successors[after])))
                    break
                if after not in is_closed:
                    lowest[node] = min(lowest[node], number[after])
            else:
                calls.pop()
                if calls:
                    lowest[calls[-1][0]] = min(lowest[calls[-1][0]], lowest[node])
                if lowest[node] == number[node]:
                    cut = depth[node]
                    components.append(open_nodes[cut:])
                    is_closed.update(open_nodes[cut:])
                    del open_nodes[cut:]
    return components
