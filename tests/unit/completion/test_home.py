"""Tests of a run's folder: complete, the same when it is written again, and closed to hostile names."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from support.run_folders import HEAD, PLAN, B, Entry, Record, attempt_1, chunk, contents, run_to_the_end, spooled

from taskexec.completion.home import RunFolder
from taskexec.completion.ledger import check_chain
from taskexec.completion.names import find_evidence
from taskexec.domain.program import RunHead
from taskexec.errors import EvidenceForeign, EvidenceUnwritable


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
        *(f"tasks/{B}/attempt-{n}/{name}" for n in (1, 2) for name in ("stdout.log", "stderr.log", "result.json")),
    }
    assert there["tasks/a/attempt-1/stdout.log"] == b"hello world"
    assert there[f"tasks/{B}/attempt-1/stderr.log"] == b"no"


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
    assert (first["evidence"], second["evidence"]) == ("tasks/a/attempt-1", f"tasks/{B}/attempt-2")
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


@pytest.mark.parametrize("letter", ["S", "L"])
@pytest.mark.parametrize("is_taken_up", [False, True])
def test_chunk_that_comes_after_its_attempt_has_ended_changes_nothing(
    letter: str, is_taken_up: bool, folder: RunFolder, entry: Entry, record: Record
) -> None:
    folder.take_output(chunk("stdout.log", b"first "))
    folder.take(entry("R 0 1", f"{letter} 0 1 {record(status='succeeded' if letter == 'S' else 'failed')}"))
    folder.flush()
    before = contents(folder.path)
    if is_taken_up:
        folder.close()
        folder = RunFolder(folder.path, PLAN, b"{}")

    folder.take_output(chunk("stdout.log", b"second", offset=6))
    folder.take_output(chunk("files/new", b"new"))

    assert contents(folder.path) == before
    assert [path.name for path in attempt_1(folder).parent.iterdir()] == ["attempt-1"]
    folder.close()


def test_chunk_for_a_stopped_attempt_whose_run_has_ended_changes_nothing(folder: RunFolder, entry: Entry) -> None:
    folder.take_output(chunk("stdout.log", b"so far"))
    folder.take(entry("R 0 1", "C 0 1", "E cancelled 0"))
    folder.write_summary(replace(HEAD, status="cancelled", finished_at=1.0))
    folder.take_output(chunk("stdout.log", b"late", offset=6))
    folder.close()

    again = RunFolder(folder.path, PLAN, b"{}")
    again.take_output(chunk("stdout.log", b"late", offset=6))
    again.close()

    assert contents(attempt_1(folder)) == {"stdout.log": b"so far"}


@pytest.mark.parametrize(
    "fields",
    [
        {"index": -1},
        {"index": 2},
        {"attempt": 0},
        {"attempt": -1},
        {"attempt": 1 << 70},
        {"offset": -1},
    ],
)
def test_chunk_of_no_attempt_is_dropped(fields: dict[str, int], folder: RunFolder) -> None:
    reused = attempt_1(folder).with_name("attempt-0")
    reused.mkdir(parents=True)
    (reused / "stdout.log").write_bytes(b"of another run")
    before = contents(folder.path)

    folder.take_output(chunk("stdout.log", b"x", **fields))
    folder.take_output({"i": b"zero", "a": b"1", "f": b"stdout.log", "o": b"0", "d": b"x"})
    folder.take_output({"d": b"x"})

    assert contents(folder.path) == before


@pytest.mark.parametrize("which", ["0 0", "-1 1", "0 -1"])
def test_record_of_no_attempt_is_written_nowhere(which: str, folder: RunFolder, entry: Entry, record: Record) -> None:
    folder.take(entry(f"S {which} {record()}"))

    assert list(folder.path.rglob("result.json")) == []


def test_plan_cannot_lead_evidence_out_of_the_folder(tmp_path: Path, entry: Entry, record: Record) -> None:
    plan = orjson.loads(PLAN) | {"folders": {"a": str(tmp_path / "elsewhere"), "../b": "../../../elsewhere"}}
    folder = RunFolder(tmp_path / "runs" / "r", orjson.dumps(plan), b"{}")

    run_to_the_end(folder, entry, record)
    folder.close()

    assert not (tmp_path / "elsewhere").exists()
    summary = orjson.loads((folder.path / "run.json").read_bytes())
    assert [line["evidence"] for line in summary["results"]] == ["tasks/a/attempt-1", f"tasks/{B}/attempt-2"]
    assert (folder.path / "tasks" / B / "attempt-2" / "result.json").is_file()


@pytest.mark.parametrize(
    "account",
    [
        {"bytes": 5, "sha256": "x/../../../../../home", "spool": "there"},
        {"bytes": 5, "sha256": "a" * 63, "spool": "there"},
        {"bytes": 5, "sha256": "A" * 64, "spool": "there"},
        {"bytes": -1, "sha256": "a" * 64, "spool": "there"},
        {"bytes": "5", "sha256": "a" * 64, "spool": "there"},
        {"bytes": 5, "sha256": "a" * 64, "spool": ["there"]},
    ],
)
def test_file_that_no_spool_could_have_is_not_awaited(
    account: dict[str, Any], folder: RunFolder, entry: Entry, record: Record
) -> None:
    folder.take(entry("R 0 1", f"S 0 1 {record(files={'files/z': account})}"))

    assert folder.pending == []


def test_link_in_the_place_of_a_stream_is_not_written_through(folder: RunFolder, entry: Entry, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_bytes(b"precious")
    partial = attempt_1(folder).with_name(".attempt-1.partial")
    partial.mkdir(parents=True)
    (partial / "stdout.log").symlink_to(theirs)

    with pytest.raises(OSError):
        folder.take_output(chunk("stdout.log", b"x"))

    assert theirs.read_bytes() == b"precious"


def test_record_replaces_a_link_and_writes_no_file_of_another_name(
    folder: RunFolder, entry: Entry, record: Record, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_bytes(b"precious")
    partial = attempt_1(folder).with_name(".attempt-1.partial")
    partial.mkdir(parents=True)
    (partial / "stdout.log").symlink_to(theirs)
    (partial / "stderr.log").hardlink_to(theirs)

    folder.take(entry("R 0 1", f"S 0 1 {record({'stdout.log': 'out', 'stderr.log': 'err'})}"))

    assert theirs.read_bytes() == b"precious"
    assert not (attempt_1(folder) / "stdout.log").is_symlink()
    assert (contents(attempt_1(folder))["stdout.log"], contents(attempt_1(folder))["stderr.log"]) == (b"out", b"err")


@pytest.mark.parametrize("name", ["result.json/x", "late_result.json/x", "stdout.log/x"])
def test_name_below_a_file_of_ours_does_not_take_its_place(
    name: str, folder: RunFolder, entry: Entry, record: Record
) -> None:
    folder.take_output(chunk(name, b"x"))

    folder.take(entry("R 0 1", f"S 0 1 {record()}"))

    assert find_evidence(attempt_1(folder), name).read_bytes() == b"x"  # type: ignore[union-attr]
    assert (attempt_1(folder) / "result.json").is_file()


@pytest.mark.parametrize(("plan", "canvas"), [(PLAN + b" ", b"{}"), (PLAN, b"{ }")])
def test_plan_of_a_folder_is_never_replaced_by_another(
    plan: bytes, canvas: bytes, folder: RunFolder, entry: Entry, record: Record
) -> None:
    run_to_the_end(folder, entry, record)
    folder.close()
    before = contents(folder.path)

    with pytest.raises(EvidenceForeign) as caught:
        RunFolder(folder.path, plan, canvas)

    assert caught.value.exit_status == 3
    assert contents(folder.path) == before
    RunFolder(folder.path, PLAN, b"{}").close()


def test_nothing_is_made_where_another_plan_lies(tmp_path: Path) -> None:
    path = tmp_path / "r"
    path.mkdir()
    (path / "plan.json").write_bytes(b"{}")

    with pytest.raises(EvidenceForeign):
        RunFolder(path, PLAN, b"{}")

    assert [file.name for file in path.iterdir()] == ["plan.json"]


@pytest.mark.parametrize("plan", [b"no", b"[]", b"{}", b'{"tasks": [1]}', b'{"tasks": [{"id": 1}]}'])
def test_what_is_no_plan_makes_no_folder(plan: bytes, tmp_path: Path) -> None:
    with pytest.raises(EvidenceForeign):
        RunFolder(tmp_path / "r", plan, b"{}")

    assert not (tmp_path / "r").exists()


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


def test_late_result_changes_no_file_that_a_record_speaks_of(folder: RunFolder, entry: Entry, record: Record) -> None:
    folder.take(entry("R 0 1", f"S 0 1 {spooled(record)}"))
    (awaited,) = folder.pending
    forged = {"files/big": {"bytes": 1, "sha256": "0" * 64, "spool": "evil"}}
    folder.take(entry("R 1 1", f"S 1 1 {record()}", second=2))

    folder.take(entry(f"D 0 1 {record(files=forged)}", second=3))
    folder.take(entry(f"D 1 1 {record({'stdout.log': 'late'})}", second=4))

    assert folder.pending == [awaited]
    assert (folder.path / "tasks" / B / "attempt-1" / "stdout.log").read_bytes() == b""
