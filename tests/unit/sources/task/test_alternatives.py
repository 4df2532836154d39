"""The resources of a task as JSON and YAML write them: disk, labels, ranks and alternatives."""

from __future__ import annotations

import json
from typing import Any

import pytest

from taskexec.domain.resources import Alternative, Needs
from taskexec.plan import PlanDraft, build_plan
from taskexec.sources import read_planfile
from taskexec.sources.workflow.reader import read_workflow


def in_plan(**fields: Any) -> PlanDraft:
    return read_planfile(json.dumps({"version": 2, "tasks": [{"id": "a", **fields}]}), "p.json")


def in_workflow(**fields: Any) -> PlanDraft:
    return read_workflow(json.dumps({"tasks": {"a": fields}}), "w.json")


def needs(**fields: Any) -> Needs:
    """Return what both kinds read from the same fields."""
    plans = [build_plan(in_plan(**fields)), build_plan(in_workflow(**fields))]
    assert plans[0] == plans[1]
    return plans[0].tasks[0].needs


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"disk": "10G"}, Needs(disk_mib=10_240)),
        ({"disk_mib": 5, "disk": 5}, Needs(disk_mib=5)),
        ({"has": ["ssd", "a=b"], "not": "slow"}, Needs(has=("a=b", "ssd"), has_not=("slow",))),
        ({"exclusive": True, "nodes": 3, "packed": True}, Needs(exclusive=True, nodes=3, packed=True)),
        ({"alternatives": []}, Needs()),
        (
            {"alternatives": [{"gpus": 0.5, "weight": 2, "has": "x", "not": ["y"], "exclusive": True, "disk": "1G"}]},
            Needs(
                alternatives=(
                    Alternative(2.0, Needs(gpus=0.5, has=("x",), has_not=("y",), exclusive=True, disk_mib=1_024)),
                )
            ),
        ),
        ({"has": None, "alternatives": None, "nodes": None}, Needs()),
    ],
)
def test_fields_are_read(fields: dict[str, Any], expected: Needs) -> None:
    assert needs(**fields) == expected


@pytest.mark.parametrize(
    "fields",
    [
        {"has": 3},
        {"not": ["x", 3]},
        {"nodes": 0},
        {"nodes": True},
        {"exclusive": "yes"},
        {"alternatives": {"cpus": 1}},
        {"alternatives": [{"cpus": "x"}]},
        {"alternatives": [{"weight": 0, "cpus": 1}]},
        {"alternatives": [{"weight": "0.5", "cpus": 1}]},
        {"disk": 5, "disk_mib": 6},
    ],
)
def test_wrong_value_is_one_fault_at_its_place(fields: dict[str, Any]) -> None:
    for draft in (in_plan(**fields), in_workflow(**fields)):
        assert [fault.code.partition(".")[2] for fault in draft.faults] == ["shape"]
        assert draft.faults[0].places[0].line == 1
        assert draft.faults[0].hint


def test_unknown_field_of_an_alternative_is_a_fault_of_a_workflow() -> None:
    assert [fault.code for fault in in_workflow(alternatives=[{"gpu": 1}]).faults] == ["workflow.unknown_field"]
    assert [fault.code for fault in in_plan(alternatives=[{"gpu": 1, "cpus": 2}]).warnings] == [
        "planfile.unknown_field"
    ]


def test_own_labels_replace_those_of_the_lane() -> None:
    text = "lanes: {L: {has: [x], exclusive: true}}\ntasks: {a: {lane: L, has: []}, b: {lane: L}}\n"

    plan = build_plan(read_workflow(text, "w.yaml"))

    assert [task.needs for task in plan.tasks] == [Needs(exclusive=True), Needs(has=("x",), exclusive=True)]


def test_ranks_and_truths_may_come_from_a_matrix() -> None:
    text = "tasks: {a: {matrix: {n: [1, 2]}, nodes: '${{ matrix.n }}', has: 'z=${{ matrix.n }}', command: make}}\n"

    plan = build_plan(read_workflow(text, "w.yaml"))

    assert [task.needs for task in plan.tasks] == [Needs(has=("z=1",)), Needs(has=("z=2",), nodes=2)]
