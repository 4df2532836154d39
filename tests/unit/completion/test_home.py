"""Tests of a run's folder: complete, the same when it is written again, and closed to hostile names."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from taskexec.completion.home import RunFolder
from taskexec.completion.ledger import check_chain
from taskexec.domain.events import LogEntry
from taskexec.domain.program import RunHead

Entry = Callable[..., LogEntry]
Record = Callable[..., str]

PLAN = orjson.dumps(
    {
        "tasks": [
            {"id": "a", "lane": "Queue A", "route": "cpu", "agent": "shell"},
            {"id": "../b", "lane": None, "route": "gpu", "agent": "noop"},
        ],
        "folders": {"../b": "b~digest"},
    }
)
HEAD = RunHead(run_id="r", status="failed", tasks=2, left=0, succeeded=1, failed=1, source="p.csv")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[RunFolder]:
    made = RunFolder(tmp_path / "runs" / "r", PLAN, b"{}")
    yield made
    made.close()


def chunk(name: str, data: bytes, *, offset: int = 0, index: int = 0, attempt: int = 1) -> dict[str, bytes]:
    fields = {"i": str(index), "a": str(attempt), "f": name, "o": str(offset)}
    return {key: value.encode("utf-8", "surrogatepass") for key, value in fields.items()} | {"d": data}


def contents(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


def run_to_the_end(folder: RunFolder, entry: Entry, record: Record) -> None:
    folder.take(entry("A 0 0", "Q 0 1", "Q 1 1"))
    folder.take_output(chunk("stdout.log", b"hello "))
    folder.take_output(chunk("stdout.log", b"world", offset=6))
    folder.take_output(chunk("files/sub/f.txt", b"file"))
    files = {
        "stdout.log": {"bytes": 11, "sha256": hashlib.sha256(b"hello world").hexdigest()},
        "files/sub/f.txt": {"bytes": 4, "sha256": hashlib.sha256(b"file").hexdigest()},
    }
    folder.take(entry("R 0 1", f"S 0 1 {record(files=files)}", second=2))
    folder.take(entry("R 1 1", f"T 1 1 {record({'stderr.log': 'no'}, status='failed')}", "Q 1 2", second=3))
    folder.take(entry("R 1 2", f"F 1 2 {record(status='failed', attempt=2)}", "E failed 0", second=4))
    folder.write_summary(HEAD)


def test_folder_holds_the_run_when_it_has_ended(folder: RunFolder, entry: Entry, record: Record) -> None:
    run_to_the_end(folder, entry, record)

    there = contents(folder.path)
    assert set(there) == {
        "plan.json",
        "canvas.json",
        "ledger.jsonl",
        "run.json",
        "tasks/a/attempt-1/stdout.log",
        "tasks/a/attempt-1/stderr.log",
        "tasks/a/attempt-1/result.json",
        "tasks/a/attempt-1/files/sub/f.txt",
        *(f"tasks/b~digest/attempt-{n}/{name}" for n in (1, 2) for name in ("stdout.log", "stderr.log", "result.json")),
    }
    assert there["tasks/a/attempt-1/stdout.log"] == b"hello world"
    assert there["tasks/b~digest/attempt-1/stderr.log"] == b"no"


def test_evidence_matches_its_digests_and_the_ledger_holds(folder: RunFolder, entry: Entry, record: Record) -> None:
    run_to_the_end(folder, entry, record)

    ledger = (folder.path / "ledger.jsonl").read_bytes().splitlines()
    for result in folder.path.rglob("result.json"):
        for name, file in orjson.loads(result.read_bytes())["files"].items():
            assert hashlib.sha256((result.parent / name).read_bytes()).hexdigest() == file["sha256"]
    assert check_chain(iter(ledger)) is None
    results = [orjson.loads(line)["evidence"]["result.json"] for line in ledger if b'"result.json"' in line]
    files = sorted(folder.path.rglob("result.json"))
    assert sorted(results) == sorted(hashlib.sha256(file.read_bytes()).hexdigest() for file in files)


def test_writing_again_gives_the_same_content(folder: RunFolder, entry: Entry, record: Record, tmp_path: Path) -> None:
    run_to_the_end(folder, entry, record)
    first = contents(folder.path)

    again = RunFolder(folder.path, PLAN, b"{}")
    run_to_the_end(again, entry, record)
    again.close()

    assert contents(folder.path) == first


def test_interrupted_writing_is_completed_by_the_next(
    folder: RunFolder, entry: Entry, record: Record, tmp_path: Path
) -> None:
    run_to_the_end(folder, entry, record)
    other = tmp_path / "runs" / "other"
    interrupted = RunFolder(other, PLAN, b"{}")
    interrupted.take(entry("A 0 0", "Q 0 1", "Q 1 1"))
    interrupted.take_output(chunk("stdout.log", b"hel"))
    interrupted.close()

    again = RunFolder(other, PLAN, b"{}")
    run_to_the_end(again, entry, record)
    again.close()

    assert contents(other) == contents(folder.path)


def test_output_of_an_attempt_that_was_lost_for_the_last_time_is_kept(folder: RunFolder, entry: Entry) -> None:
    lost = '{"status":"failed","reason":"lost_worker"}'
    folder.take_output(chunk("stdout.log", b"so far"))

    folder.take(entry("R 0 1", f"L 0 1 {lost}", f"F 0 1 {lost}"))

    assert (folder.path / "tasks/a/attempt-1/stdout.log").read_bytes() == b"so far"


@pytest.mark.parametrize(
    "name",
    [
        "../../../../escaped",
        "/escaped",
        "//escaped",
        "///escaped",
        "files/../../../escaped",
        "..",
        ".",
        "",
        "/",
        "files/\0",
        "files/" + "x" * 300,
        "files/a\nb",
        "~/escaped",
    ],
)
def test_hostile_file_name_stays_inside_the_attempt(
    name: str, folder: RunFolder, entry: Entry, record: Record, tmp_path: Path
) -> None:
    folder.take_output(chunk(name, b"chunk"))
    folder.take(entry("R 0 1", f"S 0 1 {record({name: 'inline'}) if chr(0) not in name else record()}"))

    attempt = folder.path / "tasks" / "a" / "attempt-1"
    outside = {file for file in tmp_path.rglob("*") if file.is_file() and attempt not in file.parents}
    assert {file.name for file in outside} == {"plan.json", "canvas.json", "ledger.jsonl"}
    assert len([file for file in attempt.rglob("*") if file.is_file()]) >= 3


def test_summary_has_the_fields_of_the_older_kit(folder: RunFolder, entry: Entry, record: Record) -> None:
    run_to_the_end(folder, entry, record)

    summary: dict[str, Any] = orjson.loads((folder.path / "run.json").read_bytes())
    assert (summary["status"], summary["counts"]) == ("failed", {"succeeded": 1, "failed": 1})
    first, second = summary["results"]
    assert {"task", "queue", "agent", "status", "evidence", "error", "commands"} <= set(first)
    assert (first["queue"], second["queue"]) == ("Queue A", "gpu")
    assert (first["evidence"], second["evidence"]) == ("tasks/a/attempt-1", "tasks/b~digest/attempt-2")
    assert (folder.path / second["evidence"] / "result.json").is_file()


def test_satisfied_task_has_its_result_and_its_ledger_entry_but_no_evidence(folder: RunFolder, entry: Entry) -> None:
    folder.take(entry("A 0 0", "P 0 0", "P 1 0", "E succeeded 0"))

    summary = folder.write_summary(RunHead(run_id="r", status="succeeded", tasks=2, left=0, satisfied=2))

    first = summary["results"][0]
    assert summary["counts"] == {"satisfied": 2}
    assert (first["status"], first["agent"], first["evidence"], first["commands"]) == ("satisfied", "shell", None, [])
    ledger = [orjson.loads(line) for line in (folder.path / "ledger.jsonl").read_bytes().splitlines()]
    assert [line["task"] for line in ledger if line["event"] == "satisfied"] == ["a", "../b"]
    assert list((folder.path / "tasks").iterdir()) == []
