"""Columns of a table that say how a task is tried again, until when, and which files it declares."""

from __future__ import annotations

import pytest

from taskexec.domain.retry import RetryPolicy
from taskexec.domain.task import Task
from taskexec.plan import build_plan
from taskexec.sources import read_csv, write_plan
from taskexec.sources.table.fields import parse_columns


def only(columns: str, cells: str) -> Task:
    """Return the task of a table of one row, which is read without a word."""
    plan = build_plan(read_csv(f"id;retries;{columns}\na;3;{cells}\n", "t.csv"))
    assert plan.warnings == ()
    return plan.tasks[0]


@pytest.mark.parametrize(
    ("columns", "cells", "policy"),
    [
        ("retry_delay", "10s", RetryPolicy(10.0)),
        ("Retry Delay (min)", "0,5", RetryPolicy(30.0)),
        ("retry_wait_s", "10", RetryPolicy(10.0)),
        ("retry_delay;retry_backoff", "10;exponential", RetryPolicy(10.0, 2.0)),
        ("retry_delay;Backoff Factor;Max Retry Delay", "10;1,5;5m", RetryPolicy(10.0, 1.5, 300.0)),
        ("retry_delay;retry_jitter", "10;50 %", RetryPolicy(10.0, jitter=0.5)),
        ("retry_delay;retry_jitter", "10;0,25", RetryPolicy(10.0, jitter=0.25)),
        ("retry_on", "exit 75, timeout", RetryPolicy(on=("timeout", "exit 75"))),
        ("retry_on", '"exit:3|oom"', RetryPolicy(on=("out_of_memory", "exit 3"))),
        ("retry_memory", "x2", RetryPolicy(memory_factor=2.0)),
        ("retry_delay;retry_on;retry_memory", " ;none;-", RetryPolicy()),
    ],
)
def test_policy_is_read(columns: str, cells: str, policy: RetryPolicy) -> None:
    assert only(columns, cells).retry == policy


def test_limits_are_read() -> None:
    task = only("Total Timeout (h);deadline", "1,5;2026-03-01 18:00 +01:00")

    assert (task.total_timeout_s, task.deadline_at) == (5_400.0, 1_772_384_400.0)


@pytest.mark.parametrize(
    ("cell", "paths"),
    [
        ("a.csv", ("a.csv",)),
        ("a.csv, b c/**", ("a.csv", "b c/**")),
        ('"./a;a|b"', ("a", "b")),
        ('"[""a,b.csv"", ""c""]"', ("a,b.csv", "c")),
        ("none", ()),
    ],
)
def test_paths_are_read(cell: str, paths: tuple[str, ...]) -> None:
    task = only("inputs;outputs", f"{cell};{cell}")

    assert (task.inputs, task.outputs) == (paths, paths)


def test_several_columns_of_paths_are_united() -> None:
    assert only("inputs;Input Files", "a;b").inputs == ("a", "b")


def test_fault_stands_at_its_cell() -> None:
    draft = read_csv("id,retry_delay,deadline\na,soon,tomorrow\n", "t.csv")

    assert sorted(str(place) for fault in draft.faults for place in fault.places) == ["t.csv:2:3", "t.csv:2:8"]


def test_deadline_of_a_planner_stays_metadata() -> None:
    text = "ID,Name,Outline Level,Deadline\n1,x,1,Mon 3/4/24\n2,y,1,NA\n"

    task = build_plan(read_csv(text, "t.csv")).tasks[0]

    assert (task.deadline_at, task.metadata) == (None, {"Deadline": "Mon 3/4/24"})


def test_deadline_of_a_planner_is_taken_where_the_user_says_so() -> None:
    text = "ID,Outline Level,Deadline\n1,1,2026-03-01T18:00Z\n"

    draft = read_csv(text, "t.csv", columns=parse_columns(["deadline=Deadline"]))

    assert build_plan(draft).tasks[0].deadline_at == 1_772_388_000.0


def test_column_may_be_kept_as_metadata() -> None:
    task = only("meta:deadline;meta:inputs", "soon;/x")

    assert task.metadata == {"deadline": "soon", "inputs": "/x"}


def test_metadata_of_such_names_is_written_so_that_it_stays_metadata() -> None:
    plan = build_plan(read_csv("id,meta:outputs,meta:retry_on\na,/x,never\n", "t.csv"))

    text = write_plan(plan, "csv")

    assert text.splitlines()[0] == "id,meta:outputs,meta:retry_on"
    assert build_plan(read_csv(text, "t.csv")) == plan


def test_plan_is_written_in_columns() -> None:
    text = (
        "id,timeout_s,total_timeout_s,deadline,retries,retry_delay_s,retry_factor,retry_max_delay_s,retry_jitter,"
        "retry_on,retry_memory,inputs,outputs\n"
        'a,600,7200,2026-03-01T17:00:00.000000Z,3,10,2,300,0.5,"timeout;exit 3",2,"a.csv;src/**",out.csv\n'
    )

    plan = build_plan(read_csv(text, "t.csv"))

    assert write_plan(plan, "csv") == text
