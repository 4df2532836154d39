"""Tests of the account: one line a task, as the last of its transitions left it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from taskexec.completion.account import RunAccount
from taskexec.domain.events import LogEntry, parse_entry

Entry = Callable[..., LogEntry]
Record = Callable[..., str]


def lines_after(*entries: LogEntry) -> dict[str, dict[str, Any]]:
    account = RunAccount(["a", "b", "c"])
    for entry in entries:
        for transition in parse_entry(entry):
            account.take(transition)
    return {line["id"]: line for line in account.lines()}


def test_tasks_wait_until_something_happens() -> None:
    assert {line["status"] for line in lines_after().values()} == {"waiting"}


def test_task_that_succeeded_tells_worker_and_times(entry: Entry, record: Record) -> None:
    done = record(started_at="s", finished_at="f", exit_status=0)

    line = lines_after(entry("Q 0 1"), entry("R 0 1", worker="w1"), entry(f"S 0 1 {done}", worker="w2"))["a"]

    assert (line["status"], line["attempts"], line["worker"]) == ("succeeded", 1, "w1")
    assert (line["started_at"], line["finished_at"], line["exit_status"]) == ("s", "f", 0)


def test_failed_attempt_with_attempts_left_is_queued_again(entry: Entry, record: Record) -> None:
    line = lines_after(entry("Q 0 1", "R 0 1"), entry(f"T 0 1 {record(error='no')}", "Q 0 2"))["a"]

    assert (line["status"], line["attempts"], line["error"]) == ("queued", 1, "no")


def test_record_of_the_last_attempt_takes_the_place_of_those_before(entry: Entry, record: Record) -> None:
    line = lines_after(
        entry("R 0 1", f"T 0 1 {record(error='no', reason='exit')}", "Q 0 2"),
        entry("R 0 2", f"S 0 2 {record(attempt=2)}"),
    )["a"]

    assert (line["status"], line["attempts"], line["error"], line["reason"]) == ("succeeded", 2, None, None)


def test_lost_attempt_tells_its_reason(entry: Entry) -> None:
    lost = '{"status":"failed","reason":"lost_worker","error":"gone"}'

    line = lines_after(entry("R 0 1", f"L 0 1 {lost}", f"F 0 1 {lost}"))["a"]

    assert (line["status"], line["reason"], line["error"]) == ("failed", "lost_worker", "gone")


def test_skipped_task_names_the_one_that_failed(entry: Entry, record: Record) -> None:
    lines = lines_after(entry("R 0 1", f"F 0 1 {record()}", "X 2 0"))

    assert (lines["c"]["status"], lines["c"]["because_of"]) == ("skipped", "a")
    assert "because_of" not in lines["a"]


def test_cancelled_task_keeps_the_attempts_it_had(entry: Entry) -> None:
    line = lines_after(entry("Q 0 1", "R 0 1"), entry("C 0 1"))["a"]

    assert (line["status"], line["attempts"]) == ("cancelled", 1)


def test_task_given_back_is_queued_and_refused_results_change_nothing(entry: Entry, record: Record) -> None:
    lines = lines_after(
        entry("Q 0 1", "R 0 1", "B 0 1", "Q 0 1"),
        entry("R 1 1", "C 1 1", f"D 1 1 {record(error='late')}"),
    )

    assert lines["a"]["status"] == "queued"
    assert (lines["b"]["status"], lines["b"]["error"]) == ("cancelled", None)


def test_satisfied_task_was_never_executed(entry: Entry) -> None:
    line = lines_after(entry("A 0 0", "P 0 0"))["a"]

    assert (line["status"], line["attempts"], line["worker"]) == ("satisfied", 0, "")
    assert (line["started_at"], line["finished_at"], line["agent"]) == (None, None, None)


def test_events_of_the_run_change_no_task(entry: Entry) -> None:
    assert lines_after(entry("A 0 0", "E succeeded 0")) == lines_after()
