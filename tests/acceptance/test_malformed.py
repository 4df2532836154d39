"""Malformed inputs: each is refused with exit status 2, every fault with its place and its remedy.

Each entry of `tests/malformed/cases` is one input, a file or a folder; what it is must be known from its name.
`arguments.json` holds the options it is read with, `expected` what `tek plan` says of it. After an intended change,
`TEK_GOLDEN=write` writes the expectations anew; read the difference before committing it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from taskexec.cli.main import tek

ROOT = Path(__file__).parents[1] / "malformed"
CASES = ROOT / "cases"
ARGUMENTS: dict[str, list[str]] = json.loads((ROOT / "arguments.json").read_bytes())
COMMITTED = sorted(path.name for path in CASES.iterdir())


def _nested(opening: str, closing: str, depth: int) -> str:
    return opening * depth + closing * depth


MADE: dict[str, Callable[[], bytes]] = {
    "csv_cell_of_a_megabyte.csv": lambda: b"id,title\na," + b"x" * 1_100_000 + b"\nb,short\n",
    "csv_id_of_a_megabyte.csv": lambda: b"id,title\n" + b"x" * 1_100_000 + b",long\n",
    "csv_dependency_of_a_megabyte.csv": lambda: b"id,depends_on\na," + b"x" * 900_000 + b"\n",
    "csv_unclosed_quotes_20_000.csv": lambda: b"id,title\n" + b'a,"open\n' * 20_001,
    "csv_cycle_of_20_000.csv": lambda: (
        "id,depends_on\n" + "".join(f"t{at},t{(at - 1) % 20_000}\n" for at in range(20_000))
    ).encode(),
    "json_nested_200_000_deep.json": lambda: f'{{"tasks": {_nested("[", "]", 200_000)}}}'.encode(),
    "yaml_nested_20_000_deep.yaml": lambda: f"tasks: {_nested('[', ']', 20_000)}\n".encode(),
    "sot_comments_opened_20_000.md": lambda: b"# Plan\n" + b"<!-- x\n" * 20_000,
    "sot_range_of_two_million.md": lambda: (
        "## Execution Queue & Task Hooks\n\n1. **Queue A — Build**\n   - Tasks: `T-1`–`T-2000000`\n"
    ).encode(),
    "kind_zeros.csv": lambda: bytes(1_000_000),
}
"""Inputs that are too large to be kept, by name."""

WITHOUT_LINE = frozenset(
    {
        *("source.encoding", "source.folder", "source.kind", "source.missing", "source.size", "source.unreadable"),
        *("csv.empty", "plan.empty", "sot.no_tasks"),
    }
)
"""Codes of faults that may mean a file as a whole."""

_FAULT = re.compile(r"error\[(?P<code>[\w.]+)\]: (?P<message>.+)")
_PLACE = re.compile(r"(?P<file>[^,]+?)(?::(?P<line>\d+)(?::\d+)?)?")


@dataclass(frozen=True)
class Told:
    """One fault as it is told."""

    code: str
    places: tuple[re.Match[str], ...]
    hint: str | None


@pytest.fixture(autouse=True)
def _without_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("TEK_") and name != "TEK_GOLDEN"]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize("case", COMMITTED)
def test_malformed_input_is_refused_with_places_and_remedies(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CASES)

    _check(case)


@pytest.mark.parametrize("case", MADE)
def test_large_malformed_input_is_refused_with_places_and_remedies(
    case: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(case).write_bytes(MADE[case]())

    _check(case)


def test_missing_file_is_refused_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CASES)

    _check("missing_file.csv")


def test_include_by_a_link_that_leaves_the_folder_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "linked"
    folder.mkdir()
    (tmp_path / "outside.yaml").write_text("tasks:\n  b: make\n", encoding="utf-8")
    (folder / "inside.yaml").symlink_to(tmp_path / "outside.yaml")
    (folder / "workflow.yaml").write_text("include: [inside.yaml]\ntasks:\n  a: make\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    done = _plan("linked")

    assert done.exit_code == 2
    _check_form(done.stderr, "linked")


def test_name_that_no_file_can_have_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    name = "x" * 300 + ".csv"

    done = _plan(name)

    assert done.exit_code == 2
    assert [fault.code for fault in _faults(done.stderr)] == ["source.unreadable"]
    _check_form(done.stderr, name)


def test_all_of_forty_faults_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CASES)

    told = list(_faults(_plan("forty_faults.csv").stderr))

    assert len(told) >= 40
    assert len({place["line"] for fault in told for place in fault.places}) >= 40


def test_the_rest_of_very_many_faults_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CASES)

    said = _plan("four_hundred_faults.csv").stderr

    assert len(list(_faults(said))) == 50
    assert said.splitlines()[-1].startswith("… and 350 more errors")


def test_every_expectation_belongs_to_an_input() -> None:
    cases = {*COMMITTED, *MADE, "missing_file.csv"}

    assert {path.name for path in (ROOT / "expected").iterdir()} == {f"{case}.txt" for case in cases}


def test_inputs_in_the_repository_are_small() -> None:
    files = [path for path in CASES.rglob("*") if path.is_file()]

    assert [path.name for path in files if path.stat().st_size >= 5_000] == []


def _plan(case: str) -> Result:
    return CliRunner().invoke(tek, ["plan", case, *ARGUMENTS.get(case, ())], prog_name="tek")


def _check(case: str) -> None:
    """Read a case twice; both times it must be refused in the words that are expected."""
    done, again = _plan(case), _plan(case)

    assert (done.exit_code, done.stdout) == (2, ""), done.output
    assert again.stderr == done.stderr
    _check_form(done.stderr, case)
    expected = ROOT / "expected" / f"{case}.txt"
    if os.environ.get("TEK_GOLDEN") == "write":
        expected.write_bytes(done.stderr.encode())
    assert done.stderr == expected.read_bytes().decode()


def _check_form(said: str, case: str) -> None:
    """Check that each fault has its places and its remedy, and that nothing steers the terminal."""
    told = list(_faults(said))

    assert told, said
    assert all(character.isprintable() for character in said.replace("\n", ""))
    for fault in told:
        assert fault.hint, said
        if fault.code != "usage":  # an option has no place in a file
            assert fault.places, said
        for place in fault.places:
            assert place["file"].split("/")[0] == case or place["file"] in ARGUMENTS.get(case, ()), said
            assert place["line"] or fault.code in WITHOUT_LINE, said


def _faults(said: str) -> Iterator[Told]:
    """Yield the errors in a text; other lines than theirs are not expected between them."""
    lines = iter([*said.splitlines(), ""])
    line = next(lines)
    while match := _FAULT.fullmatch(line):
        line = next(lines)
        places, hint = [], None
        if line.startswith("  at "):
            texts = [text for text in line.removeprefix("  at ").split(", ") if not text.startswith("and ")]
            places = [place for text in texts if (place := _PLACE.fullmatch(text))]
            line = next(lines)
        if line.startswith("hint: "):
            hint = line.removeprefix("hint: ")
            line = next(lines)
        yield Told(match["code"], tuple(places), hint)
