"""The documents say what is there: links lead somewhere, commands and options exist, examples work."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from support.documented import command_of, options_of

from taskexec.cli.main import COMMANDS, tek
from taskexec.completion.ledger import Ledger
from taskexec.domain.events import LogEntry
from taskexec.plan import build_plan
from taskexec.simulation import read_cluster
from taskexec.sources import read_plan

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [ROOT / "README.md", ROOT / "examples" / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("changelog.d/*.md")]
)
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]
EVERY_DOCUMENT = pytest.mark.parametrize("document", DOCUMENTS, ids=NAMES)

_BLOCK = re.compile(r"^```(?P<info>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]\n]*\]\((?P<target>[^)\s]+)\)")
_INLINE = re.compile(r"`(tek [^`\n]*)`")
_TEK = re.compile(r"(?:^|[\s/])tek(?=\s)")


def blocks(path: Path, language: str) -> list[str]:
    """Return the fenced blocks of a document whose info text begins with a language."""
    found = _BLOCK.finditer(path.read_text(encoding="utf-8"))
    return [match["text"] for match in found if match["info"].split()[:1] == [language]]


def invocations(path: Path) -> Iterator[list[str]]:
    """Yield the words behind `tek` of every command in the fenced and inline code of a document."""
    lines = [line for text in blocks(path, "sh") for line in text.splitlines()]
    lines += [line[2:] for text in blocks(path, "text") for line in text.splitlines() if line.startswith("$ ")]
    lines += _INLINE.findall(_BLOCK.sub("", path.read_text(encoding="utf-8")))
    for line in lines:
        for part in line.split("&&"):
            found = _TEK.search(part)
            if found:
                yield shlex.split(part[found.end() :], comments=True)


def _meant(command: click.Command, words: list[str]) -> click.Command:
    """Return the command of a group that words name, else the command itself."""
    if isinstance(command, click.Group) and words[:1] and words[0] in command.commands:
        return command.commands[words[0]]
    return command


@EVERY_DOCUMENT
def test_every_relative_link_leads_to_a_file(document: Path) -> None:
    targets = [match["target"].partition("#")[0] for match in _LINK.finditer(document.read_text(encoding="utf-8"))]
    relative = [target for target in targets if target and "://" not in target]

    missing = [target for target in relative if not (document.parent / target).exists()]

    assert missing == []


@EVERY_DOCUMENT
def test_every_command_and_option_exists(document: Path) -> None:
    wrong = []
    for words in invocations(document):
        names = [word for word in words if not word.startswith("-")][:1]
        if names and names[0] not in COMMANDS:
            wrong.append(f"tek {names[0]}")
            continue
        known = options_of(_meant(command_of(names[0]), words[words.index(names[0]) + 1 :]) if names else tek)
        used = [word.partition("=")[0] for word in words if word.startswith("-") and word != "-"]
        wrong += [f"tek {' '.join(names)} {option}" for option in used if option not in known]

    assert wrong == []


def test_commands_in_the_documents_are_found() -> None:
    named = {words[0] for document in DOCUMENTS for words in invocations(document) if words}

    assert named >= set(COMMANDS)


@EVERY_DOCUMENT
def test_every_json_example_can_be_parsed(document: Path) -> None:
    for text in blocks(document, "json"):
        json.loads(text)


@EVERY_DOCUMENT
def test_every_csv_example_is_a_plan_without_faults_or_warnings(document: Path, tmp_path: Path) -> None:
    for text in blocks(document, "csv"):
        path = tmp_path / "plan.csv"
        path.write_text(text, encoding="utf-8")

        assert build_plan(read_plan(path)).warnings == ()


@EVERY_DOCUMENT
@pytest.mark.parametrize(("language", "kind"), [("yaml", "workflow"), ("md", "sot")])
def test_every_other_plan_is_one_without_faults_or_warnings(
    document: Path, language: str, kind: str, tmp_path: Path
) -> None:
    for text in blocks(document, language):
        path = tmp_path / f"plan.{language}"
        path.write_text(text, encoding="utf-8")
        if "workers:" in text.splitlines():
            assert read_cluster(path).groups
            continue
        plan = build_plan(read_plan(path))

        assert (plan.kind, plan.warnings) == (kind, ())


@EVERY_DOCUMENT
def test_documents_name_no_place_outside_the_checkout(document: Path) -> None:
    text = document.read_text(encoding="utf-8")

    assert not re.search(r"\.\./shared|/home/|/srv/", text)


@pytest.fixture
def ledger_check(tmp_path: Path) -> Path:
    """Return the program of the protocol's ten lines."""
    found = _BLOCK.finditer((ROOT / "docs" / "protocol.md").read_text(encoding="utf-8"))
    programs = [match["text"] for match in found if match["info"] == "python ledger-check"]
    assert len(programs) == 1
    path = tmp_path / "check.py"
    path.write_text(programs[0], encoding="utf-8")
    return path


@pytest.fixture
def ledger() -> tuple[list[bytes], str]:
    """Return the lines of a small ledger, and its last hash."""
    record = '{"status":"succeeded","files":{"stdout.log":{"bytes":2,"sha256":"ab"}},"error":"é \\",\\"hash\\":\\""}'
    sealer = Ledger(["first", "zweité"])
    entries = [
        LogEntry("1-0", 1_000_000, "", "A 0 0\nQ 0 1"),
        LogEntry("2-0", 2_000_000, "w@h", "R 0 1"),
        LogEntry("3-0", 3_000_000, "w@h", f"F 0 1 {record}\nX 1 0\nE failed 0"),
    ]
    lines = [line for entry in entries for line, _ in sealer.seal(entry)]
    return lines, sealer.head


def run_check(program: Path, lines: list[bytes]) -> subprocess.CompletedProcess[str]:
    path = program.with_name("ledger.jsonl")
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return subprocess.run([sys.executable, str(program), str(path)], capture_output=True, text=True, check=False)


def test_ledger_check_of_the_protocol_accepts_a_ledger_of_ours(
    ledger_check: Path, ledger: tuple[list[bytes], str]
) -> None:
    lines, head = ledger

    checked = run_check(ledger_check, lines)

    assert (checked.returncode, checked.stdout.split()[-1]) == (0, head)


@pytest.mark.parametrize("number", range(1, 7))
def test_ledger_check_of_the_protocol_finds_a_changed_entry(
    ledger_check: Path, ledger: tuple[list[bytes], str], number: int
) -> None:
    lines, _ = ledger
    lines[number - 1] = lines[number - 1].replace(b'"at":"1970', b'"at":"1971')

    checked = run_check(ledger_check, lines)

    assert (checked.returncode, checked.stderr) == (1, f"entry {number} does not hold\n")


def test_ledger_check_of_the_protocol_finds_a_missing_entry(
    ledger_check: Path, ledger: tuple[list[bytes], str]
) -> None:
    lines, _ = ledger
    del lines[2]

    checked = run_check(ledger_check, lines)

    assert (checked.returncode, checked.stderr) == (1, "entry 3 does not hold\n")
