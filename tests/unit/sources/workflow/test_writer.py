"""Plans as workflows: the shortest entries, and quotes around what YAML would take for something else."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from taskexec.errors import Place
from taskexec.plan import DraftTask, Located, Plan, PlanDraft, build_plan
from taskexec.sources.workflow.reader import read_workflow
from taskexec.sources.workflow.writer import write_workflow

PLACE = Place("made.json", 1, 1)
PLAIN = ("payload", "metadata", "labels", "acceptance_criteria", "requirements")
HEAD = "version: 1\ntasks:\n"


def task(task_id: str, *depends_on: str, **fields: Any) -> DraftTask:
    said = {name: value if name in PLAIN else Located(value, PLACE) for name, value in fields.items()}
    return DraftTask(id=Located(task_id, PLACE), depends_on=[Located(name, PLACE) for name in depends_on], **said)


def plan_of(*tasks: DraftTask) -> Plan:
    return build_plan(PlanDraft(source="made.json", kind="plan", tasks=list(tasks)))


def body(*tasks: DraftTask) -> str:
    return write_workflow(plan_of(*tasks)).removeprefix(HEAD)


def test_task_that_says_nothing_is_an_empty_entry() -> None:
    assert body(task("a")) == "  a: null\n"


def test_task_with_a_command_alone_is_that_command() -> None:
    assert body(task("a", payload={"commands": [{"argv": ["make", "all"]}]})) == "  a: make all\n"


def test_long_command_stays_on_its_line() -> None:
    words = ["make", *("target" * 5 for _ in range(100))]

    assert body(task("a", payload={"commands": [{"argv": words}]})).count("\n") == 1


def test_fields_are_named_and_whole_numbers_have_no_decimals() -> None:
    full = task("b", "a", title="Build it", cpus=2.0, memory_mib=512, duration_s=1.5, satisfied=True, labels=("x",))

    assert yaml.safe_load(write_workflow(plan_of(task("a"), full)))["tasks"]["b"] == {
        "title": "Build it",
        "depends_on": ["a"],
        "cpus": 2,
        "memory_mib": 512,
        "duration_s": 1.5,
        "satisfied": True,
        "labels": ["x"],
    }


def test_tasks_stand_in_source_order() -> None:
    written = yaml.safe_load(write_workflow(plan_of(task("b"), task("a", "b"), task("c"))))

    assert list(written["tasks"]) == ["b", "a", "c"]


@pytest.mark.parametrize(
    "text",
    ["null", "~", "true", "007", "1e3", "0x1F", "12:30:00", ".inf", "<<", "&a", "*a", "!a", "- a", "a: b", "yes"],
)
def test_text_that_yaml_would_take_for_something_else_is_read_back(text: str) -> None:
    plan = plan_of(task("a", title=text, metadata={text: text}), task(text))

    back = build_plan(read_workflow(write_workflow(plan), "back"))

    assert back.tasks == plan.tasks


def test_equal_values_are_written_out() -> None:
    shared = {"n": [1, 2]}

    assert "&" not in body(task("a", payload={"x": shared, "y": shared}))
