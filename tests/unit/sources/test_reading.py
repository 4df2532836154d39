"""Which reader a file gets, and what is said of files that cannot be read."""

from __future__ import annotations

import io
import os
import sys

import pytest

from taskexec.errors import Place, PlanRejected, UsageError
from taskexec.sources import ReadOptions, read_plan, reading

SOT = "# G. Execution Queue & Task Hooks\n1. **Queue A — X**\n- Tasks: `a`\n"


def rejection(path, **options):
    with pytest.raises(PlanRejected) as caught:
        read_plan(path, ReadOptions(**options))
    (fault,) = caught.value.faults()
    return fault


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("p.csv", "id\na\n", "csv"),
        ("p.md", "id\na\n", "csv"),
        ("p", "\ufeffid\na\n", "csv"),
        ("p.csv", SOT, "sot"),
        ("p", SOT, "sot"),
        ("p.txt", ' \n{"tasks": []}', "plan"),
        ("p.csv", '{"tasks": []}', "plan"),
        ("p.json", "[]", "plan"),
        ("p.csv", "# name,seconds\na,2\n", "csv"),
        ("p.md", "nothing", "sot"),
        ("p", "# Notes\n", "sot"),
        ("p", "", "csv"),
    ],
)
def test_content_decides_the_kind_and_the_suffix_breaks_ties(tmp_path, name, text, kind):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")

    assert read_plan(path).kind == kind


def test_kind_that_is_given_wins(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text(SOT, encoding="utf-8")

    assert read_plan(path, ReadOptions(kind="csv")).kind == "csv"


def test_source_is_the_path_as_given(tmp_path, monkeypatch):
    (tmp_path / "p.csv").write_text("id\na\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    draft = read_plan("p.csv")

    assert draft.source == "p.csv"
    assert draft.tasks[0].id.place == Place("p.csv", 2, 1)


def test_carriage_returns_survive_reading(tmp_path):
    path = tmp_path / "p.csv"
    path.write_bytes(b'id,title\r\na,"x\r\ny"\r\n')

    assert read_plan(path).tasks[0].title.value == "x\r\ny"


def test_hooks_are_applied_to_any_kind(tmp_path):
    path, hooks = tmp_path / "p.csv", tmp_path / "h.json"
    path.write_text("id\na\n", encoding="utf-8")
    hooks.write_text('{"a": {"commands": [{"cmd": "true"}]}}', encoding="utf-8")

    assert read_plan(path, ReadOptions(hooks=hooks)).tasks[0].payload == {"commands": [{"argv": ["true"]}]}


def test_dash_is_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"id\na\n")))

    draft = read_plan("-")

    assert (draft.source, draft.tasks[0].id.value) == ("-", "a")


def test_missing_file_is_rejected(tmp_path):
    assert rejection(tmp_path / "none.csv").code == "source.missing"


def test_missing_hooks_are_rejected(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("id\na\n", encoding="utf-8")

    assert rejection(path, hooks=tmp_path / "none.json").code == "source.missing"


def test_folder_is_rejected(tmp_path):
    assert rejection(tmp_path).code == "source.folder"


@pytest.mark.parametrize("path", ["a\0b", "x" * 5000])
def test_path_that_no_file_can_have_is_rejected(path):
    assert rejection(path).code == "source.unreadable"


def test_byte_that_is_not_utf8_is_located(tmp_path):
    path = tmp_path / "p.csv"
    path.write_bytes("id\r\né".encode() + b"\xe9\n")

    fault = rejection(path)

    assert fault.code == "source.encoding"
    assert fault.places == (Place(str(path), 2, 2),)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_byte_order_mark_tells_the_encoding(tmp_path, encoding):
    path = tmp_path / "p.csv"
    path.write_bytes("id\nété\n".encode(encoding))

    draft = read_plan(path)

    assert [task.id.value for task in draft.tasks] == ["été"]
    assert encoding.upper()[:5] in draft.reading.form


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_byte_order_mark_is_named(tmp_path, encoding):
    path = tmp_path / "p.csv"
    path.write_bytes("id\nété\n".encode(encoding))

    assert "UTF-16" in rejection(path).message


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"PK\x03\x04....xl/workbook.xml", "xlsx"),
        (b"PK\x03\x04mimetypeapplication/vnd.oasis.opendocument.spreadsheet", "ods"),
        (b"PK\x03\x04data", "zip"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "xls"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"\xff\xd8\xff\xe0", "JPEG"),
        (b"%PDF-1.7", "PDF"),
        (b"  <!DOCTYPE html><html>", "HTML"),
        (b"<?xml version='1.0'?><Project/>", "XML"),
    ],
)
def test_file_of_another_type_says_what_it_is(tmp_path, data, name):
    path = tmp_path / "p.csv"
    path.write_bytes(data)

    fault = rejection(path)

    assert (fault.code, name in fault.message, bool(fault.hint)) == ("source.kind", True, True)


