"""Tests of `tek plan`: the three forms, the files it writes, and what large plans cost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from taskexec.cli.plan import SHOWN_TASKS
from taskexec.errors import Fault, Place
from taskexec.plan import DraftTask, Located, PlanDraft

Tek = Callable[..., Result]
HERE = Place("p.csv", 1)


def draft_of(edges: dict[str, list[str]], **fields: object) -> PlanDraft:
    """Return a draft with these tasks and dependencies."""
    tasks = [
        DraftTask(
            id=Located(name, HERE),
            depends_on=[Located(before, HERE) for before in dependencies],
            duration_s=Located(2.0, HERE),
        )
        for name, dependencies in edges.items()
    ]
    return PlanDraft(source="p.csv", kind="csv", tasks=tasks, **fields)  # type: ignore[arg-type]


@pytest.fixture
def draft(monkeypatch: pytest.MonkeyPatch) -> PlanDraft:
    """Make `p.csv` a plan of four tasks in a diamond, `d` first in the file."""
    made = draft_of({"d": ["b", "c"], "a": [], "b": ["a"], "c": ["a"]})
    monkeypatch.setattr("taskexec.sources.read_plan", lambda *_: made)
    return made


def test_json_has_the_promised_shape(draft: PlanDraft, call_tek: Tek) -> None:
    draft.warnings.append(Fault("csv.doubt", "odd", (HERE,), "look"))

    outcome = call_tek("plan", "p.csv", "--output", "json")

    shape = json.loads(outcome.stdout)
    assert (outcome.exit_code, outcome.stderr) == (0, "")
    assert shape["summary"] == {
        "tasks": 4,
        "edges": 4,
        "levels": 3,
        "width": 2,
        "critical_path_s": 6,
        "series_parallel": True,
    }
    assert [task["id"] for task in shape["tasks"]] == ["d", "a", "b", "c"]
    assert {"depends_on": ["b", "c"], "level": 2, "critical": True, "slack_s": 0}.items() <= shape["tasks"][0].items()
    assert shape["warnings"] == [{"code": "csv.doubt", "message": "odd", "places": ["p.csv:1"], "hint": "look"}]
    assert shape["digest"].startswith("sha256:")
    assert "canvas" not in shape


@pytest.mark.parametrize("arguments", [["p.csv"], ["--sot", "p.csv"], ["--plan", "p.csv"]])
def test_quiet_is_the_ids_in_a_topological_order(arguments: list[str], draft: PlanDraft, call_tek: Tek) -> None:
    outcome = call_tek("plan", *arguments, "--output", "quiet")

    assert outcome.stdout.split() == ["a", "b", "c", "d"]


def test_table_marks_the_critical_path_without_colour(draft: PlanDraft, call_tek: Tek) -> None:
    lines = call_tek("plan", "p.csv").stdout.splitlines()

    assert lines[0].startswith("4 tasks, 4 edges, 3 levels, width 2, critical path 6 s, series-parallel")
    marked = [line.split()[1] for line in lines if line.strip().startswith("* ")]
    assert {"d", "a"} < set(marked)


def test_large_table_ends_with_the_number_of_the_rest(call_tek: Tek, monkeypatch: pytest.MonkeyPatch) -> None:
    large = draft_of({f"t{number}": [] for number in range(SHOWN_TASKS + 1960)})
    monkeypatch.setattr("taskexec.sources.read_plan", lambda *_: large)

    shown = call_tek("plan", "p.csv").stdout

    assert "… and 1,960 more (--output json lists all)" in shown
    assert f"t{SHOWN_TASKS}" not in shown.split()


def test_warnings_are_talk(draft: PlanDraft, call_tek: Tek) -> None:
    draft.warnings.append(Fault("csv.doubt", "odd", (HERE,)))

    outcome = call_tek("plan", "p.csv")

    assert outcome.stderr.startswith("warning[csv.doubt]: odd")
    assert "odd" not in outcome.stdout


def test_faults_end_the_command(draft: PlanDraft, call_tek: Tek) -> None:
    draft.tasks[1].depends_on.append(Located("d", HERE))

    outcome = call_tek("plan", "p.csv")

    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith("error[plan.cycle]")


@pytest.mark.parametrize("option", ["--save-plan", "--out"])
def test_plan_and_drawing_are_written(option: str, draft: PlanDraft, call_tek: Tek, in_folder: Path) -> None:
    outcome = call_tek("plan", "p.csv", option, "plan.json", "--save-graph", "graph.svg")

    assert outcome.exit_code == 0
    assert [task["id"] for task in json.loads((in_folder / "plan.json").read_bytes())["tasks"]] == [*"dabc"]
    assert "<svg" in (in_folder / "graph.svg").read_text()


def test_file_that_cannot_be_written_is_told(draft: PlanDraft, call_tek: Tek) -> None:
    outcome = call_tek("plan", "p.csv", "--out", "none/plan.json")

    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert "none/plan.json" in outcome.stderr


def test_canvas_is_shown_on_request(draft: PlanDraft, call_tek: Tek) -> None:
    shape = json.loads(call_tek("plan", "p.csv", "--canvas", "--output", "json").stdout)
    table = call_tek("plan", "p.csv", "--canvas").stdout

    assert shape["canvas"]["plan"] == shape["digest"]
    assert "chord(" in table


def test_hostile_names_cannot_steer_the_terminal(draft: PlanDraft, call_tek: Tek) -> None:
    draft.tasks[0].title = Located("\x1b]0;owned\x07\u202e[red]", HERE)

    shown = call_tek("plan", "p.csv").stdout

    assert set(shown) & set("\x1b\x07\u202e") == set()


@pytest.mark.parametrize("arguments", [["p.csv", "--sot", "q.md"], ["--sot", "q.md", "--plan", "p.csv"]])
def test_two_plans_are_refused(arguments: list[str], call_tek: Tek) -> None:
    assert call_tek("plan", *arguments).exit_code == 2


def test_real_file_is_read(call_tek: Tek, in_folder: Path) -> None:
    (in_folder / "real.csv").write_text("id,depends_on,command\na,,true\nb,a,echo hello\n")

    outcome = call_tek("plan", "real.csv", "--output", "quiet")

    assert (outcome.exit_code, outcome.stdout) == (0, "a\nb\n")


def test_missing_file_is_told(call_tek: Tek) -> None:
    outcome = call_tek("plan", "none.csv")

    assert outcome.exit_code == 2
    assert "none.csv" in outcome.stderr
