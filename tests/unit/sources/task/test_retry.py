"""The field `retry`, limits of time and declared files, as JSON and YAML write them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from taskexec.cli.schema import read_schema
from taskexec.domain.retry import RetryPolicy
from taskexec.domain.task import Task
from taskexec.errors import PlanRejected
from taskexec.plan import PlanDraft, build_plan
from taskexec.sources import read_planfile
from taskexec.sources.task.retry import RETRY_FIELDS, united_retry
from taskexec.sources.workflow.reader import read_workflow

ALL = ("exit", "signal", "timeout", "out_of_memory", "lost_worker", "refused", "infrastructure")
PLAN, WORKFLOW = (Draft202012Validator(read_schema(name)) for name in ("plan", "workflow"))


def in_plan(**fields: Any) -> PlanDraft:
    return read_planfile(json.dumps({"version": 2, "tasks": [{"id": "a", **fields}]}), "p.json")


def in_workflow(**fields: Any) -> PlanDraft:
    return read_workflow(json.dumps({"tasks": {"a": fields}}), "w.json")


def only(**fields: Any) -> Task:
    """Return the task that both kinds read from the same fields, without a word; both schemas take them."""
    PLAN.validate({"tasks": [{"id": "a", **fields}]})
    WORKFLOW.validate({"tasks": {"a": fields}})
    plans = [build_plan(in_plan(**fields)), build_plan(in_workflow(**fields))]
    assert plans[0] == plans[1]
    assert [plan.warnings for plan in plans] == [(), ()]
    return plans[0].tasks[0]


@pytest.mark.parametrize(
    ("retry", "policy"),
    [
        ({"delay": "10s", "backoff": "exponential", "max_delay": "5m"}, RetryPolicy(10.0, 2.0, 300.0)),
        ({"delay": 10, "factor": "x3", "max_delay": 300}, RetryPolicy(10.0, 3.0, 300.0)),
        ({"delay_s": 10, "factor": 3, "max_delay_s": 300.0, "jitter": 0.5}, RetryPolicy(10.0, 3.0, 300.0, 0.5)),
        ({"delay": "PT10S", "jitter": "50%"}, RetryPolicy(10.0, jitter=0.5)),
        ({"delay": 10, "backoff": "Fixed", "factor": 1}, RetryPolicy(10.0)),
        ({"on": ["exit", "exit 75", "timeout"]}, RetryPolicy(on=("exit", "timeout"))),
        ({"on": "exit:75"}, RetryPolicy(on=("exit 75",))),
        ({"on": ["any"]}, RetryPolicy(on=ALL)),
        ({"memory": 2}, RetryPolicy(memory_factor=2.0)),
        ({"memory": "x1.5"}, RetryPolicy(memory_factor=1.5)),
        ({"memory_factor": 1.5}, RetryPolicy(memory_factor=1.5)),
        ({"delay": None, "on": None}, RetryPolicy()),
        ({}, RetryPolicy()),
        (None, RetryPolicy()),
    ],
)
def test_policy_is_read(retry: Any, policy: RetryPolicy) -> None:
    assert only(retries=3, retry=retry).retry == policy


def test_number_says_how_many_retries() -> None:
    assert (only(retry=3).retries, only(retry=3).retry) == (3, RetryPolicy())
    assert only(retry=3, retries=3).retries == 3


def test_what_is_written_is_read_back() -> None:
    policy = RetryPolicy(1.5, 2.0, 60.0, 0.25, ("signal", "exit 3"), 2.0)

    assert only(retries=1, retry=policy.to_json()).retry == policy


def test_limits_and_files_are_read() -> None:
    task = only(
        total_timeout="1h", deadline="2026-03-01T18:00:00Z", inputs="data/**", outputs=["out/a.csv", "./out//a.csv"]
    )

    assert (task.total_timeout_s, task.deadline_at) == (3600.0, 1_772_388_000.0)
    assert (task.inputs, task.outputs) == (("data/**",), ("out/a.csv",))
    assert only(total_timeout_s=3600, deadline_at="2026-03-01T18:00Z", inputs=["data/**"], outputs="out/a.csv") == task


WRONG: list[tuple[str, Any]] = [
    *(("retry", value) for value in (-1, 1.5, "3", True, [3], "always")),
    *(("retry", {"delay": value}) for value in (-1, "soon", True, [], "1:30")),
    *(("retry", {"delay_s": value}) for value in (-1, "10")),
    *(("retry", {"max_delay": value}) for value in (0, "0s", -1)),
    *(("retry", {"backoff": value}) for value in (2, "linear", ["fixed"])),
    *(("retry", {"factor": value}) for value in (0.5, 1001, "two", True)),
    *(("retry", {"jitter": value}) for value in (-0.1, 1.1, "110%", "much")),
    *(("retry", {"memory": value}) for value in (0, "4G", 1001)),
    *(("retry", {"on": value}) for value in ([], ["crash"], [75], "exit 0", {"exit": 75}, ["cancelled"])),
    *(("total_timeout", value) for value in (0, "soon", -1)),
    ("total_timeout_s", "1h"),
    *(("deadline", value) for value in (1767225600, "soon", "2026-02-30", "")),
    *(("inputs", value) for value in (3, [3], "/x", ["../x"], [""], {})),
    *(("outputs", value) for value in ("a\0b", "~/x", ["C:/x"])),
]


@pytest.mark.parametrize(("field", "value"), WRONG)
def test_wrong_value_is_refused_where_it_stands(field: str, value: Any) -> None:
    for read in (in_plan, in_workflow):
        with pytest.raises(PlanRejected) as refused:
            build_plan(read(**{"retries": 1, "command": "make", field: value}))

        assert all(fault.hint and fault.places and fault.places[0].column for fault in refused.value.faults())


@pytest.mark.parametrize("name", ["max", "when", "delays", "zzz"])
def test_unknown_field_of_retry_is_a_fault_of_workflows_and_a_warning_of_plans(name: str) -> None:
    retry = {"delay": 5, name: 2}

    plan, workflow = in_plan(retries=1, retry=retry), in_workflow(retries=1, retry=retry)

    assert ([fault.code for fault in plan.warnings], plan.faults) == (["planfile.unknown_field"], [])
    assert [fault.code for fault in workflow.faults] == ["workflow.unknown_field"]
    assert not WORKFLOW.is_valid({"tasks": {"a": {"retry": retry}}})


@pytest.mark.parametrize(
    "fields",
    [
        {"retry": 3, "retries": 2},
        {"retry": {"delay": 5, "delay_s": 6}},
        {"total_timeout": "1h", "total_timeout_s": 60},
        {"deadline": "2026-03-01T18:00Z", "deadline_at": "2026-03-01T19:00Z"},
    ],
)
def test_two_fields_that_contradict_each_other_are_refused(fields: dict[str, Any]) -> None:
    assert [fault.code for fault in in_plan(**fields).faults] == ["planfile.shape"]


def test_fields_of_the_schemas_are_those_that_are_read() -> None:
    for name in ("plan", "workflow"):
        assert read_schema(name)["$defs"]["retry"]["properties"].keys() == {*RETRY_FIELDS}


LAYERS = """
defaults: {retries: 1, retry: {delay: 10s, factor: 3, on: [timeout]}, total_timeout: 1h, inputs: [conf.toml]}
lanes: {L: {retry: {max_delay: 1m}, deadline: 2026-03-01T18:00Z}}
tasks:
  plain: make
  lane: {lane: L, command: make}
  own: {lane: L, command: make, retry: {delay: 5s, backoff: fixed}, inputs: [x], total_timeout: 2h}