@pytest.mark.parametrize("name", ["plan.csv", "SOT.md", "tasks.tsv", "only.csv"])
def test_folder_is_the_plan_in_it(tmp_path, name):
    (tmp_path / name).write_text(SOT if name.endswith("md") else "id\na\n", encoding="utf-8")
    (tmp_path / "README.md").write_text("# Read me\n", encoding="utf-8")

    assert [task.id.value for task in read_plan(tmp_path).tasks] == ["a"]


def test_folder_with_two_plans_is_rejected_with_their_names(tmp_path):
    for name in ("plan.csv", "sot.md"):
        (tmp_path / name).write_text("id\na\n", encoding="utf-8")

    assert "`plan.csv`, `sot.md`" in rejection(tmp_path).message


@pytest.mark.parametrize("folder", ["", "config"])
def test_hooks_beside_the_plan_are_found(tmp_path, folder):
    (tmp_path / "p.csv").write_text("id\na\n", encoding="utf-8")
    (tmp_path / folder).mkdir(exist_ok=True)
    (tmp_path / folder / "hooks.json").write_text('{"a": {"commands": [{"cmd": ["true"]}]}}', encoding="utf-8")

    draft = read_plan(tmp_path / "p.csv")

    assert draft.tasks[0].payload == {"commands": [{"argv": ["true"]}]}
    assert draft.reading.files == [str(tmp_path / folder / "hooks.json")]


def test_hooks_that_are_found_and_name_nothing_of_the_plan_are_left_out(tmp_path):
    (tmp_path / "p.csv").write_text("id\na\n", encoding="utf-8")
    (tmp_path / "hooks.json").write_text('{"other": {"commands": [{"cmd": ["true"]}]}}', encoding="utf-8")

    draft = read_plan(tmp_path / "p.csv")

    assert (draft.faults, draft.warnings, draft.tasks[0].payload) == ([], [], {})
    assert "hooks.json" in draft.reading.left_out[0]


def test_hooks_that_are_found_and_broken_are_a_fault(tmp_path):
    (tmp_path / "p.csv").write_text("id\na\n", encoding="utf-8")
    (tmp_path / "hooks.json").write_text('{"a": ', encoding="utf-8")

    assert [fault.code for fault in read_plan(tmp_path / "p.csv").faults] == ["hooks.json"]


def test_file_above_the_limit_is_rejected(tmp_path, monkeypatch):
    path = tmp_path / "p.csv"
    path.write_bytes(b"id\na\n")
    monkeypatch.setattr(reading, "SIZE_MAX_BYTES", 4)

    assert rejection(path).code == "source.size"


def test_unknown_kind_is_a_usage_error():
    with pytest.raises(UsageError):
        read_plan("p.csv", ReadOptions(kind="xml"))


def test_plan_and_hooks_cannot_both_be_standard_input():
    with pytest.raises(UsageError):
        read_plan("-", ReadOptions(hooks="-"))


def test_hooks_that_are_found_and_nearly_name_a_lane_are_warned_of(tmp_path):
    (tmp_path / "sot.md").write_text(SOT, encoding="utf-8")
    (tmp_path / "hooks.json").write_text('{"Queue A - X": {"commands": []}}', encoding="utf-8")

    draft = read_plan(tmp_path / "sot.md")

    assert [(fault.code, "Queue A — X" in str(fault.hint)) for fault in draft.warnings] == [("hooks.unused", True)]


def test_name_of_a_file_that_is_no_utf8_is_escaped(tmp_path):
    path = os.fsdecode(bytes(tmp_path) + b"/b\xff.csv")
    with open(path, "w", encoding="utf-8") as file:
        file.write("id\na\n")

    draft = read_plan(path)

    assert draft.source.endswith(r"b\xff.csv")
