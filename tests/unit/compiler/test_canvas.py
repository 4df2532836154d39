"""Tests of the canvas: every dependency once, in real Celery chains and chords, and linear in size."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import networkx as nx
import orjson
import pytest
from celery.canvas import Signature, _chain, chord
from hypothesis import given, settings
from hypothesis import strategies as st

from taskexec.compiler import ATTEMPT_TASK, Canvas, StagedChord, compile_canvas
from taskexec.domain.resources import Route
from taskexec.plan import Plan

MakePlan = Callable[..., Plan]

N_SHAPE = {"a": [], "b": [], "c": ["a"], "d": ["a", "b"]}


@st.composite
def graphs(draw: st.DrawFn, most: int = 12) -> tuple[dict[str, list[str]], dict[str, Route]]:
    """Draw predecessors and routes of a random acyclic graph whose numbering is not topological."""
    size = draw(st.integers(1, most))
    names = [f"t{number}" for number in draw(st.permutations(range(size)))]
    order = {
        name: draw(st.lists(st.sampled_from(names[:at]), unique=True)) if at else [] for at, name in enumerate(names)
    }
    routes = {name: draw(st.sampled_from([Route.CPU, Route.CPU, Route.GPU])) for name in names}
    shuffled = draw(st.permutations(names))
    return {name: order[name] for name in shuffled}, routes


def edges_of(predecessors: dict[str, list[str]]) -> Counter[tuple[str, str]]:
    return Counter((before, after) for after, names in predecessors.items() for before in names)


def oracle(predecessors: dict[str, list[str]]) -> nx.DiGraph[str]:
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(predecessors)
    graph.add_edges_from(edges_of(predecessors))
    return graph


def edges_in_json(canvas: Canvas) -> Counter[tuple[str, str]]:
    """Read the dependencies from the plain JSON of the canvas, with nothing of ours."""
    found: Counter[tuple[str, str]] = Counter()
    for stage in json.loads(orjson.dumps(canvas.to_json()))["stages"]:
        body = stage["signature"]
        if body["subtask_type"] == "taskexec.staged_chord":
            header, body = body["kwargs"]["header"], body["kwargs"]["body"]
            found.update((member["args"][0], stage["tasks"][0]) for member in header)
        members = body["kwargs"]["tasks"] if body["subtask_type"] == "chain" else [body]
        found.update((one["args"][0], two["args"][0]) for one, two in pairwise(members))
        for member in members:
            found.update((member["args"][0], link["args"][0]) for link in member["options"].get("link", []))
    return found


def test_n_shaped_graph_gets_no_edge_that_it_does_not_have(plan_of: MakePlan) -> None:
    canvas = compile_canvas(plan_of(N_SHAPE))

    assert Counter(canvas.edges()) == edges_of(N_SHAPE)
    assert ("b", "c") not in set(canvas.edges())


def test_task_with_two_joins_after_it_sits_in_both_headers(plan_of: MakePlan) -> None:
    canvas = compile_canvas(plan_of({"a": [], "b": [], "c": [], "d": ["a", "b"], "e": ["b", "c"]}))

    chords = [stage.signature for stage in canvas.stages if isinstance(stage.signature, StagedChord)]
    headers = [[member.args[0] for member in chord.kwargs["header"]] for chord in chords]
    assert headers == [["a", "b"], ["b", "c"]]


@given(drawn=graphs())
def test_every_dependency_stands_exactly_once(
    plan_of: MakePlan, drawn: tuple[dict[str, list[str]], dict[str, Route]]
) -> None:
    canvas = compile_canvas(plan_of(*drawn))

    there = Counter(canvas.edges())
    assert there == edges_in_json(canvas)
    assert set(there) == set(oracle(drawn[0]).edges)
    assert set(there.values()) <= {1}


@given(drawn=graphs())
def test_every_task_is_in_exactly_one_stage(
    plan_of: MakePlan, drawn: tuple[dict[str, list[str]], dict[str, Route]]
) -> None:
    canvas = compile_canvas(plan_of(*drawn))

    members = [task for stage in canvas.stages for task in stage.tasks]
    assert sorted(members) == sorted(drawn[0])


@given(drawn=graphs())
def test_chains_are_the_longest_linear_runs_on_one_route(
    plan_of: MakePlan, drawn: tuple[dict[str, list[str]], dict[str, Route]]
) -> None:
    predecessors, routes = drawn

    canvas = compile_canvas(plan_of(predecessors, routes))

    graph = oracle(predecessors)
    linear = {
        (one, two)
        for one, two in graph.edges
        if graph.out_degree(one) == 1 and graph.in_degree(two) == 1 and routes[one] == routes[two]
    }
    chained = {pair for stage in canvas.stages for pair in pairwise(stage.tasks)}
    assert chained == linear


@given(drawn=graphs(), data=st.data())
def test_satisfied_tasks_and_their_dependencies_are_left_out(
    plan_of: MakePlan, drawn: tuple[dict[str, list[str]], dict[str, Route]], data: st.DataObject
) -> None:
    predecessors, routes = drawn
    satisfied = data.draw(st.sets(st.sampled_from(sorted(predecessors))))

    canvas = compile_canvas(plan_of(predecessors, routes, satisfied))

    performed = oracle(predecessors).subgraph(set(predecessors) - satisfied)
    assert Counter(canvas.edges()) == edges_in_json(canvas) == Counter(list(performed.edges))
    assert sorted(task for stage in canvas.stages for task in stage.tasks) == sorted(performed)


@given(drawn=graphs(), data=st.data())
def test_canvas_is_that_of_the_plan_without_its_satisfied_tasks(
    plan_of: MakePlan, drawn: tuple[dict[str, list[str]], dict[str, Route]], data: st.DataObject
) -> None:
    predecessors, routes = drawn
    satisfied = data.draw(st.sets(st.sampled_from(sorted(predecessors))))
    rest = {
        name: [one for one in before if one not in satisfied]
        for name, before in predecessors.items()
        if name not in satisfied
    }

    canvas = compile_canvas(plan_of(predecessors, routes, satisfied))

    assert canvas.stages == compile_canvas(plan_of(rest, routes)).stages


def test_dependent_of_satisfied_tasks_only_begins_a_chain_without_a_header(plan_of: MakePlan) -> None:
    graph = {"a": [], "b": [], "c": ["a", "b"], "d": ["c"]}

    canvas = compile_canvas(plan_of(graph, satisfied={"a", "b"}))

    assert canvas.describe() == ["chain(c -> d)"]


def test_canvas_of_a_plan_that_is_done_is_empty(plan_of: MakePlan) -> None:
    canvas = compile_canvas(plan_of(N_SHAPE, satisfied=N_SHAPE))

    assert canvas.stages == ()
    assert canvas.to_json()["stages"] == []


def test_stages_are_celerys_own_chains_and_chords(plan_of: MakePlan) -> None:
    graph = {"a": [], "b": ["a"], "x": [], "j": ["b", "x"], "k": ["j"]}

    canvas = compile_canvas(plan_of(graph))

    by_tasks = {stage.tasks: stage.signature for stage in canvas.stages}
    assert isinstance(by_tasks["a", "b"], _chain)
    assert type(by_tasks["x",]) is Signature
    assert isinstance(by_tasks["j", "k"], chord)
    assert isinstance(by_tasks["j", "k"].kwargs["body"], _chain)
    assert by_tasks["x",].task == ATTEMPT_TASK


def test_signatures_name_the_queue_of_their_route(plan_of: MakePlan) -> None:
    canvas = compile_canvas(plan_of({"a": [], "b": ["a"]}, {"a": Route.CPU, "b": Route.GPU}))

    queues = {stage.tasks: stage.signature.options["queue"] for stage in canvas.stages}
    assert queues == {("a",): "cpu", ("b",): "gpu"}


@settings(max_examples=50)
@given(drawn=graphs())
def test_canvas_comes_back_from_json_as_it_was(
    plan_of: MakePlan, drawn: tuple[dict[str, list[str]], dict[str, Route]]
) -> None:
    canvas = compile_canvas(plan_of(*drawn))

    for stage in canvas.stages:
        written = json.loads(orjson.dumps(stage.signature))
        back = Signature.from_dict(written)
        assert type(back) is type(stage.signature)
        assert json.loads(orjson.dumps(back)) == written


def test_chord_stays_a_staged_chord_after_two_round_trips(plan_of: MakePlan) -> None:
    canvas = compile_canvas(plan_of(N_SHAPE))
    chord = next(stage.signature for stage in canvas.stages if isinstance(stage.signature, StagedChord))

    once = Signature.from_dict(json.loads(json.dumps(chord)))
    twice = Signature.from_dict(json.loads(json.dumps(once)))

    assert type(twice) is StagedChord
    assert [member.args[0] for member in twice.kwargs["header"]] == ["a", "b"]


def test_description_shows_chains_and_headers(plan_of: MakePlan) -> None:
    canvas = compile_canvas(plan_of({"a": [], "b": [], "c": ["a", "b"], "d": ["c"]}))

    assert canvas.describe() == ["a", "b", "chord([a, b], chain(c -> d))"]


def layered(tasks: int, width: int = 10, fan_in: int = 5) -> dict[str, list[str]]:
    """Return a graph of layers, each task after `fan_in` of the layer before; ids have one length."""

    def before(number: int) -> list[str]:
        layer, at = divmod(number, width)
        return [f"t{(layer - 1) * width + (at + step) % width:05d}" for step in range(fan_in if layer else 0)]

    return {f"t{number:05d}": before(number) for number in range(tasks)}


def test_bytes_a_task_do_not_grow_with_the_plan(plan_of: MakePlan) -> None:
    small, large = (
        len(orjson.dumps(compile_canvas(plan_of(layered(tasks))).to_json())) / tasks for tasks in (500, 4000)
    )

    assert large == pytest.approx(small, rel=0.05)


@pytest.mark.slow
def test_twenty_thousand_tasks_with_ninety_six_thousand_edges_compile(plan_of: MakePlan) -> None:
    graph = layered(20_000, width=800, fan_in=5)

    canvas = compile_canvas(plan_of(graph))

    assert sum(1 for _ in canvas.edges()) == sum(map(len, graph.values())) == 96_000
