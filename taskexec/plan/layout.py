"""Where each task of a drawing stands: columns by level, few crossings, straight lines where possible.

Long edges run on rails through the columns between, one rail for all that begin or end at the same task, as
long as the picture is small enough for that to help. Positions are in abstract pixels, x to the right, y
down, from (0, 0).

Source: Sugiyama, Tagawa and Toda (1981) for levels and barycentre sweeps; the vertical positions are the
least squares fit that keeps order and gaps (pool adjacent violators).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from taskexec.plan.graph import Graph

__all__ = ["Grid", "Layout", "Point", "lay_out"]

Point = tuple[float, float]

_MOST_WAY_POINTS = 4000
_MOST_EDGES_COUNTED = 4000
_WAY_POINT_GAP_RATIO = 0.4
_SETTLING_ROUNDS = 8
_CENTRING = 0.2
"""How much of its distance from the picture's axis a column gives up in a pass; without it, plans drift."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Sizes that a layout keeps."""

    column_width: float
    """Width of a node."""
    column_gap: float
    """Free width between the columns of two levels."""
    row_height: float
    """Distance between the middles of two nodes above each other."""
    most_rows: int
    """A level with more nodes is wrapped into several columns."""
    sweeps: int
    """Passes over all levels, back and forth, that order the nodes."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything stands."""

    width: float
    height: float
    nodes: tuple[Point, ...]
    """Per node: the middle of its left side."""
    bends: dict[tuple[int, int], tuple[Point, ...]]
    """Per edge (predecessor, node): its way points, left ends of horizontal stretches of a column's width."""


def lay_out(graph: Graph, grid: Grid) -> Layout:
    """Return a layout of an acyclic graph; the same graph and grid always give the same."""
    web = _Web(graph, grid)
    web.reduce_crossings()
    x_of_level, width = web.columns_x()
    y = web.settle()
    top = min(y, default=0.0) - grid.row_height / 2
    points: list[Point] = [
        (x_of_level[web.level[index]] + web.shift[index], y[index] - top) for index in range(len(web.level))
    ]
    height = max(y, default=0.0) - top + grid.row_height / 2
    bends = {edge: tuple(points[index] for index in stops) for edge, stops in web.routes.items()}
    return Layout(width, height, tuple(points[: len(graph)]), bends)


