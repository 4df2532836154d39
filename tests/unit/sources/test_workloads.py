"""The real plans beside the checkout: what is read has the counts that were computed independently."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from taskexec.sources import read_plan

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

    draft = read_plan(QUEUES.parent / expected["sot"], hooks=QUEUES.parent / expected["hooks"])

    queues: dict[str, list[str]] = {}
    for task in draft.tasks:
        queues.setdefault(task.lane.value, []).append(task.id.value)
    commands = {task.id.value: len(task.payload.get("commands", [])) for task in draft.tasks}
    assert (draft.faults, draft.warnings) == ([], [])
    assert (queues, commands) == (expected["queues"], expected["commands_run"])


@pytest.mark.parametrize("name", ["noa_sot_template.md", "noa_sot_ledger.md"])
def test_state_of_truth_without_queues_has_no_tasks(name):
    path = WORKLOADS / "real_sot" / name
    if not path.exists():
        pytest.skip("the workloads are not there")

    assert [fault.code for fault in read_plan(path).faults] == ["sot.no_tasks"]