"""


def test_policy_of_a_task_is_united_with_those_of_lane_and_defaults() -> None:
    plain, lane, own = build_plan(read_workflow(LAYERS, "w.yaml")).tasks

    assert plain.retry == RetryPolicy(10.0, 3.0, on=("timeout",))
    assert lane.retry == RetryPolicy(10.0, 3.0, 60.0, on=("timeout",))
    assert own.retry == RetryPolicy(5.0, 1.0, 60.0, on=("timeout",))
    assert (plain.inputs, own.inputs, plain.total_timeout_s, own.total_timeout_s) == (
        ("conf.toml",),
        ("x",),
        3600,
        7200,
    )
    assert (plain.deadline_at, lane.deadline_at) == (None, 1_772_388_000.0)


def test_nothing_is_united_with_nothing() -> None:
    assert united_retry(None, None) is None


MATRIX = """
tasks:
  a:
    matrix: {n: [0, 2], wait: [10s, 1m]}
    command: make
    retry: ${{ matrix.n }}
    total_timeout_s: ${{ matrix.n }}0
  b:
    foreach: [x, y]
    retries: 2
    retry: {delay: 1m, on: ["exit 7", timeout]}
    inputs: ["in/${{ item }}.csv", common.csv]
    outputs: out/${{ item }}/**
"""


def test_members_of_a_matrix_have_their_own_values() -> None:
    text = MATRIX.replace("    total_timeout_s: ${{ matrix.n }}0\n", "    total_timeout: ${{ matrix.wait }}\n")

    tasks = build_plan(read_workflow(text, "w.yaml")).tasks

    assert [(task.retries, task.total_timeout_s) for task in tasks[:4]] == [(0, 10), (0, 60), (2, 10), (2, 60)]
    assert [task.inputs for task in tasks[4:]] == [("in/x.csv", "common.csv"), ("in/y.csv", "common.csv")]
    assert [task.outputs for task in tasks[4:]] == [("out/x/**",), ("out/y/**",)]
    assert tasks[4].retry == RetryPolicy(60.0, on=("timeout", "exit 7"))


def test_part_of_a_number_cannot_come_from_a_matrix() -> None:
    assert read_workflow(MATRIX, "w.yaml").faults
