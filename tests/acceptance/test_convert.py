"""`tek convert`: a plan of any kind as the same plan of any other, whole or not at all."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from support.tek import EXECUTABLE, Tek, tek_place

FORMS = {"csv": "plan.csv", "sot": "sot.md", "yaml": "workflow.yaml", "json": "plan.json"}
HOOKS = json.dumps({"a": {"commands": [{"cmd": "make a | cat"}, {"cmd": ["make"], "cwd": "sub", "env": {"N": "1"}}]}})
PLANS = Path(__file__).parents[1] / "plans"
FAULTY = "id,depends_on\na,nowhere\n"


@pytest.fixture(scope="module")
def kinds() -> Iterator[Tek]:
    """A place with the same plan of every kind."""
    with tek_place() as tek:
        for form in FORMS:
            tek("init", "--kind", form).expect(0)
        yield tek


def digest(tek: Tek, name: str) -> str:
    return str(tek("plan", name, "--output", "json").expect(0).json["digest"])


@pytest.mark.parametrize(("source", "form"), [*product(FORMS, FORMS)])
def test_converted_plan_is_the_same_plan(source: str, form: str, kinds: Tek) -> None:
    out = f"from_{source}_{FORMS[form]}"

    done = kinds("convert", FORMS[source], "--to", form, "--out", out).expect(0)

    assert (done.stdout, done.stderr) == ("", f"wrote `{out}`: 6 tasks, 6 dependencies\n")
    assert digest(kinds, out) == digest(kinds, FORMS[source])


@pytest.mark.parametrize("form", FORMS)
def test_plan_is_printed_without_a_file_to_write(form: str, kinds: Tek) -> None:
    written = kinds("convert", "sot.md", "--to", form, "--out", f"printed_{form}.txt").expect(0)

    printed = kinds("convert", "sot.md", "--to", form).expect(0)

    assert (written.stdout, printed.stderr) == ("", "")
    assert printed.stdout == (kinds.cwd / f"printed_{form}.txt").read_text()


def test_standard_input_is_converted_whatever_its_kind(kinds: Tek) -> None:
    text = (kinds.cwd / "sot.md").read_bytes()

    done = _convert(kinds, text, "-", "--to", "csv")

    assert (done.returncode, done.stderr) == (0, b"")
    (kinds.cwd / "piped.csv").write_bytes(done.stdout)
    assert digest(kinds, "piped.csv") == digest(kinds, "sot.md")


def test_conversions_follow_each_other_in_a_pipe(kinds: Tek) -> None:
    text = (kinds.cwd / "plan.csv").read_bytes()

    for form in ("yaml", "sot", "json", "csv"):
        text = _convert(kinds, text, "-", "--to", form).stdout

    (kinds.cwd / "through.csv").write_bytes(text)
    assert digest(kinds, "through.csv") == digest(kinds, "plan.csv")


def test_hooks_become_part_of_the_new_plan(tek: Tek) -> None:
    tek.write("plan.csv", "id,lane\na,x\nb,y\n")
    tek.write("hooks.json", HOOKS)
    said = digest(tek, "plan.csv")

    tek("convert", "plan.csv", "--to", "yaml", "--out", "alone/workflow.yaml").expect(2)
    (tek.cwd / "alone").mkdir()
    tek("convert", "plan.csv", "--to", "yaml", "--out", "alone/workflow.yaml").expect(0)

    assert digest(tek, "alone/workflow.yaml") == said


@pytest.mark.parametrize("plan", ["retries_table/plan.csv", "retries_workflow/plan.yaml", "retries_sot/plan.md"])
def test_retries_limits_and_files_survive_every_form_one_after_the_other(plan: str, tek: Tek) -> None:
    source = PLANS / plan
    tek.write(source.name, source.read_text(encoding="utf-8"))
    said = digest(tek, source.name)

    before = source.name
    for form, name in FORMS.items():
        tek("convert", before, "--to", form, "--out", f"next_{name}").expect(0)
        before = f"next_{name}"
        assert digest(tek, before) == said


def test_existing_file_is_replaced(tek: Tek) -> None:
    tek.write("plan.csv", "id\na\n")
    tek.write("out.md", "old " * 100_000)

    tek("convert", "plan.csv", "--to", "sot", "--out", "out.md").expect(0)

    assert "old" not in (tek.cwd / "out.md").read_text()
    assert sorted(os.listdir(tek.cwd)) == ["out.md", "plan.csv"]


def test_plan_is_replaced_by_itself(tek: Tek) -> None:
    tek.write("plan.csv", "Task ID;Blocked by\na;\nb;a\n")
    before = digest(tek, "plan.csv")

    tek("convert", "plan.csv", "--to", "csv", "--out", "plan.csv").expect(0)

    assert (tek.cwd / "plan.csv").read_text() == "id,depends_on\na,\nb,a\n"
    assert digest(tek, "plan.csv") == before


def test_plan_with_faults_writes_nothing(tek: Tek) -> None:
    tek.write("plan.csv", FAULTY)
    tek.write("out.md", "as it was")

    refused = tek("convert", "plan.csv", "--to", "sot", "--out", "out.md").expect(2)
    printed = tek("convert", "plan.csv", "--to", "sot").expect(2)

    assert (refused.stdout, printed.stdout) == ("", "")
    assert "error[plan.unknown_dependency]" in refused.stderr
    assert (tek.cwd / "out.md").read_text() == "as it was"
    assert sorted(os.listdir(tek.cwd)) == ["out.md", "plan.csv"]


@pytest.mark.parametrize("out", ["missing/out.csv", "plan.csv/out.csv", "folder"])
def test_file_that_cannot_be_written_is_a_usage_error(out: str, tek: Tek) -> None:
    tek.write("plan.csv", "id\na\n")
    (tek.cwd / "folder").mkdir()

    refused = tek("convert", "plan.csv", "--to", "csv", "--out", out).expect(2)

    assert "error[usage]" in refused.stderr
    assert sorted(str(path.relative_to(tek.cwd)) for path in tek.cwd.rglob("*")) == ["folder", "plan.csv"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_without_write_permission_keeps_the_old_file(tek: Tek) -> None:
    tek.write("plan.csv", "id\na\n")
    folder = Path(tek.cwd, "locked")
    folder.mkdir()
    (folder / "out.csv").write_text("as it was")
    folder.chmod(0o500)

    refused = tek("convert", "plan.csv", "--to", "csv", "--out", "locked/out.csv")
    folder.chmod(0o700)

    refused.expect(2)
    assert (folder / "out.csv").read_text() == "as it was"


def test_unknown_form_is_a_usage_error(tek: Tek) -> None:
    tek.write("plan.csv", "id\na\n")

    tek("convert", "plan.csv", "--to", "xlsx").expect(2)
    tek("convert", "plan.csv").expect(2)


def test_warnings_are_told_and_the_plan_is_written(tek: Tek) -> None:
    tek.write("plan.csv", "id,priority\na,700\n")

    done = tek("convert", "plan.csv", "--to", "csv").expect(0)

    assert done.stdout == "id,priority\na,9\n"
    assert "warning[plan.priority]" in done.stderr


def _convert(tek: Tek, text: bytes, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Call `tek convert` with a text as its standard input."""
    return subprocess.run(
        [EXECUTABLE, "convert", *arguments], input=text, cwd=tek.cwd, env=tek.place.environ(), capture_output=True
    )
