"""What a plan says of the resources of a task: what it means, and what is wrong or doubtful about it."""

from __future__ import annotations

from typing import Any

import pytest

from taskexec.domain.resources import Alternative, Needs, Route
from taskexec.domain.task import Task
from taskexec.errors import Fault, Place, PlanRejected
from taskexec.plan import DraftAlternative, DraftTask, Plan, build_plan, digest_of_tasks, plan_to_json

from .drafting import at, draft, task


def labels(*names: str, line: int = 3) -> tuple[Any, ...]:
    return tuple(at(name, line, 50 + index) for index, name in enumerate(names))


def option(**values: Any) -> DraftAlternative:
    lists = {name: values.pop(name) for name in ("has", "has_not") if name in values}
    return DraftAlternative(
        place=Place("p.csv", 3, 60), **{name: at(value, 3) for name, value in values.items()}, **lists
    )


def asking(name: str = "a", *, line: int = 3, **values: Any) -> DraftTask:
    lists = {name: values.pop(name) for name in ("has", "has_not", "alternatives") if name in values}
    found = task(name, line=line, **values)
    for field, value in lists.items():
        setattr(found, field, value)
    return found


def only(**values: Any) -> Task:
    return build_plan(draft(asking(**values))).tasks[0]


def faults(**values: Any) -> list[str]:
    with pytest.raises(PlanRejected) as refused:
        build_plan(draft(asking(**values)))
    assert all(fault.hint and fault.places for fault in refused.value.faults())
    return [fault.code for fault in refused.value.faults()]


def warnings(*tasks: DraftTask) -> list[Fault]:
    plan: Plan = build_plan(draft(*tasks))
    return list(plan.warnings)


def test_all_that_is_asked_for_becomes_needs() -> None:
    found = only(
        cpus=2.0,
        disk_mib=10,
        has=labels("ssd", "fast", "ssd"),
        has_not=labels("slow"),
        exclusive=True,
        nodes=4,
        packed=True,
    )

    assert found.needs == Needs(
        cpus=2.0, disk_mib=10, has=("fast", "ssd"), has_not=("slow",), exclusive=True, nodes=4, packed=True
    )
    assert found.route is Route.DISTRIBUTED


def test_alternative_starts_from_defaults_and_has_the_ranks_of_its_task() -> None:
    found = only(
        cpus=8.0, memory_mib=99, nodes=2, alternatives=(option(gpu_memory_mib=7, weight=0.5), option(cpus=3.0))
    )

    assert found.needs.alternatives == (
        Alternative(0.5, Needs(gpus=1.0, gpu_memory_mib=7, nodes=2)),
        Alternative(1.0, Needs(cpus=3.0, nodes=2)),
    )


def test_order_of_labels_means_nothing() -> None:
    plans = [build_plan(draft(asking(has=labels(*names)))) for names in (("x", "y"), ("y", "x"))]

    assert plans[0].digest == plans[1].digest


def test_saying_the_defaults_is_the_default() -> None:
    found = only(has=(), has_not=(), exclusive=False, nodes=1, packed=False, alternatives=(), disk_mib=0)

    assert found.needs.is_default
    assert build_plan(draft(asking(exclusive=False))).digest == build_plan(draft(asking())).digest


@pytest.mark.parametrize(
    "values",
    [
        {"disk_mib": 1},
        {"has": labels("x")},
        {"has_not": labels("x")},
        {"exclusive": True},
        {"nodes": 2, "route": Route.CPU},
        {"alternatives": (option(cpus=1.0),)},
        {"alternatives": (option(cpus=1.0, weight=2.0),)},
        {"alternatives": (option(cpus=1.0, has=labels("x")),)},
    ],
)
def test_digest_covers_each_field(values: dict[str, Any]) -> None:
    plan = build_plan(draft(asking(**values)))

    assert plan.digest != build_plan(draft(asking())).digest
    assert digest_of_tasks(plan_to_json(plan)["tasks"]) == plan.digest


def test_numbers_of_alternatives_are_the_same_without_decimals() -> None:
    plan = build_plan(draft(asking(alternatives=(option(cpus=16.0, weight=2.0),))))
    tasks = plan_to_json(plan)["tasks"]
    tasks[0]["alternatives"] = [{"weight": 2, "cpus": 16}]

    assert digest_of_tasks(tasks) == plan.digest


@pytest.mark.parametrize("label", ["", "a b", "a\tb", "a\x07", "\u200b", "a,b", "a;b", "a|b", "x" * 65])
def test_what_cannot_be_a_label_is_refused(label: str) -> None:
    assert faults(has=labels(label)) == ["plan.label"]
    assert faults(alternatives=(option(has_not=labels(label)),)) == ["plan.label"]


@pytest.mark.parametrize("label", ["x", "zone=a", "node:3", "ä", "x" * 64, " ssd "])
def test_labels_may_hold_any_visible_character_but_separators(label: str) -> None:
    assert only(has=labels(label)).needs.has == (label.strip(),)


def test_label_that_is_wanted_and_not_is_refused() -> None:
    assert faults(has=labels("x"), has_not=labels("x")) == ["plan.label"]


@pytest.mark.parametrize("nodes", [0, 1_025])
def test_nodes_out_of_range_are_refused(nodes: int) -> None:
    assert faults(nodes=nodes) == ["plan.nodes"]


@pytest.mark.parametrize(("agent", "is_taken"), [("shell", True), ("noop", True), (None, True), ("python", False)])
def test_only_commands_and_noop_have_several_nodes(agent: str | None, is_taken: bool) -> None:
    assert (only if is_taken else faults)(agent=agent, nodes=2)
    assert only(agent=agent, nodes=1)


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"gpus": 1.5}, "plan.gpus"),
        ({"cpus": 2e6}, "plan.amount"),
        ({"disk_mib": 2**41}, "plan.amount"),
        ({"cpus": 1.0, "weight": 2e6}, "plan.amount"),
        ({"weight": 2.0}, "plan.alternatives"),
        ({}, "plan.alternatives"),
    ],
)
def test_wrong_alternative_is_refused(values: dict[str, Any], code: str) -> None:
    assert faults(alternatives=(option(**values),)) == [code]


def test_too_many_alternatives_are_refused() -> None:
    assert faults(alternatives=(option(cpus=2.0),) * 17) == ["plan.alternatives"]


def test_packed_without_nodes_is_a_warning_once_for_its_place() -> None:
    tasks = [asking("a", packed=True), asking("b", packed=True), asking("c", packed=True, line=4)]

    assert [warning.code for warning in warnings(*tasks)] == ["plan.packed", "plan.packed"]


def test_packed_that_holds_for_a_task_with_nodes_is_no_warning() -> None:
    assert warnings(asking("a", packed=True), asking("b", packed=True, nodes=2)) == []


def test_exclusive_goes_with_fractions() -> None:
    assert warnings(asking(exclusive=True, cpus=0.5, gpus=0.5)) == []
