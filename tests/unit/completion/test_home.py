"""Tests of a run's folder: complete, the same when it is written again, and closed to hostile names."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from taskexec.completion.home import RunFolder
from taskexec.completion.ledger import check_chain
from taskexec.completion.names import find_evidence
from taskexec.domain.events import LogEntry
from taskexec.domain.program import RunHead
from taskexec.errors import EvidenceUnwritable

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
    folder.close()
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


def attempt_1(folder: RunFolder) -> Path:
    return folder.path / "tasks" / "a" / "attempt-1"


def test_only_one_at_a_time_writes_a_folder(folder: RunFolder) -> None:
    with pytest.raises(EvidenceUnwritable) as caught:
        RunFolder(folder.path, PLAN, b"{}")

    assert str(folder.path) in caught.value.message


def test_folder_that_is_taken_up_goes_on_behind_what_is_sealed(
    folder: RunFolder, entry: Entry, record: Record, tmp_path: Path
) -> None:
    run_to_the_end(folder, entry, record)
    other = RunFolder(tmp_path / "runs" / "other", PLAN, b"{}")
    other.take(entry("A 0 0", "Q 0 1", "Q 1 1"))
    other.take_output(chunk("stdout.log", b"hello "), "7-0")
    other.flush()
    other.close()

    again = RunFolder(other.path, PLAN, b"{}")

    assert (again.log_to, again.output_to, again.life) == ("1-0", "7-0", "1-0")
    assert [str(transition.kind) for transition in again.former] == ["run_started", "queued", "queued"]
    run_to_the_end(again, entry, record)
    again.close()
    ours = contents(other.path)
    assert ours.pop(".home.json")
    assert ours == contents(folder.path)


def test_ledger_entry_that_was_partly_written_is_cut_off_and_sealed_again(
    folder: RunFolder, entry: Entry, record: Record
) -> None:
    run_to_the_end(folder, entry, record)
    folder.close()
    whole = contents(folder.path)
    ledger = folder.path / "ledger.jsonl"

    for size in range(0, len(whole["ledger.jsonl"]), 37):
        ledger.write_bytes(whole["ledger.jsonl"][:size])
        again = RunFolder(folder.path, PLAN, b"{}")
        run_to_the_end(again, entry, record)
        again.close()

        assert contents(folder.path) == whole


def test_account_of_a_folder_that_is_taken_up_is_that_of_the_records(
    folder: RunFolder, entry: Entry, record: Record
) -> None:
    run_to_the_end(folder, entry, record)
    folder.close()
    before = orjson.loads((folder.path / "run.json").read_bytes())

    again = RunFolder(folder.path, PLAN, b"{}")
    after = again.write_summary(HEAD)
    again.close()

    assert after == before


def test_log_that_began_anew_is_sealed_behind_the_old_one(folder: RunFolder, entry: Entry, record: Record) -> None:
    folder.take(entry("A 0 0", "Q 0 1", "Q 1 1", second=50))
    folder.take(entry("R 0 1", f"S 0 1 {record()}", second=51))
    folder.flush()
    folder.close()
    again = RunFolder(folder.path, PLAN, b"{}")
    again.begin_life()

    again.take(entry("A 0 0", "Q 1 2", second=20))  # even if the new server's clock is behind
    again.take(entry("R 1 2", f"S 1 2 {record(attempt=2)}", "E succeeded 0", second=21))
    again.flush()

    lines = (folder.path / "ledger.jsonl").read_bytes().splitlines()
    assert check_chain(iter(lines)) is None
    assert [orjson.loads(line)["event"] for line in lines].count("run_started") == 2
    assert again.life == "20-0"
    assert [line["status"] for line in again.account.lines()] == ["succeeded", "succeeded"]
    again.close()
    third = RunFolder(folder.path, PLAN, b"{}")
    assert (next(iter(third.former)).at_us, third.life, third.log_to) == (50_000_000, "20-0", "21-0")
    third.close()


def test_late_result_is_kept_beside_the_attempt_that_was_given_up(
    folder: RunFolder, entry: Entry, record: Record
) -> None:
    lost = '{"status":"failed","reason":"lost_worker"}'
    late = record({"stdout.log": "said late"})
    folder.take(entry("R 0 1", f"L 0 1 {lost}", "Q 0 2"))
    folder.take(entry(f"D 0 1 {late}", second=2))
    folder.flush()

    there = contents(attempt_1(folder))
    assert (there["result.json"], there["late_result.json"]) == (lost.encode(), late.partition("\t")[0].encode())
    assert there["stdout.log"] == b"said late"
    ledger = [orjson.loads(line) for line in (folder.path / "ledger.jsonl").read_bytes().splitlines()]
    digest = hashlib.sha256(there["late_result.json"]).hexdigest()
    assert [line["evidence"] for line in ledger if line["event"] == "late_result_refused"] == [
        {"late_result.json": digest}
    ]


def test_late_result_of_an_attempt_that_was_cancelled_is_kept(folder: RunFolder, entry: Entry, record: Record) -> None:
    folder.take_output(chunk("stdout.log", b"so far"))
    folder.take(entry("R 0 1", "C 0 1"))
    folder.take(entry(f"D 0 1 {record(status='failed')}", second=2))

    assert set(contents(attempt_1(folder))) == {"stdout.log", "stderr.log", "late_result.json"}
    assert contents(attempt_1(folder))["stdout.log"] == b"so far"


def test_output_of_an_attempt_that_was_stopped_gets_its_name_with_the_end_of_the_run(
    folder: RunFolder, entry: Entry
) -> None:
    folder.take_output(chunk("stdout.log", b"so far"))
    folder.take(entry("R 0 1", "C 0 1", "E cancelled 0"))

    folder.write_summary(replace(HEAD, status="cancelled", finished_at=1.0))

    assert contents(attempt_1(folder)) == {"stdout.log": b"so far"}


def test_chunk_that_comes_after_its_attempt_was_given_up_lies_with_the_others(folder: RunFolder, entry: Entry) -> None:
    lost = '{"status":"failed","reason":"lost_worker"}'
    folder.take_output(chunk("stdout.log", b"first "))
    folder.take(entry("R 0 1", f"L 0 1 {lost}"))

    folder.take_output(chunk("stdout.log", b"second", offset=6))

    assert contents(attempt_1(folder))["stdout.log"] == b"first second"
    assert [path.name for path in attempt_1(folder).parent.iterdir()] == ["attempt-1"]


@pytest.mark.parametrize("names", [("files/a", "files/a/b"), ("files/a/b", "files/a")])
def test_file_and_folder_of_one_name_are_both_kept(
    names: tuple[str, str], folder: RunFolder, entry: Entry, record: Record
) -> None:
    folder.take_output(chunk(names[0], b"first"))
    folder.take_output(chunk(names[1], b"second"))

    folder.take(entry("R 0 1", f"S 0 1 {record()}"))

    assert [find_evidence(attempt_1(folder), name).read_bytes() for name in names] == [b"first", b"second"]  # type: ignore[union-attr]


def test_file_that_is_called_like_a_record_does_not_take_its_place(
    folder: RunFolder, entry: Entry, record: Record
) -> None:
    detail = record({"result.json": "forged"})

    folder.take(entry("R 0 1", f"S 0 1 {detail}"))

    assert (attempt_1(folder) / "result.json").read_bytes() == detail.partition("\t")[0].encode()
    assert find_evidence(attempt_1(folder), "result.json").read_bytes() == b"forged"  # type: ignore[union-attr]


def spooled(record: Record) -> str:
    file = {"bytes": 5, "sha256": hashlib.sha256(b"large").hexdigest(), "spool": "there"}
    return record(files={"files/big": file}, host="node7")


def test_file_that_stayed_with_its_worker_is_pending_until_it_is_settled(
    folder: RunFolder, entry: Entry, record: Record
) -> None:
    folder.take(entry("R 0 1", f"S 0 1 {spooled(record)}", "E succeeded 0"))

    before = folder.write_summary(HEAD)["pending_files"]
    (file,) = folder.pending
    folder.fetching(file).write_bytes(b"large")
    folder.settle(file)
    after = folder.write_summary(HEAD)["pending_files"]

    assert [(item["task"], item["file"], item["host"], item["state"]) for item in before] == [
        ("a", "files/big", "node7", "pending")
    ]
    assert after == []
    assert (attempt_1(folder) / "files" / "big").read_bytes() == b"large"


def test_pending_files_are_known_again_when_the_folder_is_taken_up(
    folder: RunFolder, entry: Entry, record: Record
) -> None:
    folder.take(entry("R 0 1", f"S 0 1 {spooled(record)}", "E succeeded 0"))
    folder.flush()
    folder.close()

    again = RunFolder(folder.path, PLAN, b"{}")

    assert [file.name for file in again.pending] == ["files/big"]
    again.close()


def test_file_that_is_there_already_is_not_pending_when_its_entry_is_sealed_again(
    folder: RunFolder, entry: Entry, record: Record
) -> None:
    end = entry("R 0 1", f"S 0 1 {spooled(record)}", "E succeeded 0")
    folder.take(end)
    (file,) = folder.pending
    folder.fetching(file).write_bytes(b"large")
    folder.settle(file)
    folder.close()  # killed before the ledger was written

    again = RunFolder(folder.path, PLAN, b"{}")
    again.take(end)

    assert again.pending == []
    again.close()
