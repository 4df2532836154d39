from __future__ import annotations

import json
from pathlib import Path

import pytest

from taskexec.plan import Estimates, Plan, Summary, build_plan, summarize

from .drafting import WORKLOADS, draft, plan_of, read_workload, task

DIAMOND = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}


def summary_of(plan: Plan, durations: dict[str, float] | None = None) -> Summary:
    return summarize(plan, Estimates(plan, durations))


def test_summary_counts_the_shape() -> None:
    summary = summary_of(plan_of(DIAMOND, a=1.0, b=2.0, c=5.0))

    assert summary == Summary(4, 4, 3, 2, 6.0, True)
    assert summary.to_json()["critical_path_s"] == 6.0


def test_observed_durations_override_declared_ones() -> None:
    plan = plan_of(DIAMOND, a=1.0, b=2.0, c=5.0)

    assert summary_of(plan, {"b": 7.5, "d": 1.0}).critical_path_s == 9.5


def test_unknown_durations_count_as_nothing() -> None:
    assert summary_of(plan_of(DIAMOND)).critical_path_s == 0.0


def test_slack_and_critical_path_are_told_per_task() -> None:
    estimates = Estimates(plan_of(DIAMOND, a=1.0, b=2.0, c=5.0))

    assert [estimate.level for estimate in estimates] == [0, 1, 1, 2]
    assert [estimate.slack_s for estimate in estimates] == [0, 3, 0, 0]
    assert [estimate.is_critical for estimate in estimates] == [True, False, True, True]


def test_critical_path_without_durations_is_the_one_with_most_tasks() -> None:
    estimates = Estimates(plan_of({"a": [], "b": ["a"], "c": ["b"], "x": ["a"]}))

    assert [estimate.is_critical for estimate in estimates] == [True, True, True, False]


@pytest.mark.skipif(not WORKLOADS.is_dir(), reason="the shared workloads are not here")
@pytest.mark.parametrize("path", sorted(WORKLOADS.glob("plans/*.csv")), ids=lambda path: path.stem)
def test_real_plans_have_the_expected_properties(path: Path) -> None:
    expected = json.loads((WORKLOADS / "expected" / f"{path.stem}.expected.json").read_text())

    summary = summary_of(read_workload(path))

    names = ("tasks", "edges", "levels", "max_level_width", "critical_path_s", "series_parallel")
    assert list(summary.to_json().values()) == [
        pytest.approx(expected[name], abs=2e-6) if name == "critical_path_s" else expected[name] for name in names
    ]


def test_satisfied_task_takes_no_time_and_is_not_critical() -> None:
    plan = build_plan(
        draft(task("a", duration_s=9.0, satisfied=True), task("b", "a", duration_s=1.0), task("c", duration_s=2.0))
    )

    assert summary_of(plan).critical_path_s == 2
    assert [estimate.is_critical for estimate in Estimates(plan)] == [False, False, True]
