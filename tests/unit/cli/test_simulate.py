"""Tests of `tek simulate`: its forms, what it refuses, and how it compares with a run that has ended."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import Result

Tek = Callable[..., Result]
WORKLOADS = Path(__file__).parents[4] / "shared" / "workloads"
CLUSTER = "workers:\n  - {name: w, count: 2, cpus: 4, memory: 8G}\n"
PLAN = (
    "id,command,depends_on,cpus,memory_mb,duration_s\n"
    "a,true,,2,100,2\nb,true,a,4,100,3\nc,true,a,4,100,3\nd,true,b;c,1,,1\n"
)


@pytest.fixture
def files(in_folder: Path) -> Path:
    (in_folder / "p.csv").write_text(PLAN)
    (in_folder / "c.yaml").write_text(CLUSTER)
    return in_folder


def test_json_has_the_promised_shape(files: Path, call_tek: Tek) -> None:
    outcome = call_tek("simulate", "p.csv", "--cluster", "c.yaml", "--output", "json")

    shape = json.loads(outcome.stdout)
    assert outcome.exit_code == 0
    assert (shape["makespan_s"], shape["critical_path_s"], shape["workers"]) == (6, 6, 2)
    assert [(event["id"], event["started_at"], event["finished_at"]) for event in shape["events"]] == [
        ("a", 0, 2),
        ("b", 2, 5),
        ("c", 2, 5),
        ("d", 5, 6),
    ]
    assert {event["worker"] for event in shape["events"]} == {"w-1", "w-2"}
    assert shape["waits"] == {"mean_s": 0, "p95_s": 0, "max_s": 0}


def test_people_see_figures_and_rows(files: Path, call_tek: Tek) -> None:
    outcome = call_tek("simulate", "p.csv", "--cluster", "c.yaml")

    assert outcome.stdout.startswith("makespan 6 s, critical path 6 s (1.00 times that)")
    assert "[b───" in outcome.stdout


def test_quiet_is_the_makespan(files: Path, call_tek: Tek) -> None:
    assert call_tek("simulate", "p.csv", "--cluster", "c.yaml", "--output", "quiet").stdout == "6.000000\n"


def test_drawing_is_well_formed_and_has_a_bar_a_task(files: Path, call_tek: Tek) -> None:
    call_tek("simulate", "p.csv", "--cluster", "c.yaml", "--save-gantt", "g.svg")

    root = ElementTree.fromstring((files / "g.svg").read_text())
    assert len(root.findall(".//{*}rect/{*}title")) == 4


def test_what_no_worker_could_run_is_refused(files: Path, call_tek: Tek) -> None:
    (files / "p.csv").write_text("id,cpus\nwide,16\n")

    outcome = call_tek("simulate", "p.csv", "--cluster", "c.yaml")

    assert outcome.exit_code == 4
    assert "`wide`" in outcome.stderr


def test_gang_with_more_ranks_than_workers_is_refused(files: Path, call_tek: Tek) -> None:
    (files / "p.csv").write_text("id,cpus,nodes\ngang,2,3\n")

    outcome = call_tek("simulate", "p.csv", "--cluster", "c.yaml")

    assert outcome.exit_code == 4
    assert "`gang`" in outcome.stderr


def test_fault_of_the_cluster_names_its_line(files: Path, call_tek: Tek) -> None:
    (files / "c.yaml").write_text("workers:\n  - {name: w, cpu: 4}\n")

    outcome = call_tek("simulate", "p.csv", "--cluster", "c.yaml")

    assert outcome.exit_code == 2
    assert "c.yaml:2" in outcome.stderr
    assert "`cpus`" in outcome.stderr


@pytest.mark.parametrize(
    "arguments", [[], ["p.csv"], ["p.csv", "--run", "last"], ["p.csv", "--cluster", "c.yaml", "--jitter", "2"]]
)
def test_options_that_do_not_fit_together_are_refused(arguments: list[str], files: Path, call_tek: Tek) -> None:
    assert call_tek("simulate", *arguments).exit_code == 2


def test_jitter_of_one_seed_is_always_the_same(files: Path, call_tek: Tek) -> None:
    arguments = ["simulate", "p.csv", "--cluster", "c.yaml", "--jitter", "0.5", "--output", "quiet"]
    first, again, other = (call_tek(*arguments, "--seed", seed).stdout for seed in ("1", "1", "2"))

    assert first == again != other


def test_run_that_has_ended_is_compared(files: Path, call_tek: Tek) -> None:
    call_tek("plan", "p.csv", "--save-plan", "plan.json")
    folder = files / "runs" / "20260101-000000-abc"
    folder.mkdir(parents=True)
    (files / "plan.json").rename(folder / "plan.json")
    times = {"a": (0, 2), "b": (2, 6), "c": (2, 5), "d": (6, 7)}
    results = [
        {
            "task": name,
            "id": name,
            "status": "succeeded",
            "started_at": f"2026-01-01T00:00:{start:02}Z",
            "finished_at": f"2026-01-01T00:00:{end:02}Z",
            "attempts": 1,
            "worker": "w1" if name != "c" else "w2",
        }
        for name, (start, end) in times.items()
    ]
    summary = {"plan": "p.csv", "status": "succeeded", "ended": "2026-01-01T00:00:07Z", "results": results}
    (folder / "run.json").write_text(json.dumps(summary))

    outcome = call_tek("simulate", "--run", folder.name, "--output", "json")

    shape = json.loads(outcome.stdout)
    assert shape["real"] == {"makespan_s": 7, "predicted_s": 7, "error_ratio": 0}
    assert shape["workers"] == 2


@pytest.mark.skipif(not WORKLOADS.is_dir(), reason="the shared workloads are not here")
def test_sixteen_gpu_jobs_keep_within_declared_workers(files: Path, call_tek: Tek) -> None:
    (files / "c.yaml").write_text(
        "workers:\n  - {name: c, count: 2, cpus: 16, memory: 64G, classes: [cpu]}\n"
        "  - {name: g, count: 2, cpus: 8, memory: 64G, gpus: 2, classes: [gpu]}\n"
    )
    plan = WORKLOADS / "plans" / "ci-cudf-pr.csv"

    outcome = call_tek("simulate", str(plan), "--cluster", "c.yaml", "--output", "json")

    (files / "events.json").write_text(outcome.stdout)
    limits = ["--cpus", "48", "--gpus", "4", "--memory-mb", str(4 * 65_536)]
    checked = subprocess.run(
        [sys.executable, str(WORKLOADS / "check_run.py"), str(plan), "events.json", *limits],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.stdout.endswith("OK\n"), checked.stdout
    assert {e["worker"][0] for e in json.loads(outcome.stdout)["events"] if e.get("gpus")} == {"g"}


def test_distributed_task_whose_ranks_fit_on_workers_of_one_group_is_simulated(in_folder: Path, call_tek: Tek) -> None:
    (in_folder / "p.csv").write_text("id,command,nodes,duration_s\na,true,3,5\n")
    (in_folder / "c.yaml").write_text("workers: [{name: w, count: 3, cpus: 4}]\n")

    assert call_tek("simulate", "p.csv", "--cluster", "c.yaml", "--output", "quiet").stdout == "5.000000\n"
