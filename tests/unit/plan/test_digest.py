"""The digest of a plan, from the plan and from the tasks of its plan.json."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from support.plan_strategies import any_plan, bounded

from taskexec.plan import Instant, Plan, build_plan, digest_of_tasks, plan_to_json

from .drafting import draft, task

RETRY = {"delay_s": 5.0, "backoff": "exponential", "on": ("timeout", "exit 75")}


def digest(**values: Any) -> str:
    return build_plan(draft(task("a", **values))).digest


@bounded(100)
@given(any_plan())
def test_tasks_of_any_plan_json_have_the_digest_of_their_plan(plan: Plan) -> None:
    document = plan_to_json(plan)

    assert digest_of_tasks(document["tasks"]) == plan.digest
    assert digest_of_tasks(json.loads(orjson.dumps(document))["tasks"]) == plan.digest


def test_list_is_left_as_it_is_and_its_order_does_not_count() -> None:
    plan = build_plan(draft(task("b", "c", "a"), task("a", retry=RETRY, cpus=2), task("c")))
    tasks = plan_to_json(plan)["tasks"]
    before = json.dumps(tasks)

    assert digest_of_tasks(tasks[::-1]) == plan.digest
    assert json.dumps(tasks) == before


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("retry", {"delay_s": 5.0}),
        ("retry", {"on": ("exit 75",)}),
        ("total_timeout_s", 60.0),
        ("deadline_at", Instant(1_772_384_400.0)),
        ("inputs", ["a"]),
        ("outputs", ["a"]),
    ],
)
def test_digest_covers_what_is_said_of_attempts_and_files(name: str, value: Any) -> None:
    assert digest(**{name: value}) != digest()


def test_same_meaning_in_other_words_has_the_same_digest() -> None:
    said = {"retry": RETRY, "total_timeout_s": 60.0, "inputs": ["a/b"], "deadline_at": Instant(1e9)}
    other = {
        "delay_s": 5,
        "factor": 2,
        "on": ("exit 75", "timeout", "timeout"),
        "jitter": 0,
    }

    again = {"retry": other, "total_timeout_s": 60, "inputs": ["./a//b", " a/b "], "deadline_at": Instant(1e9, "x")}

    assert digest(**said) == digest(**again)


def test_what_says_nothing_leaves_the_digest_of_older_plans() -> None:
    plan = build_plan(draft(task("a", retry={"factor": 1.0, "delay_s": 0.0})))

    assert plan.digest == digest()
    assert not {"retry", "total_timeout_s", "deadline_at", "inputs", "outputs"} & plan_to_json(plan)["tasks"][0].keys()


@pytest.mark.parametrize(
    "tasks", [[1], [{}], [{"id": "a"}], [{"id": "a", "depends_on": 3}], [{"id": 1}, {"id": "a"}], 3]
)
def test_other_lists_are_refused(tasks: Any) -> None:
    with pytest.raises(ValueError, match="no tasks"):
        digest_of_tasks(tasks)
