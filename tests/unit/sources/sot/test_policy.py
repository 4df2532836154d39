"""How a task of a State of Truth is tried again, until when, and which files it declares."""

from __future__ import annotations

import pytest

from taskexec.domain.retry import RetryPolicy
from taskexec.domain.task import Task
from taskexec.plan import build_plan
from taskexec.plan.draft import PlanDraft
from taskexec.sources.sot.reader import read_sot

HEAD = "### Execution Queue & Task Hooks\n1. **Queue A — One**\n- Task `a` — Title\n"


def queued(*fields: str) -> PlanDraft:
    return read_sot(HEAD + "".join(f"  - {field}\n" for field in fields), "s.md")


def planned(line: str) -> PlanDraft:
    return read_sot(f"## Backlog\n\n- [ ] Do it — {line}\n", "s.md")


def only(*fields: str) -> Task:
    plan = build_plan(queued("Retries: 3", *fields))
    assert plan.warnings == ()
    return plan.tasks[0]


@pytest.mark.parametrize(
    ("fields", "policy"),
    [
        (["Retry delay: 10s"], RetryPolicy(10.0)),
        (["Retry delay: 10s", "Retry backoff: exponential", "Retry max delay: 5m"], RetryPolicy(10.0, 2.0, 300.0)),
        (["**Retry delay:** 10", "Retry factor: x3", "Retry jitter: 50%"], RetryPolicy(10.0, 3.0, jitter=0.5)),
        (["Retry on: `exit 75`, `timeout`"], RetryPolicy(on=("timeout", "exit 75"))),
        (["Retry on: exit 75; lost worker"], RetryPolicy(on=("lost_worker", "exit 75"))),
        (["Retry memory: 2"], RetryPolicy(memory_factor=2.0)),
        (["Retry delay: 10s", 'Details: `{"retry": {"jitter": 1}}`'], RetryPolicy(10.0, jitter=1.0)),
        (["Retry delay: 10s", 'Details: `{"retry": {"delay": 5}}`'], RetryPolicy(5.0)),
        (["Retry delay: 10s", 'Details: `{"retry": null}`'], RetryPolicy()),
    ],
)
def test_policy_is_read(fields: list[str], policy: RetryPolicy) -> None:
    assert only(*fields).retry == policy


def test_retry_says_how_many() -> None:
    assert build_plan(queued("Retry: 2")).tasks[0].retries == 2


def test_limits_are_read_and_taken_back() -> None:
    said = ("Total timeout: 2h", "Deadline: 2026-03-01T18:00Z")

    assert (only(*said).total_timeout_s, only(*said).deadline_at) == (7200.0, 1_772_388_000.0)
    taken_back = only(*said, 'Details: `{"total_timeout": null, "deadline": null}`')
    assert (taken_back.total_timeout_s, taken_back.deadline_at) == (None, None)


@pytest.mark.parametrize(
    ("fields", "paths"),
    [
        (["Inputs: `a.csv`, `b c/**`"], ("a.csv", "b c/**")),
        (["Inputs: a.csv, b/**"], ("a.csv", "b/**")),
        (["Inputs: `a.csv`, b/**"], ("a.csv", "b/**")),
        (["Inputs: `a,b.csv` and `c`"], ("a,b.csv", "c")),
        (["Inputs:\n    - `a.csv`\n    - b.csv"], ("a.csv", "b.csv")),
        (["Inputs: `a`", "Inputs: `b`"], ("a", "b")),
        (["Inputs: <paths>"], ()),
    ],
)
def test_paths_are_read(fields: list[str], paths: tuple[str, ...]) -> None:
    assert only(*fields).inputs == paths


def test_place_of_a_path_is_its_own() -> None:
    draft = queued("Outputs: `a`, b/../../c, `../d`")

    places = [path.place.column for path in draft.tasks[0].outputs]

    assert places == [15, 19, 31]


def test_what_is_said_of_a_done_task_is_a_record() -> None:
    text = "## Ledger\n\n- [x] 2025-10-05 — Step — Outputs: `a.csv` — Deadline: soon — Retry delay: 3\n"

    task = build_plan(read_sot(text, "s.md")).tasks[0]

    assert (task.outputs, task.deadline_at, task.retry) == ((), None, RetryPolicy())
    assert task.metadata.keys() >= {"outputs", "deadline", "retry delay"}


@pytest.mark.parametrize("line", ["Deadline: next Friday", "Outputs: a short report", "Outputs: `a.csv`, a report"])
def test_words_for_people_in_a_backlog_stay_metadata_with_a_warning(line: str) -> None:
    plan = build_plan(planned(line))

    assert len(plan.warnings) == 1
    assert plan.tasks[0].metadata == {line.split(":")[0].lower(): line.split(": ")[1]}
    assert plan.tasks[0].deadline_at is None


def test_paths_in_backticks_and_instants_in_a_backlog_count() -> None:
    draft = planned("Deadline: 2026-03-01T18:00Z — Inputs: `a.csv` — Notes: x")

    task = build_plan(draft).tasks[0]

    assert (task.deadline_at, task.inputs, draft.warnings) == (1_772_388_000.0, ("a.csv",), [])


@pytest.mark.parametrize("line", ["Retry on: crash", "Retry delay: soon", "Deadline: Friday", "Total timeout: 0s"])
def test_wrong_words_in_a_queue_are_faults(line: str) -> None:
    assert [fault.code for fault in queued(line).faults] == ["sot.number"]
