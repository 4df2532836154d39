"""Tests of the three forms of output, of what is escaped, and of files written whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from taskexec.cli.options import output_option
from taskexec.cli.output import Output, build_table, emit, printable, shorten, write_file
from taskexec.errors import UsageError


def show(arguments: list[str], *, table: Any = "", data: Any = None, quiet: Any = ()) -> Result:
    """Run a command that prints these three."""

    @click.command()
    @output_option
    def command(output: Output) -> None:
        emit(output, table=lambda: table, data=data, quiet=quiet)

    return CliRunner().invoke(command, arguments, catch_exceptions=False)


@pytest.mark.parametrize(
    ("form", "printed"), [("table", "for people\n"), ("json", '{\n  "a": 1\n}\n'), ("quiet", "a\nb\n")]
)
def test_only_the_form_that_was_asked_for_is_printed(form: str, printed: str) -> None:
    outcome = show(["--output", form], table="for people", data={"a": 1}, quiet=["a", "b"])

    assert (outcome.stdout, outcome.stderr) == (printed, "")


def test_parts_that_are_not_asked_for_are_not_computed() -> None:
    def refuse() -> Any:
        raise AssertionError

    assert show(["--output", "json"], data=lambda: [1], quiet=refuse).stdout == "[\n  1\n]\n"


@pytest.mark.parametrize("data", [{"n": 2**70}, {"text": "\ud800"}, {"x": "…"}])
def test_json_holds_whatever_a_plan_may_hold(data: Any) -> None:
    assert json.loads(show(["--output", "json"], data=data).stdout) == data


def test_wide_table_is_not_cut_when_piped() -> None:
    cell = "x" * 300

    outcome = show([], table=build_table(["a", "b"], [(cell, cell)]))

    assert f"{cell}  {cell}" in outcome.stdout


def test_cells_and_lines_are_escaped_and_hold_no_markup() -> None:
    cells = ("\x1b[31m", "[red]x[/red] :smile:")

    outcome = show([], table=[build_table(["a", "b"], [cells]), "line \x9b"])

    assert "\x1b" not in outcome.stdout
    assert r"\x1b[31m" in outcome.stdout
    assert "[red]x[/red] :smile:" in outcome.stdout
    assert r"line \x9b" in outcome.stdout


def test_quiet_lines_stay_lines() -> None:
    assert show(["--output", "quiet"], quiet=["a\nb"]).stdout == "a\\nb\n"


def test_colour_is_never_written_to_a_pipe() -> None:
    table = build_table(["title"], [("cell",)])

    assert "\x1b" not in show([], table=table).stdout
    assert "\x1b" not in show(["--no-color"], table=table).stdout


@given(st.text())
def test_printable_text_steers_nothing(text: str) -> None:
    shown = printable(text)

    assert not any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in shown)
    assert set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029") == set()
    shown.encode()


def test_ordinary_text_is_shown_as_it_is() -> None:
    assert printable("Grüße, 東京 … 🚀") == "Grüße, 東京 … 🚀"


@pytest.mark.parametrize(("text", "shown"), [("abc", "abc"), ("abcd", "ab…")])
def test_long_text_is_shortened(text: str, shown: str) -> None:
    assert shorten(text, 3) == shown


def test_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text("old")

    write_file(path, b"new")

    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")

    write_file(tmp_path / "link", b"new")

    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"new"


def test_device_is_written_to_and_not_replaced() -> None:
    write_file(Path("/dev/null"), b"new")

    assert not Path("/dev/null").is_file()


@pytest.mark.parametrize("name", ["none/plan.json", ".", "file/below"])
def test_file_that_cannot_be_written_is_told(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(UsageError):
        write_file(tmp_path / name, b"new")

    assert [path.name for path in tmp_path.iterdir()] == ["file"]
