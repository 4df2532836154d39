"""What it comes to when tasks are to run again, on any graph."""

from __future__ import annotations

import networkx as nx
from hypothesis import given
from hypothesis import strategies as st

from taskexec.domain.again import RetryPlan, is_done, retry_of
from taskexec.domain.rules import TaskState

STATES = ["", "H1", "Q1", "R1", "S1", "F2", "X0", "C1", "P0"]


@st.composite
def cases(draw: st.DrawFn) -> tuple[nx.DiGraph, dict[int, TaskState], list[int]]:
    size = draw(st.integers(1, 8))
    graph = nx.DiGraph()
    graph.add_nodes_from(range(size))
    for index in range(1, size):
        graph.add_edges_from((before, index) for before in draw(st.sets(st.integers(0, index - 1), max_size=3)))
    letters = draw(st.lists(st.sampled_from(STATES), min_size=size, max_size=size))
    state = {index: TaskState.decode(text) for index, text in enumerate(letters) if text}
    return graph, state, draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=3))


def plan_of(graph: nx.DiGraph, state: dict[int, TaskState], named: list[int]) -> RetryPlan:
    return retry_of(named, successors_of=graph.successors, dependencies_of=graph.predecessors, state=state)


@given(case=cases())
def test_what_runs_again_is_named_or_depends_on_what_is_named(case) -> None:
    graph, state, named = case
    behind = set(named).union(*(nx.descendants(graph, index) for index in named))

    plan = plan_of(*case)

    assert {*plan.again, *plan.reset, *plan.busy, *plan.hopeless} <= behind
    assert all(state[index].encode()[0] in "SFXC" for index in plan.again)
    assert list(plan.again) == sorted(plan.again)


@given(case=cases())
def test_nothing_runs_again_while_a_part_of_it_is_at_work(case) -> None:
    graph, state, named = case
    behind = set(named).union(*(nx.descendants(graph, index) for index in named))
    at_work = {index for index in behind if index in state and state[index].encode()[0] in "HQR"}

    plan = plan_of(*case)

    assert set(plan.busy) == at_work
    assert not (at_work and (plan.again or plan.reset))


@given(case=cases())
def test_everything_before_what_runs_again_is_done_waits_or_runs_again(case) -> None:
    graph, state, _ = case

    plan = plan_of(*case)

    for index in plan.reset:
        for before in graph.predecessors(index):
            assert (
                before in plan.reset
                or is_done(state.get(before))
                or before not in state
                or (state[before].encode()[0] in "HQR")
            )


@given(case=cases())
def test_named_task_is_hopeless_only_behind_something_that_ended_otherwise(case) -> None:
    graph, state, _ = case

    for index in plan_of(*case).hopeless:
        before = [state[one].encode()[0] for one in nx.ancestors(graph, index) if one in state]
        assert set(before) & set("FXC")
