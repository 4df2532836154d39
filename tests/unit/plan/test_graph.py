from __future__ import annotations

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskexec.plan import Graph

from .drafting import acyclic, any_graph


def oracle(predecessors: list[list[int]]) -> nx.DiGraph[int]:
    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_nodes_from(range(len(predecessors)))
    graph.add_edges_from((index, node) for node, before in enumerate(predecessors) for index in before)
    return graph


@given(acyclic())
def test_order_holds_every_node_after_its_predecessors(predecessors: list[list[int]]) -> None:
    graph = Graph.of(predecessors)

    rank = {node: position for position, node in enumerate(graph.order)}

    assert sorted(rank) == list(range(len(graph)))
    assert all(rank[index] < rank[node] for node, before in enumerate(predecessors) for index in before)
    assert [graph.levels[node] for node in graph.order] == sorted(graph.levels)


@given(acyclic())
def test_levels_and_widths_are_those_of_the_topological_generations(predecessors: list[list[int]]) -> None:
    graph = Graph.of(predecessors)

    generations = [sorted(nodes) for nodes in nx.topological_generations(oracle(predecessors))]

    found = [[node for node in range(len(graph)) if graph.levels[node] == at] for at in range(len(graph.widths))]
    assert found == generations
    assert list(graph.widths) == [len(nodes) for nodes in generations]


@given(acyclic(), st.data())
def test_longest_path_is_as_long_as_the_oracles(predecessors: list[list[int]], data: st.DataObject) -> None:
    graph, size = Graph.of(predecessors), len(predecessors)
    weights = data.draw(st.lists(st.integers(0, 9), min_size=size, max_size=size))
    weighted: nx.DiGraph[int] = nx.DiGraph()
    weighted.add_nodes_from(range(size + 1))
    weighted.add_edges_from((a, b, {"weight": weights[a]}) for a, b in oracle(predecessors).edges)
    weighted.add_edges_from((a, size, {"weight": weights[a]}) for a in range(size))

    path = graph.longest_path([float(weight) for weight in weights])

    assert path.length == nx.dag_longest_path_length(weighted)
    assert path.length == sum(weights[node] for node in path.nodes)
    assert all(one in graph.predecessors[other] for one, other in zip(path.nodes, path.nodes[1:], strict=False))
    assert all(path.slack(node) == 0 for node in path.nodes)
    assert graph.critical_nodes([float(weight) for weight in weights]) == path.nodes


@given(acyclic(8), st.data())
def test_using_up_the_slack_of_one_node_changes_nothing_and_more_does(
    predecessors: list[list[int]], data: st.DataObject
) -> None:
    graph, size = Graph.of(predecessors), len(predecessors)
    weights = [float(w) for w in data.draw(st.lists(st.integers(0, 9), min_size=size, max_size=size))]
    path = graph.longest_path(weights)

    for node in range(size):
        late = [weight + path.slack(node) * (index == node) for index, weight in enumerate(weights)]
        later = [weight + (index == node) for index, weight in enumerate(late)]

        assert graph.longest_path(late).length == path.length
        assert graph.longest_path(later).length == path.length + 1


@given(any_graph())
def test_every_edge_of_a_knot_is_on_one_of_the_cycles(predecessors: list[list[int]]) -> None:
    graph, expected = Graph.of(predecessors), oracle(predecessors)
    knots = [
        component
        for component in nx.strongly_connected_components(expected)
        if len(component) > 1 or any(expected.has_edge(node, node) for node in component)
    ]

    cycles = graph.find_cycles()

    assert graph.is_acyclic == (not knots)
    assert [len(cycle) for cycle in cycles] == sorted(map(len, cycles))
    assert len({tuple(cycle) for cycle in cycles}) == len(cycles)
    knotted = {edge for knot in knots for edge in expected.subgraph(knot).edges}
    assert {(cycle[at - 1], node) for cycle in cycles for at, node in enumerate(cycle)} == knotted
    for cycle in cycles:
        assert len(set(cycle)) == len(cycle)
        assert all(cycle[at - 1] in graph.predecessors[node] for at, node in enumerate(cycle))


def test_repeated_edges_are_one() -> None:
    assert Graph.of([[], [0, 0]]).edge_count == 1


@pytest.mark.parametrize("knots", [1, 10_000])
def test_long_chains_of_knots_need_no_recursion_and_no_quadratic_time(knots: int) -> None:
    size = 20_000 // knots
    predecessors = [[node - 1] if node else [] for node in range(20_000)]
    for first in range(0, 20_000, size):
        predecessors[first] = [*predecessors[first], first + size - 1]

    cycles = Graph.of(predecessors).find_cycles()

    assert [len(cycle) for cycle in cycles] == [size] * knots
