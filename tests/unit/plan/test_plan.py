from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskexec.domain.resources import Route
from taskexec.errors import NotFound
from taskexec.plan import build_plan, plan_to_json

from .drafting import draft, plan_of, task

TASKS: list[dict[str, Any]] = [
    {"task_id": "a", "title": "first", "lane": "A"},
    {"task_id": "b", "cpus": 2.0, "payload": {"commands": [{"argv": ["true"]}], "x": {"p": 1, "q": 2}}},
    {"task_id": "c", "depends_on": ["a", "b"], "metadata": {"owner": "x", "note": "y"}},
]


def digest_of(specs: list[dict[str, Any]], source: str = "p.csv") -> str:
    tasks = []
    for line, spec in enumerate(specs, 2):
        values = {**spec}
        tasks.append(task(values.pop("task_id"), *values.pop("depends_on", []), line=line, **values))
    return build_plan(draft(*tasks, source=source)).digest


@given(st.permutations(TASKS))
def test_digest_ignores_row_order_and_source(specs: list[dict[str, Any]]) -> None:
    assert digest_of(specs, "elsewhere.csv") == digest_of(TASKS)


def test_digest_ignores_formatting() -> None:
    same = [
        {"task_id": " a ", "title": "first", "lane": "A", "route": Route.CPU, "priority": -1},
        {"task_id": "b", "cpus": 2, "agent": "shell"}
        | {"payload": {"x": {"q": 2, "p": 1}, "commands": [{"argv": ["true"]}]}},
        {"task_id": "c", "depends_on": ["b", "a", "b"], "metadata": {"note": "y", "owner": "x"}},
    ]

    assert digest_of(same) == digest_of(TASKS)


@pytest.mark.parametrize(
    ("at", "change"),
    [
        (0, {"task_id": "a2"}),
        (0, {"title": "other"}),
        (0, {"lane": "B"}),
        (0, {"lane": None}),
        (0, {"agent": "python"}),
        (0, {"route": Route.GPU}),
        (0, {"memory_mib": 1}),
        (0, {"gpus": 0.5}),
        (0, {"duration_s": 1.0}),
        (0, {"timeout_s": 1.0}),
        (0, {"retries": 1}),
        (0, {"priority": 1}),
        (0, {"layer": "x"}),
        (0, {"metadata": {"owner": "y"}}),
        (0, {"gpu_memory_mib": 1}),
        (0, {"satisfied": True}),
        (0, {"labels": ("l",)}),
        (0, {"acceptance_criteria": ("c",)}),
        (0, {"requirements": ("r",)}),
        (1, {"cpus": 2.5}),
        (1, {"depends_on": ["a"]}),
        (1, {"payload": {"commands": [{"argv": ["false"]}]}}),
    ],
)
def test_digest_changes_with_any_meaning(at: int, change: dict[str, Any]) -> None:
    specs = [{**spec} for spec in TASKS]
    specs[at] |= change
    if "task_id" in change:
        specs[2]["depends_on"] = ["a2", "b"]

    assert digest_of(specs) != digest_of(TASKS)


def test_plans_with_the_same_meaning_are_equal() -> None:
    one, other = plan_of({"a": [], "b": ["a"]}), plan_of({"b": ["a"], "a": []})

    assert one == other
    assert hash(one) == hash(other)
    assert one != plan_of({"a": [], "b": []})


def test_index_of_finds_a_task_and_refuses_others() -> None:
    plan = plan_of({"a": [], "b": ["a"]})

    assert plan.index_of(" b") == 1
    with pytest.raises(NotFound):
        plan.index_of("c")


def test_plan_json_keeps_the_older_kits_fields_and_adds_ours() -> None:
    plan = build_plan(
        draft(task("a", lane="A", title="first", layer="L1"), task("b/1", "a"), task("c", lane="A", gpus=1.0))
    )

    data = plan_to_json(plan, generated_at="2026-01-01T00:00:00Z")

    assert (data["version"], data["source"], data["generated_at"]) == (2, "p.csv", "2026-01-01T00:00:00Z")
    assert data["digest"] == plan.digest
    assert data["queues"] == [
        {
            "name": "A",
            "tasks": [
                {"id": "a", "title": "first", "layer": "L1"},
                {"id": "c", "title": "", "layer": None},
            ],
        },
        {"name": "cpu", "tasks": [{"id": "b/1", "title": "", "layer": None}]},
    ]
    assert data["tasks"][1]["depends_on"] == ["a"]
    assert data["tasks"][2]["route"] == "gpu"
    assert list(data["folders"]) == ["b/1"]
    assert orjson.loads(orjson.dumps(data)) == data
