"""What a plan says of attempts, time and files: what it means, and what is wrong or doubtful about it."""

from __future__ import annotations

from typing import Any

import pytest

from taskexec.domain.retry import DEFAULT_RETRY, RetryPolicy
from taskexec.domain.task import Task
from taskexec.errors import Fault, PlanRejected
from taskexec.plan import DraftTask, Instant, Plan, build_plan

from .drafting import draft, task


def only(**values: Any) -> Task:
    return build_plan(draft(task("a", **values))).tasks[0]


def faults(**values: Any) -> list[str]:
    with pytest.raises(PlanRejected) as refused:
        build_plan(draft(task("a", line=3, **values)))
    assert all(fault.hint and fault.places for fault in refused.value.faults())
    return [fault.code for fault in refused.value.faults()]


def warnings(*tasks: DraftTask) -> list[Fault]:
    plan: Plan = build_plan(draft(*tasks))
    return list(plan.warnings)


def test_task_that_says_nothing_has_the_default_policy() -> None:
    assert only().retry is DEFAULT_RETRY


@pytest.mark.parametrize(
    ("said", "policy"),
    [
        ({"delay_s": 5.0}, RetryPolicy(delay_s=5.0)),
        ({"backoff": "fixed"}, DEFAULT_RETRY),
        ({"backoff": "exponential"}, RetryPolicy(factor=2.0)),
        ({"backoff": "exponential", "factor": 3.0}, RetryPolicy(factor=3.0)),
        ({"factor": 1.5}, RetryPolicy(factor=1.5)),
        ({"on": ("exit 75", "timeout", "exit 3", "exit 75")}, RetryPolicy(on=("timeout", "exit 3", "exit 75"))),
        ({"on": ("exit 75", "exit")}, RetryPolicy(on=("exit",))),
        ({"on": DEFAULT_RETRY.on[::-1]}, DEFAULT_RETRY),
        ({"memory_factor": 2.0, "jitter": 1.0}, RetryPolicy(memory_factor=2.0, jitter=1.0)),
    ],
)
def test_policy_is_what_is_said(said: dict[str, Any], policy: RetryPolicy) -> None:
    assert only(retries=2, retry=said).retry == policy


def test_limits_and_files_become_those_of_the_task() -> None:
    found = only(total_timeout_s=60.0, deadline_at=Instant(1e9 + 0.123456), inputs=["a", "./a", "b/"], outputs=["x/**"])

    assert (found.total_timeout_s, found.deadline_at) == (60.0, 1e9 + 0.123)
    assert (found.inputs, found.outputs) == (("a", "b"), ("x/**",))


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"delay_s": 1e12}, "plan.amount"),
        ({"max_delay_s": 1e12}, "plan.amount"),
        ({"factor": 0.99}, "plan.retry"),
        ({"factor": 1_001.0}, "plan.retry"),
        ({"jitter": 1.01}, "plan.retry"),
        ({"memory_factor": 0.5}, "plan.retry"),
        ({"memory_factor": 1_001.0}, "plan.retry"),
        ({"backoff": "fixed", "factor": 2.0}, "plan.retry"),
        ({"backoff": "exponential", "factor": 1.0}, "plan.retry"),
    ],
)
def test_policy_out_of_range_is_refused(said: dict[str, Any], code: str) -> None:
    assert faults(retries=1, retry=said) == [code]


@pytest.mark.parametrize("at", [0.0, 946_684_799.0, 7_258_118_400.0, 1e18])
def test_deadline_of_another_age_is_refused(at: float) -> None:
    assert faults(deadline_at=Instant(at, "then")) == ["plan.deadline"]


def test_every_wrong_path_and_limit_is_told() -> None:
    assert faults(inputs=["/a", "b", "../c"], outputs=["d\\e"], total_timeout_s=1e12) == [
        *("plan.amount", "plan.path", "plan.path", "plan.path"),
    ]


def test_policy_without_retries_is_a_warning_for_all_such_tasks_together() -> None:
    said = {"delay_s": 5.0}
    tasks = [task(f"t{line}", line=line, retry=said) for line in range(1, 6)]

    (warning,) = warnings(*tasks, task("used", line=9, retry=said, retries=1))

    assert warning.code == "plan.retry"
    assert [place.line for place in warning.places] == [1, 2, 3, 4, 5]
    assert "`t1`, `t2`, `t3` and 2 more" in warning.message


def test_shared_policy_that_some_task_uses_is_no_warning() -> None:
    shared = {"delay_s": 5.0}

    assert warnings(task("a", line=1, retry=shared), task("b", line=1, retry=shared, retries=2)) == []


@pytest.mark.parametrize(
    "values",
    [
        {"timeout_s": 60.0, "total_timeout_s": 30.0},
        {"deadline_at": Instant(1e9, "2001-09-09T01:46:40", lacks_zone=True)},
        {"retries": 1, "retry": {"delay_s": 10.0, "max_delay_s": 5.0}},
        {"retries": 1, "retry": {"backoff": "exponential"}},
        {"retries": 1, "retry": {"delay_s": 0.0, "jitter": 0.5}},
    ],
)
def test_what_may_not_be_meant_is_a_warning(values: dict[str, Any]) -> None:
    (warning,) = warnings(task("a", line=4, **values))

    assert {place.line for place in warning.places} == {4}
    assert warning.hint


@pytest.mark.parametrize(
    "values",
    [
        {"timeout_s": 60.0, "total_timeout_s": 60.0},
        {"deadline_at": Instant(1e9, "2001-09-09T01:46:40Z")},
        {"retries": 1, "retry": {"delay_s": 10.0, "max_delay_s": 10.0, "backoff": "exponential", "jitter": 1.0}},
        {"retries": 1, "retry": {"backoff": "fixed"}},
        {"retries": 1, "retry": {"on": ("exit",)}},
    ],
)
def test_what_makes_sense_is_taken_in_silence(values: dict[str, Any]) -> None:
    assert warnings(task("a", **values)) == []


def test_strict_refuses_what_may_not_be_meant() -> None:
    with pytest.raises(PlanRejected):
        build_plan(draft(task("a", retry={"delay_s": 5.0})), is_strict=True)
