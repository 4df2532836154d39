"""Tests of a run's folder when a further life of the run begins: what of the former one stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from support.run_folders import HEAD, PLAN, B, Entry, Record, attempt_1, chunk, contents, run_to_the_end, spooled

from taskexec.completion.home import RunFolder


def killed(folder: RunFolder) -> RunFolder:
    """Have a folder's writer die before it wrote the ledger, and the run begin a further life."""
    folder.close()
    again = RunFolder(folder.path, PLAN, b"{}")
    again.begin_life()
    return again


def test_attempt_that_the_ledger_does_not_know_leaves_nothing_to_a_further_life(
    folder: RunFolder, entry: Entry, record: Record
) -> None:
    folder.take(entry("A 0 0", "Q 0 1", "Q 1 1"))
    folder.flush()
    folder.take_output(chunk("stdout.log", b"a long first life"))
    folder.take_output(chunk("files/old", b"x"))
    folder.take_output(chunk("stdout.log", b"at work", index=1))
    folder.take(entry("R 0 1", f"S 0 1 {record()}", second=2))

    again = killed(folder)
    left = list((folder.path / "tasks").rglob("*attempt*"))
    again.take_output(chunk("stdout.log", b"short"))
    again.take(entry("R 0 1", f"S 0 1 {record()}", second=3))
    again.close()

    assert left == []
    assert contents(attempt_1(folder))["stdout.log"] == b"short"
    assert "files/old" not in contents(attempt_1(folder))


def test_what_a_started_attempt_left_stays_without_the_record_that_the_ledger_does_not_know(
    folder: RunFolder, entry: Entry, record: Record
) -> None:
    folder.take(entry("A 0 0", "Q 0 1", "R 0 1"))
    folder.flush()
    folder.take_output(chunk("stdout.log", b"said"))
    folder.take(entry(f"S 0 1 {spooled(record)}", second=2))

    again = killed(folder)
    again.close()

    assert contents(attempt_1(folder)) == {"stdout.log": b"said", "stderr.log": b""}
    assert again.pending == []


def test_late_result_that_the_ledger_does_not_know_goes_with_a_further_life(
    folder: RunFolder, entry: Entry, record: Record
) -> None:
    lost = '{"status":"failed","reason":"lost_worker"}'
    folder.take(entry("A 0 0", "R 0 1", f"L 0 1 {lost}", "R 1 1", f"L 1 1 {lost}"))
    folder.take(entry(f"D 1 1 {record()}", second=2))
    folder.flush()
    folder.take(entry(f"D 0 1 {record()}", second=3))

    killed(folder).close()

    assert set(contents(attempt_1(folder))) == {"stdout.log", "stderr.log", "result.json"}
    assert (folder.path / "tasks" / B / "attempt-1" / "late_result.json").is_file()


def test_attempt_at_work_when_its_life_ended_gets_its_name_with_the_end_of_the_run(
    folder: RunFolder, entry: Entry
) -> None:
    folder.take(entry("A 0 0", "R 0 1"))
    folder.flush()
    folder.take_output(chunk("stdout.log", b"so far"))  # killed before it noted that it put a folder together

    again = killed(folder)
    again.take(entry("A 0 0", "C 0 1", "E cancelled 0", second=5))
    again.write_summary(replace(HEAD, status="cancelled", finished_at=1.0))
    again.close()

    assert contents(attempt_1(folder)) == {"stdout.log": b"so far"}


def test_further_life_keeps_what_is_sealed_what_was_taken_over_and_what_is_not_ours(
    folder: RunFolder, entry: Entry, record: Record, tmp_path: Path
) -> None:
    run_to_the_end(folder, entry, record)
    for name in ("attempt-0", "notes", "attempt-01"):
        (attempt_1(folder).with_name(name)).mkdir()
        (attempt_1(folder).with_name(name) / "kept").write_bytes(b"x")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").write_bytes(b"x")
    attempt_1(folder).with_name("attempt-7").symlink_to(elsewhere)
    before = contents(folder.path)

    killed(folder).close()

    assert contents(folder.path) == before
    assert contents(elsewhere) == {"kept": b"x"}


def test_further_life_of_a_damaged_ledger_keeps_all_evidence(folder: RunFolder, entry: Entry, record: Record) -> None:
    run_to_the_end(folder, entry, record)
    folder.close()
    ledger = folder.path / "ledger.jsonl"
    ledger.write_bytes(ledger.read_bytes().replace(b'"attempt":1', b'"attempt":9', 1))
    before = contents(folder.path / "tasks")

    killed(folder).close()

    assert contents(folder.path / "tasks") == before
