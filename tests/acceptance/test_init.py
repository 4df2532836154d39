"""`tek init`: a small plan of any kind, the same in all of them, over nothing that is there."""

from __future__ import annotations

import pytest
from support.tek import Tek

NAMES = {"csv": "plan.csv", "sot": "sot.md", "yaml": "workflow.yaml", "json": "plan.json"}


def digest(tek: Tek, name: str) -> str:
    shown = tek("plan", name, "--output", "json").expect(0)
    assert (shown.json["warnings"], shown.stderr) == ([], "")
    return str(shown.json["digest"])


def test_plans_of_all_kinds_are_the_same(tek: Tek) -> None:
    for kind in NAMES:
        tek("init", "--kind", kind).expect(0)

    assert len({digest(tek, name) for name in NAMES.values()}) == 1


@pytest.mark.parametrize(
    ("arguments", "written"),
    [
        ((), "plan.csv"),
        (("nightly.md",), "nightly.md"),
        (("nightly.YML",), "nightly.YML"),
        (("nightly.txt",), "nightly.txt"),
        (("nightly.txt", "--kind", "json"), "nightly.txt"),
        (("deep/er", "--kind", "sot"), "deep/er/sot.md"),
        (("deep/nightly.csv",), "deep/nightly.csv"),
    ],
)
def test_plan_is_written_where_it_is_said(arguments: tuple[str, ...], written: str, tek: Tek) -> None:
    done = tek("init", *arguments).expect(0)

    assert [str(path.relative_to(tek.cwd)) for path in tek.cwd.rglob("*") if path.is_file()] == [written]
    assert (done.stdout, written in done.stderr) == ("", True)
    tek("plan", written).expect(0)


def test_existing_folder_gets_the_plan(tek: Tek) -> None:
    (tek.cwd / "night.ly").mkdir()

    tek("init", "night.ly", "--kind", "yaml").expect(0)

    assert (tek.cwd / "night.ly" / "workflow.yaml").is_file()


@pytest.mark.parametrize("arguments", [("mine.csv",), ("mine.csv", "--kind", "sot")])
def test_file_that_is_there_is_left_as_it_is(arguments: tuple[str, ...], tek: Tek) -> None:
    (tek.cwd / "mine.csv").write_text("id\nmine\n")

    refused = tek("init", *arguments).expect(2)

    assert (tek.cwd / "mine.csv").read_text() == "id\nmine\n"
    assert (refused.stdout, "error[usage]: `mine.csv`" in refused.stderr) == ("", True)


def test_folder_that_has_a_plan_is_left_as_it_is(tek: Tek) -> None:
    (tek.cwd / "plan.csv").write_text("id\nmine\n")

    tek("init").expect(2)

    assert [(path.name, path.read_text()) for path in tek.cwd.iterdir()] == [("plan.csv", "id\nmine\n")]


def test_folder_that_cannot_be_made_is_a_usage_error(tek: Tek) -> None:
    (tek.cwd / "file").write_text("")

    refused = tek("init", "file/plan.csv").expect(2)

    assert "error[usage]" in refused.stderr


def test_new_plan_runs_as_it_is(tek: Tek) -> None:
    tek("init", "--kind", "sot").expect(0)

    outcome = tek("run", "sot.md", "--output", "json").expect(0)

    assert outcome.json["counts"] == {"succeeded": 6}
    assert tek.home(outcome).stdout("report") == "the sum of 1 2 3 is 6\n"
