"""The dependency graph of a plan by index: order, cycles, levels and the longest weighted path."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

__all__ = ["Graph", "LongestPath"]

_CYCLE_STEPS = 2_000_000
"""Most edges looked at for the cycles of one knot: about a second."""


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
        starts, tails = [0.0] * len(self), self._tails(weights)
        for node in self.order:
            before = self.predecessors[node]
            if before:
                starts[node] = max([starts[index] + weights[index] for index in before])
        length = max(tails, default=0.0)
        latest = [max(start, length - tail) for start, tail in zip(starts, tails, strict=True)]
        return LongestPath(length, self._follow(tails), tuple(starts), tuple(latest))

    def critical_nodes(self, weights: Sequence[float]) -> tuple[int, ...]:
        """Return the nodes of `longest_path` alone, in half its time."""
        assert self.is_acyclic
        return self._follow(self._tails(weights))

    def _tails(self, weights: Sequence[float]) -> list[float]:
        """Return the length of the longest path that begins at each node."""
        tails = [0.0] * len(self)
        for node in reversed(self.order):
            after = self.successors[node]
            tails[node] = weights[node] + (max([tails[index] for index in after]) if after else 0.0)
        return tails

    def _follow(self, tails: Sequence[float]) -> tuple[int, ...]:
        """Return the path that begins at the root with the longest tail and keeps to the longest."""
        path: list[int] = []
        choices: Sequence[int] = [node for node, before in enumerate(self.predecessors) if not before]
        while choices:
            path.append(max(choices, key=tails.__getitem__))
            choices = self.successors[path[-1]]
        return tuple(path)

    def find_cycles(self) -> list[list[int]]:
        """Return cycles that together use every edge within a knot of nodes, the shortest first.

        A graph may have more cycles than atoms; these are the ones to look at: for each edge that none of the
        others uses, a shortest cycle through it. Each begins with its lowest node, each node waits for the one
        before it, and the first for the last. In a huge knot the search ends after some cycles.
        """
        if self.is_acyclic:
            return []
        settled = set(self.order)
        suspects = [node for node in range(len(self)) if node not in settled]
        knots = [knot for knot in _strong_components(self.successors, suspects) if self._is_knot(knot)]
        cycles = [cycle for knot in sorted(map(sorted, knots)) for cycle in self._cycles_in(knot)]
        return sorted(cycles, key=lambda cycle: (len(cycle), cycle))

    def _is_knot(self, component: Sequence[int]) -> bool:
        return len(component) > 1 or component[0] in self.predecessors[component[0]]

    def _cycles_in(self, knot: Sequence[int]) -> Iterator[list[int]]:
        """Yield the cycles of a strongly connected component, within `_CYCLE_STEPS` visits of edges."""
        members, used = set(knot), set[tuple[int, int]]()
        steps = _CYCLE_STEPS
        for node in knot:
            for after in self.successors[node]:
                if after in members and (node, after) not in used and steps > 0:
                    cycle, spent = self._shortest_cycle(node, after, members)
                    steps -= spent
                    used.update(zip(cycle, [*cycle[1:], cycle[0]], strict=True))
                    lowest = cycle.index(min(cycle))
                    yield cycle[lowest:] + cycle[:lowest]

    def _shortest_cycle(self, node: int, after: int, members: Collection[int]) -> tuple[list[int], int]:
        """Return a shortest cycle that goes from `node` to `after`, and how many edges were looked at."""
        if node == after:
            return [node], 1
        came_from = {after: node}
        reached = deque([after])
        spent = 0
        while node not in came_from:
            here = reached.popleft()
            for successor in self.successors[here]:
                spent += 1
                if successor in members and successor not in came_from:
                    came_from[successor] = here
                    reached.append(successor)
        cycle = [node]
        while came_from[cycle[-1]] != node:
            cycle.append(came_from[cycle[-1]])
        return cycle[::-1], spent


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
