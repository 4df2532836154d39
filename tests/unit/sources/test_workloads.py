"""The real plans beside the checkout: what is read has the counts that were computed independently."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from taskexec.plan import build_plan
from taskexec.sources import ReadOptions, read_plan

WORKLOADS = Path(__file__).parents[4] / "shared" / "workloads"
EXPECTED = sorted((WORKLOADS / "expected").glob("*.expected.json"))
QUEUES = WORKLOADS / "real_sot" / "queues_expected.json"


@pytest.mark.skipif(not EXPECTED, reason="the workloads are not there")
@pytest.mark.parametrize("path", EXPECTED, ids=lambda path: path.name.removesuffix(".expected.json"))
def test_plan_has_the_expected_tasks_and_edges(path):
    expected = json.loads(path.read_text(encoding="utf-8"))

    draft = read_plan(WORKLOADS / "plans" / expected["plan"])

    edges = {(name.value, task.id.value) for task in draft.tasks for name in task.depends_on}
    assert (draft.faults, draft.warnings) == ([], [])
    assert (len(draft.tasks), len(edges)) == (expected["tasks"], expected["edges"])
    assert max((task.cpus.value for task in draft.tasks if task.cpus), default=0) == expected["max_cpus"]


@pytest.mark.skipif(not QUEUES.exists(), reason="the workloads are not there")
def test_state_of_truth_with_hooks_gives_the_expected_queues_and_commands():
    expected = json.loads(QUEUES.read_text(encoding="utf-8"))

    draft = read_plan(QUEUES.parent / expected["sot"], ReadOptions(hooks=QUEUES.parent / expected["hooks"]))

    queues: dict[str, list[str]] = {}
    for task in draft.tasks:
        if task.lane is not None:
            queues.setdefault(task.lane.value, []).append(task.id.value)
    queued = {name for names in queues.values() for name in names}
    commands = {task.id.value: len(task.payload.get("commands", [])) for task in draft.tasks if task.id.value in queued}
    plan = build_plan(draft)
    backlog = {task.id: [*task.depends_on] for task in plan.tasks if task.lane is None and not task.is_satisfied}
    assert (draft.faults, draft.warnings) == ([], [])
    assert (queues, commands) == (expected["queues"], expected["commands_run"])
    assert backlog == expected["backlog"]
    assert not {task.id for task in plan.tasks if not task.is_satisfied} & set(expected["never_run"])


@pytest.mark.parametrize(("name", "tasks"), [("noa_sot_template.md", 1), ("noa_sot_ledger.md", 23)])
def test_executed_tasks_of_a_ledger_are_satisfied(name, tasks):
    path = WORKLOADS / "real_sot" / name
    if not path.exists():
        pytest.skip("the workloads are not there")

    plan = build_plan(read_plan(path))

    assert [task.is_satisfied for task in plan.tasks] == [True] * tasks


@pytest.mark.parametrize(
    ("name", "use_row_ids", "counts"),
    [("noa_pm_roadmap.csv", False, (6, 5)), ("mcp_stacks_backlog_semicolon.csv", True, (100, 0))],
)
def test_real_tables_have_the_counts_that_their_notes_state(name, use_row_ids, counts):
    path = WORKLOADS / "real_csv" / name
    if not path.exists():
        pytest.skip("the workloads are not there")

    plan = build_plan(read_plan(path, ReadOptions(use_row_ids=use_row_ids)))

    assert (len(plan.tasks), plan.graph.edge_count) == counts
