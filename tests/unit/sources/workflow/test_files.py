"""Workflows of several files: which are read, in which order, which may not be, and what joins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from taskexec.errors import Fault, Place, PlanRejected
from taskexec.plan.draft import PlanDraft
from taskexec.sources.workflow.files import DEPTH_MAX, FILES_MAX, includes_from
from taskexec.sources.workflow.reader import read_workflow

Files = dict[str, str]


def reader(files: Files) -> Callable[[str], tuple[str, str]]:
    def read_include(path: str) -> tuple[str, str]:
        if path not in files:
            raise PlanRejected([Fault("source.missing", "there is no such file", (), "check the path")])
        return files[path], f"dir/{path}"

    return read_include


def read(text: str, files: Files) -> PlanDraft:
    return read_workflow(text, "dir/w.yaml", read_include=reader(files))


def ids(draft: PlanDraft) -> list[str]:
    assert draft.faults == []
    return [task.id.value for task in draft.tasks]


def test_tasks_lanes_and_defaults_of_included_files_join_before_ours():
    draft = read(
        "include: [common.yaml]\ndefaults: {retries: 3}\ntasks: {b: {lane: L, depends_on: a}}",
        {"common.yaml": "defaults: {retries: 1, cpus: 2}\nlanes: {L: {priority: 5}}\ntasks: {a: ls}"},
    )

    assert ids(draft) == ["a", "b"]
    assert [(task.retries.value, task.cpus.value) for task in draft.tasks] == [(3, 2), (3, 2)]
    assert draft.tasks[1].priority.value == 5
    assert draft.tasks[0].id.place == Place("dir/common.yaml", 3, 9)
    assert draft.reading.files == ["dir/common.yaml"]


def test_path_is_relative_to_the_including_file():
    files = {"sub/a.yaml": "include: b.yaml\ntasks: {a: }", "sub/b.yaml": "include: [../c.json]\ntasks: {b: }"}

    draft = read("include: sub/a.yaml", files | {"c.json": '{"tasks": {"c": null}}'})

    assert ids(draft) == ["c", "b", "a"]


def test_file_that_is_included_twice_is_read_once():
    files = {"a.yaml": "include: [c.yaml]", "b.yaml": "include: [./c.yaml]", "c.yaml": "tasks: {c: }"}

    assert ids(read("include: [a.yaml, b.yaml]", files)) == ["c"]


@pytest.mark.parametrize(
    ("include", "column"),
    [
        ("/etc/passwd", 11),
        ("../w.yaml", 11),
        ("sub/../../x.yaml", 11),
        ("'C:\\x.yaml'", 11),
        ("w.yaml", 11),
        ("missing.yaml", 11),
        ("' '", 11),
        ("'https://example.org/plan.yaml'", 11),
    ],
)
def test_file_that_may_not_be_included_is_a_fault_where_it_is_named(include, column):
    draft = read(f"include: [{include}]\ntasks: {{a: }}", {})

    assert [fault.code for fault in draft.faults] == ["workflow.include"]
    assert draft.faults[0].places == (Place("dir/w.yaml", 1, column),)


@pytest.mark.parametrize("include", ["3", "{a: b}", "[3]"])
def test_include_that_is_no_path_is_a_fault(include):
    assert [fault.code for fault in read(f"include: {include}", {}).faults] == ["workflow.shape"]


def test_circle_of_includes_is_a_fault_that_names_it():
    draft = read("include: a.yaml", {"a.yaml": "include: b.yaml", "b.yaml": "include: a.yaml"})

    assert [fault.code for fault in draft.faults] == ["workflow.include"]
    assert "`a.yaml` includes `b.yaml` includes `a.yaml`" in draft.faults[0].message
    assert draft.faults[0].places == (Place("dir/b.yaml", 1, 10),)


def test_fault_in_an_included_file_stands_there():
    draft = read("include: a.yaml", {"a.yaml": "tasks:\n  a: {cpus: x}"})

    assert draft.faults[0].places == (Place("dir/a.yaml", 2, 13),)


def test_unreadable_included_file_is_a_fault_there():
    draft = read("include: a.yaml\ntasks: {b: }", {"a.yaml": "a: b: c"})

    assert [(fault.code, fault.places[0].file) for fault in draft.faults] == [("workflow.yaml", "dir/a.yaml")]


def test_includes_are_followed_so_deep_and_no_deeper():
    files = {f"{number}.yaml": f"include: {number + 1}.yaml" for number in range(30)}
    files[f"{DEPTH_MAX - 1}.yaml"] = "tasks: {a: }"
    assert ids(read("include: 0.yaml", files)) == ["a"]

    files[f"{DEPTH_MAX - 1}.yaml"] = f"include: {DEPTH_MAX}.yaml"
    assert [fault.code for fault in read("include: 0.yaml", files).faults] == ["workflow.include"]


def test_so_many_files_are_read_and_no_more():
    names = [f"{number}.yaml" for number in range(FILES_MAX)]
    files = {name: f"tasks: {{'{name}': }}" for name in names}

    assert len(ids(read(f"include: [{', '.join(names[1:])}]", files))) == FILES_MAX - 1
    assert [fault.code for fault in read(f"include: [{', '.join(names)}]", files).faults] == ["workflow.include"]


def test_includes_of_a_text_without_a_folder_are_refused():
    draft = read_workflow("include: a.yaml\ntasks: {b: }", "-")

    assert [fault.code for fault in draft.faults] == ["workflow.include"]


def test_links_do_not_lead_out_of_the_folder(tmp_path: Path):
    inside, outside = tmp_path / "in", tmp_path / "out.yaml"
    inside.mkdir()
    outside.write_text("tasks: {a: }")
    (inside / "link.yaml").symlink_to(outside)
    (inside / "ok.yaml").write_text("tasks: {b: }")
    read_include = includes_from(inside / "w.yaml", Path.read_text)

    draft = read_workflow("include: [ok.yaml, link.yaml]", str(inside / "w.yaml"), read_include=read_include)

    assert [fault.code for fault in draft.faults] == ["workflow.include"]
    assert [task.id.value for task in draft.tasks] == ["b"]
    assert draft.reading.files == [str(inside / "ok.yaml")]