class _Web:
    """Nodes and way points in columns, with their neighbours one column away (or, if none, further)."""

    def __init__(self, graph: Graph, grid: Grid) -> None:
        self._grid = grid
        self._size = len(graph)
        self.level = list(graph.levels)
        """Per node, then per way point."""
        self.left: list[list[int]] = [[] for _ in range(self._size)]
        self.right: list[list[int]] = [[] for _ in range(self._size)]
        self.routes: dict[tuple[int, int], list[int]] = {}
        """Per edge with way points: those."""
        self._is_wrapped = max(graph.widths, default=0) > grid.most_rows
        self._thread(graph)
        self.columns: list[list[int]] = [[] for _ in graph.widths]
        for index in self._first_order(graph):
            self.columns[self.level[index]].append(index)
        self.shift = [0.0] * len(self.level)
        """Per node: how far right of its level's first column it stands."""

    def _thread(self, graph: Graph) -> None:
        """Connect neighbours, through way points if there are not too many of them."""
        edges = [(before, node) for node, indices in enumerate(graph.predecessors) for before in indices]
        rails = {} if self._is_wrapped else _choose_rails(graph, edges)
        stations = {(rail, at) for edge, rail in rails.items() for at in self._levels_between(*edge)}
        numbers: dict[tuple[int, int], int] = {}
        if len(stations) <= _MOST_WAY_POINTS:
            numbers = {station: self._way_point(station[1]) for station in sorted(stations)}
        connected: set[tuple[int, int]] = set()
        for edge in edges:
            stops: list[int] = []
            if numbers and edge in rails:
                stops = [numbers[rails[edge], at] for at in self._levels_between(*edge)]
                self.routes[edge] = stops
            connected.update(pairwise([edge[0], *stops, edge[1]]))
        for one, other in sorted(connected):
            self.right[one].append(other)
            self.left[other].append(one)

    def _levels_between(self, before: int, node: int) -> range:
        return range(self.level[before] + 1, self.level[node])

    def _way_point(self, level: int) -> int:
        self.level.append(level)
        self.left.append([])
        self.right.append([])
        return len(self.level) - 1

    def _first_order(self, graph: Graph) -> Iterator[int]:
        """Yield all nodes and way points depth first, so that branches begin side by side."""
        seen = [False] * len(self.level)
        stack = [node for node in reversed(graph.order) if not graph.predecessors[node]]
        while stack:
            index = stack.pop()
            if not seen[index]:
                seen[index] = True
                yield index
                stack.extend(reversed(self.right[index]))

    def reduce_crossings(self) -> None:
        """Order each column by the mean position of its neighbours; keep the best order seen."""
        rank = [0.0] * len(self.level)
        for column in self.columns:
            self._number(column, rank)
        is_counted = sum(map(len, self.right)) <= _MOST_EDGES_COUNTED
        best, fewest = [*self.columns], self._crossings(rank) if is_counted else 0
        for sweep in range(self._grid.sweeps):
            neighbours, columns = (self.left, self.columns) if sweep % 2 == 0 else (self.right, self.columns[::-1])
            for column in columns:
                middles = {index: _mean(neighbours[index], rank, rank[index]) for index in column}
                column.sort(key=middles.__getitem__)
                self._number(column, rank)
            crossings = self._crossings(rank) if is_counted else 0
            if crossings <= fewest:
                best, fewest = [[*column] for column in self.columns], crossings
        self.columns = best

    def _number(self, column: Sequence[int], rank: list[float]) -> None:
        for position, index in enumerate(column):
            rank[index] = (position + 0.5) / len(column)

    def _crossings(self, rank: Sequence[float]) -> int:
        """Return how many pairs of edges between neighbouring columns cross."""
        crossings = 0
        for column in self.columns:
            ends: list[float] = []
            for index in sorted(column, key=rank.__getitem__):
                targets = [rank[other] for other in self.right[index]]
                crossings += sum(len(ends) - bisect_left(ends, target + 1e-9) for target in targets)
                for target in targets:
                    insort(ends, target)
        return crossings

    def columns_x(self) -> tuple[list[float], float]:
        """Return the left edge of each level and the width of all; wrap what is too high."""
        grid, x, width, edges = self._grid, 0.0, 0.0, []
        for column in self.columns:
            edges.append(x)
            across = -(-len(column) // grid.most_rows) if self._is_wrapped else 1
            step = grid.column_width * 1.25
            for position, index in enumerate(column):
                self.shift[index] = position % across * step
            fan = sum(len(self.right[index]) for index in column)
            width = x + (min(across, len(column)) - 1) * step + grid.column_width
            x = width + grid.column_gap * (1 + min(fan, 120) / 120)
        return edges, width

    def settle(self) -> list[float]:
        """Return a y for each node and way point: near its neighbours, in order, with gaps."""
        y = [0.0] * len(self.level)
        gaps = [self._gaps(column) for column in self.columns]
        for column, steps in zip(self.columns, gaps, strict=True):
            for index, offset in zip(column, steps, strict=True):
                y[index] = offset - steps[-1] / 2
        if self._is_wrapped:
            return y
        last = len(self.columns) - 1
        passes = [*range(1, last + 1), *range(last - 1, -1, -1)] * _SETTLING_ROUNDS + [*range(1, last + 1)]
        for turn, at in enumerate(passes):
            is_forward = turn % max(2 * last, 1) < last
            column = self.columns[at]
            wanted = [self._wanted(index, y, is_forward=is_forward) for index in column]
            fitted = _fit(wanted, gaps[at])
            drift = _CENTRING * (fitted[0] + fitted[-1]) / 2
            for index, value in zip(column, fitted, strict=True):
                y[index] = value - drift
        return y

    def _gaps(self, column: Sequence[int]) -> list[float]:
        """Return how far below the first each member of a column stands at least."""
        across = -(-len(column) // self._grid.most_rows) if self._is_wrapped else 1
        if across > 1:
            return [position // across * self._grid.row_height for position in range(len(column))]
        offsets = [0.0]
        for one, other in pairwise(column):
            ways = (one >= self._size) + (other >= self._size)
            ratio = (1.0, 0.5 + _WAY_POINT_GAP_RATIO / 2, _WAY_POINT_GAP_RATIO)[ways]
            offsets.append(offsets[-1] + self._grid.row_height * ratio)
        return offsets[: len(column)]

    def _wanted(self, index: int, y: Sequence[float], *, is_forward: bool) -> float:
        """Return where a node would like to stand: at the mean of one side, and a little of the other."""
        near, far = (self.left, self.right) if is_forward else (self.right, self.left)
        own = y[index]
        if not near[index]:
            return _mean(far[index], y, own)
        return 0.75 * _mean(near[index], y, own) + 0.25 * _mean(far[index], y, own)


def _choose_rails(graph: Graph, edges: Sequence[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """Return for each edge that passes a level the rail it shares: its task's index, or that less n.

    The rail of a successor (negative) leads only to it, that of a predecessor comes only from it; an edge
    takes the one that more long edges would share.
    """
    levels, size = graph.levels, len(graph)
    long_edges = [(before, node) for before, node in edges if levels[node] - levels[before] > 1]
    leaving = Counter(before for before, _ in long_edges)
    entering = Counter(node for _, node in long_edges)
    return {(before, node): node - size if entering[node] > leaving[before] else before for before, node in long_edges}


def _mean(indices: Sequence[int], values: Sequence[float], otherwise: float) -> float:
    return sum([values[index] for index in indices]) / len(indices) if indices else otherwise


def _fit(wanted: Sequence[float], offsets: Sequence[float]) -> list[float]:
    """Return the positions nearest to `wanted` whose order and least gaps are those of `offsets`."""
    blocks: list[tuple[float, int]] = []
    for value, offset in zip(wanted, offsets, strict=True):
        total, count = value - offset, 1
        while blocks and blocks[-1][0] * count >= total * blocks[-1][1]:
            before = blocks.pop()
            total, count = total + before[0], count + before[1]
        blocks.append((total, count))
    levels = [total / count for total, count in blocks for _ in range(count)]
    return [level + offset for level, offset in zip(levels, offsets, strict=True)]
