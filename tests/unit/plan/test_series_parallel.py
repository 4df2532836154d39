from __future__ import annotations

import itertools

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskexec.plan import Graph, is_series_parallel

from .drafting import acyclic


def holds_an_n(predecessors: list[list[int]]) -> bool:
    """Look for a < c, b < c, b < d and nothing else among all four tasks of the transitive closure."""
    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_nodes_from(range(len(predecessors)))
    graph.add_edges_from((index, node) for node, before in enumerate(predecessors) for index in before)
    less = set(nx.transitive_closure_dag(graph).edges)
    return any(
        {(a, c), (b, c), (b, d)} == {pair for pair in itertools.permutations((a, b, c, d), 2) if pair in less}
        for a, b, c, d in itertools.permutations(graph.nodes, 4)
        if (a, c) in less and (b, c) in less
    )


@given(acyclic(7))
def test_verdict_is_that_of_looking_for_an_n(predecessors: list[list[int]]) -> None:
    assert is_series_parallel(Graph.of(predecessors)) is not holds_an_n(predecessors)


Pairs = tuple[list[int], set[tuple[int, int]]]


def compose(parts: tuple[bool, list[Pairs]]) -> Pairs:
    """Put parts in series or in parallel, as (tasks, pairs in order)."""
    in_series, pieces = parts
    nodes: list[int] = []
    pairs: set[tuple[int, int]] = set()
    for inner_nodes, inner_pairs in pieces:
        shift = len(nodes)
        moved = [node + shift for node in inner_nodes]
        pairs |= {(a + shift, b + shift) for a, b in inner_pairs}
        pairs |= set(itertools.product(nodes, moved)) if in_series else set()
        nodes += moved
    return nodes, pairs


orders = st.recursive(
    st.just(([0], set())),
    lambda inner: st.tuples(st.booleans(), st.lists(inner, min_size=2, max_size=4)).map(compose),
    max_leaves=14,
)


@given(orders, st.data())
def test_compositions_are_series_parallel_with_any_redundant_edges(order: Pairs, data: st.DataObject) -> None:
    nodes, pairs = order
    reduced = nx.transitive_reduction(nx.DiGraph(sorted(pairs)))
    redundant = sorted(pairs - set(reduced.edges))
    kept = data.draw(st.lists(st.sampled_from(redundant), unique=True)) if redundant else []
    names = data.draw(st.permutations(nodes))
    predecessors: list[list[int]] = [[] for _ in nodes]
    for before, node in [*reduced.edges, *kept]:
        predecessors[names[node]].append(names[before])

    assert is_series_parallel(Graph.of(predecessors))


def test_n_is_not_series_parallel() -> None:
    assert not is_series_parallel(Graph.of([[], [], [0, 1], [1]]))


def test_n_hidden_behind_a_redundant_edge_is_found() -> None:
    assert not is_series_parallel(Graph.of([[], [0], [0, 1], [], [1, 3], [0, 2]]))


def layered(layers: int, width: int) -> list[list[int]]:
    """Each task waits for three of the layer before, by a fixed rule."""
    size = layers * width
    steps = (0, 7, 13)
    return [
        [] if node < width else [node // width * width - width + (node + step) % width for step in steps]
        for node in range(size)
    ]


@pytest.mark.parametrize(
    ("predecessors", "expected"),
    [
        ([[]], True),
        ([], True),
        ([[]] * 5_000, True),
        ([[node - 1] if node else [] for node in range(20_000)], True),
        ([[], *[[0]] * 5_000, list(range(1, 5_001))], True),
        ([list(range(max(0, node - 4), node)) for node in range(20_000)], True),
        (layered(50, 400), False),
    ],
    ids=["one", "none", "loose", "chain", "fan", "redundant chain", "layered"],
)
def test_large_graphs_are_judged(predecessors: list[list[int]], expected: bool) -> None:
    assert is_series_parallel(Graph.of(predecessors)) is expected
