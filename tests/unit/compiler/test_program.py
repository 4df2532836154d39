"""Tests of the program: latches and successors as in the graph, dispatch records that the scripts can read."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import networkx as nx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskexec.broker import queue_key
from taskexec.compiler import compile_canvas, compile_program
from taskexec.domain.program import Program, RunOptions
from taskexec.domain.resources import Route
from taskexec.domain.retry import AttemptPolicy, RetryPolicy
from taskexec.plan import Plan

MakePlan = Callable[..., Plan]


def program_of(plan: Plan) -> Program:
    return compile_program(
        plan,
        compile_canvas(plan),
        run_id="r",
        options=RunOptions(),
        queue_key=queue_key,
        template="{}",
        plan_json=b'{"tasks": []}',
    )


@given(data=st.data())
def test_latches_count_what_networkx_counts(plan_of: MakePlan, data: st.DataObject) -> None:
    names = [f"t{number}" for number in range(data.draw(st.integers(1, 12)))]
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(names)
    for at, name in enumerate(names[1:], 1):
        before = data.draw(st.lists(st.sampled_from(names[:at]), unique=True))
        graph.add_edges_from((one, name) for one in before)

    program = program_of(plan_of({name: list(graph.predecessors(name)) for name in names}))

    assert [task.pending for task in program.tasks] == [graph.in_degree(name) for name in names]
    assert [{names[index] for index in task.successors} for task in program.tasks] == [
        set(graph.successors(name)) for name in names
    ]


@given(data=st.data())
def test_satisfied_tasks_keep_their_index_and_are_counted_by_no_latch(plan_of: MakePlan, data: st.DataObject) -> None:
    names = [f"t{number}" for number in range(data.draw(st.integers(1, 10)))]
    before = {
        name: data.draw(st.lists(st.sampled_from(names[:at]), unique=True)) if at else []
        for at, name in enumerate(names)
    }
    satisfied = data.draw(st.sets(st.sampled_from(names)))

    program = program_of(plan_of(before, satisfied=satisfied))

    assert [task.is_satisfied for task in program.tasks] == [name in satisfied for name in names]
    for name, task in zip(names, program.tasks, strict=True):
        if name in satisfied:
            assert (task.successors, task.pending, task.dispatch, task.spec) == ((), 0, "", b"")
        else:
            counted = [one for one in before[name] if one not in satisfied]
            indexes, spec = task.spec.split(b"\n", 1)
            assert task.pending == len(counted)
            assert {names[int(index)] for index in indexes.split(b",") if index} == set(counted)
            assert sorted(orjson.loads(spec)["depends_on"]) == sorted(counted)
            assert {names[index] for index in task.successors} == {
                after for after in names if name in before[after] and after not in satisfied
            }


def test_spec_names_dependencies_by_index_and_by_id_in_one_order(plan_of: MakePlan) -> None:
    program = program_of(plan_of({"a": [], "b": [], "c": ["b", "a"]}))

    indexes, spec = program.tasks[2].spec.split(b"\n", 1)

    names = [("a", "b")[int(index)] for index in indexes.split(b",")]
    assert names == orjson.loads(spec)["depends_on"]


def test_dispatch_record_names_list_route_agent_and_label(plan_of: MakePlan) -> None:
    plan = plan_of({"t": []}, {"t": Route.GPU}, agent="shell", retries=2, priority=9)

    assert program_of(plan).tasks[0].dispatch.split("\t") == ["gpu", "gpu", "shell", "t"]


def test_policy_holds_retries_and_limits_of_time_and_is_empty_for_a_task_without(plan_of: MakePlan) -> None:
    policy = RetryPolicy(delay_s=1.5, factor=2.0, on=("exit 75", "timeout"), memory_factor=2.0)
    plan = plan_of({"t": []}, retries=2, retry=policy, total_timeout_s=60.0, deadline_at=1.75e9)

    kept = AttemptPolicy.decode(program_of(plan).tasks[0].policy)

    assert (kept.retries, kept.on, kept.delay_us, kept.factor) == (2, ("exit 75", "timeout"), 1_500_000, 2.0)
    assert (kept.memory, kept.budget_us, kept.deadline_us) == (2.0, 60_000_000, 1_750_000_000_000_000)
    assert program_of(plan_of({"t": []})).tasks[0].policy == b""


@pytest.mark.parametrize("name", ["a\tb", 'q"', "\\", "é" * 400, "💥" * 400, "\x7f" * 400, "\x01" * 400, "%1 %%"])
def test_label_is_short_json_text_whatever_the_id(name: str, plan_of: MakePlan) -> None:
    fields = program_of(plan_of({name: []}, agent='odd\t"agent')).tasks[0].dispatch.split("\t")

    label = orjson.loads(f'"{fields[3]}"')
    assert len(fields) == 4
    assert name.startswith(label)
    assert label
    assert len(fields[3].encode()) <= 120
    assert orjson.loads(f'"{fields[2]}"') == 'odd\t"agent'


def test_documents_are_kept_compressed(plan_of: MakePlan) -> None:
    program = program_of(plan_of({"a": [], "b": ["a"]}))

    assert zlib.decompress(program.plan) == b'{"tasks": []}'
    assert orjson.loads(zlib.decompress(program.canvas))["stages"][0]["tasks"] == ["a", "b"]
