"""Plans as tables: short where a plan is plain, quoted or JSON where a cell would mean something else."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from taskexec.domain.resources import Route
from taskexec.errors import Place
from taskexec.plan import DraftTask, Located, Plan, PlanDraft, build_plan
from taskexec.sources.table.writer import write_csv

PLACE = Place("made.json", 1, 1)
PLAIN = ("payload", "metadata", "labels", "acceptance_criteria", "requirements")


def task(task_id: str, *depends_on: str, **fields: Any) -> DraftTask:
    said = {name: value if name in PLAIN else Located(value, PLACE) for name, value in fields.items()}
    return DraftTask(id=Located(task_id, PLACE), depends_on=[Located(name, PLACE) for name in depends_on], **said)


def plan_of(*tasks: DraftTask) -> Plan:
    return build_plan(PlanDraft(source="made.json", kind="plan", tasks=list(tasks)))


def cells(*tasks: DraftTask) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(write_csv(plan_of(*tasks)), newline="")))


def test_columns_that_no_task_needs_are_left_out() -> None:
    assert write_csv(plan_of(task("a"), task("b", "a"))) == "id,depends_on\na,\nb,a\n"


def test_what_a_reader_supposes_is_not_written() -> None:
    plain = task("a", cpus=1.0, memory_mib=0, gpus=0.0, retries=0, priority=0, route=Route.CPU, agent="noop")

    assert write_csv(plan_of(plain)) == "id\na\n"


def test_every_field_has_its_column() -> None:
    full = task(
        "a",
        title="Title, with comma",
        payload={"commands": [{"argv": ["make", "-j2"]}]},
        lane="Queue A",
        route=Route.DISTRIBUTED,
        cpus=0.5,
        memory_mib=512,
        gpus=2.0,
        gpu_memory_mib=1_024,
        duration_s=1.5,
        timeout_s=60.0,
        retries=2,
        priority=9,
        satisfied=True,
        layer="base",
        labels=("x", "y"),
        acceptance_criteria=("it is; so", "and so"),
        metadata={"Owner": "Ann"},
    )

    assert cells(full) == [
        {
            "id": "a",
            "title": "Title, with comma",
            "command": "make -j2",
            "lane": "Queue A",
            "queue": "distributed",
            "cpus": "0.5",
            "memory_mib": "512",
            "gpus": "2",
            "gpu_memory_mib": "1024",
            "duration_s": "1.5",
            "timeout_s": "60",
            "retries": "2",
            "priority": "9",
            "status": "done",
            "layer": "base",
            "labels": "x;y",
            "acceptance_criteria": "it is; so|;and so",
            "Owner": "Ann",
        }
    ]


@pytest.mark.parametrize(
    ("payload", "agent", "written"),
    [
        ({"commands": [{"argv": ["/bin/sh", "-c", "a | b"]}]}, "shell", {"command": "a | b"}),
        ({"call": "m:f", "args": [], "kwargs": {"n": 3}}, "python", {"command": 'm:f {"n": 3}', "agent": "python"}),
        ({"command": "as it is"}, "mine", {"command": "as it is", "agent": "mine"}),
        ({"n": 3}, "noop", {"payload": '{"n": 3}'}),
        ({}, "shell", {"payload": "{}", "agent": "shell"}),
    ],
)
def test_instructions_are_a_command_where_there_is_one(
    payload: dict[str, Any], agent: str, written: dict[str, str]
) -> None:
    assert cells(task("a", payload=payload, agent=agent)) == [{"id": "a"} | written]


def test_ids_that_hold_separators_are_named_as_json() -> None:
    assert cells(task("a;b"), task("c", "a;b"))[1]["depends_on"] == '["a;b"]'


def test_texts_that_hold_separators_are_a_json_list() -> None:
    assert cells(task("a", labels=("x;y", "z")))[0]["labels"] == '["x;y", "z"]'


@pytest.mark.parametrize("text", ["a,b", 'a"b', "a\nb", "a\rb", "#a", "a;b", "a|b", "a\tb"])
def test_text_that_would_mean_something_is_quoted(text: str) -> None:
    written = write_csv(plan_of(task("a", title=text)))

    assert written.endswith('a,"' + text.replace('"', '""') + '"\n')


@pytest.mark.parametrize("key", ["id", "Status", "memory (GB)", "meta:x"])
def test_metadata_that_is_called_like_a_column_keeps_its_name(key: str) -> None:
    assert cells(task("a", metadata={key: "value"})) == [{"id": "a", f"meta:{key}": "value"}]


def test_task_that_looks_like_the_header_is_quoted() -> None:
    assert write_csv(plan_of(task("id", title="title"))) == 'id,title\n"id","title"\n'
