"""Which reader a file gets, and what is said of files that cannot be read."""

from __future__ import annotations

import io
import sys

import pytest

from taskexec.errors import Place, PlanRejected, UsageError
from taskexec.sources import read_plan, reading

SOT = "# G. Execution Queue & Task Hooks\n1. **Queue A — X**\n- Tasks: `a`\n"


def rejection(path, **options):
    with pytest.raises(PlanRejected) as caught:
        read_plan(path, **options)
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

    assert read_plan(path, kind="csv").kind == "csv"


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

    assert read_plan(path, hooks=hooks).tasks[0].payload == {"commands": [{"argv": ["true"]}]}


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


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
def test_utf16_is_no_plan(tmp_path, encoding):
    path = tmp_path / "p.csv"
    path.write_bytes("id\nété\n".encode(encoding))

    assert rejection(path).code == "source.encoding"


def test_file_above_the_limit_is_rejected(tmp_path, monkeypatch):
    path = tmp_path / "p.csv"
    path.write_bytes(b"id\na\n")
    monkeypatch.setattr(reading, "SIZE_MAX_BYTES", 4)

    assert rejection(path).code == "source.size"


def test_unknown_kind_is_a_usage_error():
    with pytest.raises(UsageError):
        read_plan("p.csv", kind="yaml")


def test_plan_and_hooks_cannot_both_be_standard_input():
    with pytest.raises(UsageError):
        read_plan("-", hooks="-")
