"""Whether a dependency order is series-parallel: exactly expressible as nested chains and groups.

The order (not the edges: redundant ones do not matter) is series-parallel when no four tasks form an N,
`a < c, b < c, b < d` and nothing else. Linear in tasks and edges, exact, without a transitive closure:

1. In a series-parallel order, tasks that share one immediate successor share all of them (its reduction is a
   line digraph). The first successor of a task and the last predecessor of a task, in any topological order,
   are immediate. So each task has a *gate* before and after it that can be read off directly, and the tasks
   become the arcs of a small graph of gates.
2. The gates' graph is reduced, arcs in series and in parallel, to one arc; this gives a tree of compositions.
3. Steps 1 and 2 took the order to be series-parallel; so compare: every immediate pair of the tree's order is
   an edge of the graph (by counting), and every edge is in the tree's order (which has dimension two: one
   task is before another when it stands earlier in both of two lists).

Source: Valdes, Tarjan and Lawler, The recognition of series parallel digraphs (1982); the gates by first
successor and the check by two lists are ours.
"""

from __future__ import annotations

from collections import Counter
from typing import TypeAlias

from taskexec.plan.graph import Graph

__all__ = ["is_series_parallel"]

_Tree: TypeAlias = "int | tuple[bool, _Tree, _Tree]"
"""A task, or a composition of two trees: (whether in series, first, second)."""


def is_series_parallel(graph: Graph) -> bool:
    """Return whether the order of an acyclic graph is (vertex) series-parallel; True for an empty graph."""
    if not len(graph):
        return True
    before, after = _gates(graph)
    if not _gates_are_complete(graph, before, after):
        return False
    tree = _reduce(before, after)
    return tree is not None and _holds_every_edge(graph, tree)


def _gates(graph: Graph) -> tuple[list[int], list[int]]:
    """Return each task's gate before and after it: n for the begin, n + 1 the end, else a task's index."""
    size = len(graph)
    rank = [0] * size
    for position, node in enumerate(graph.order):
        rank[node] = position
    place = rank.__getitem__
    after = [min(nodes, key=place) if nodes else size + 1 for nodes in graph.successors]
    before = [after[max(nodes, key=place)] if nodes else size for nodes in graph.predecessors]
    return before, after


def _gates_are_complete(graph: Graph, before: list[int], after: list[int]) -> bool:
    """Return whether at each gate every task that enters it has an edge to every task that leaves it."""
    entering, leaving = Counter(after), Counter(before)
    wanted = sum(count * leaving[gate] for gate, count in entering.items())
    found = 0
    for node, indices in enumerate(graph.predecessors):
        gate = before[node]
        found += sum([after[index] == gate for index in indices])
    return found == wanted


def _reduce(before: list[int], after: list[int]) -> _Tree | None:
    """Return the tree that the gates' graph reduces to, or None when it does not."""
    size = len(before)
    arcs_in: list[dict[int, _Tree]] = [{} for _ in range(size + 2)]
    arcs_out: list[dict[int, _Tree]] = [{} for _ in range(size + 2)]

    def add(tail: int, head: int, tree: _Tree) -> None:
        known = arcs_out[tail].get(head)
        arcs_out[tail][head] = arcs_in[head][tail] = tree if known is None else (False, known, tree)

    for node in range(size):
        add(before[node], after[node], node)
    suspects = sorted(set(before + after) - {size, size + 1})
    left = len(suspects)
    while suspects:
        gate = suspects.pop()
        if len(arcs_in[gate]) != 1 or len(arcs_out[gate]) != 1:
            continue
        (tail, first), (head, second) = *arcs_in[gate].items(), *arcs_out[gate].items()
        arcs_in[gate], arcs_out[gate] = {}, {}
        del arcs_out[tail][gate], arcs_in[head][gate]
        add(tail, head, (True, first, second))
        left -= 1
        suspects += [end for end in (tail, head) if end < size]
    return None if left else arcs_out[size].get(size + 1)


def _holds_every_edge(graph: Graph, tree: _Tree) -> bool:
    """Return whether the order that a tree means contains every edge of the graph."""
    rank, mirrored = _positions(tree, len(graph)), _positions(tree, len(graph), mirrored=True)
    return all(
        rank[index] < rank[node] and mirrored[index] < mirrored[node]
        for node, indices in enumerate(graph.predecessors)
        for index in indices
    )


def _positions(tree: _Tree, size: int, *, mirrored: bool = False) -> list[int]:
    """Return where each task stands in the tree read from left to right; mirrored, parallel parts swap."""
    positions = [0] * size
    count = 0
    todo = [tree]
    while todo:
        part = todo.pop()
        if isinstance(part, int):
            positions[part] = count
            count += 1
        else:
            in_series, first, second = part
            todo += (first, second) if mirrored and not in_series else (second, first)
    return positions
