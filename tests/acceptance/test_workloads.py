"""The real graphs of `shared/workloads`, carried out by `tek run` and judged by a checker that knows nothing of us."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.tek import Tek

QUICK = ("wf-hello-chain-5", "wf-hello-forkjoin-10", "wf-epigenomics-hep-1seq", "wf-nextflow-rnaseq")
SLOW = ("wf-blast-medium", "wf-montage-2mass-015d", "wf-cycles-5l-2c", "wf-bwa-large", "ninja-z3", "wfgen-montage-5500")


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_run_of_a_real_graph_passes_the_independent_check(tek: Tek, workloads: Path, name: str) -> None:
    plan = workloads / "plans" / f"{name}.csv"

    outcome = tek("run", plan, "--output", "json", timeout_s=110).expect(0)
    events = tek("events", outcome.json["run_id"], "--output", "json").expect(0)

    tek.write("events.json", events.stdout)
    checked = subprocess.run(
        [sys.executable, workloads / "check_run.py", plan, tek.cwd / "events.json", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout
    assert json.loads(checked.stdout)["violations"] == 0


def test_plan_that_asks_for_more_than_this_machine_has_is_refused_with_reasons(tek: Tek, workloads: Path) -> None:
    outcome = tek("run", workloads / "plans" / "ci-cudf-pr.csv").expect(4)

    assert outcome.stderr.count("error[needs.unmet]") >= 16
    assert "gpus" in outcome.stderr
    assert list(tek.cwd.iterdir()) == []


@pytest.mark.parametrize("name", QUICK[:2])
def test_dry_run_of_a_real_graph_passes_the_same_check(tek: Tek, workloads: Path, name: str) -> None:
    plan = workloads / "plans" / f"{name}.csv"

    tek("run", plan, "--dry-run").expect(0)
    tek.write("events.json", tek("events", "last", "--output", "json").expect(0).stdout)

    command = [sys.executable, workloads / "check_run.py", plan, tek.cwd / "events.json"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
