"""What a report makes of a ledger, of records at home and of marks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from taskexec.chaos import ChaosReport, Done, Fault, FaultKind, make_report
from taskexec.chaos.traces import count_marks, proven_successes
from taskexec.domain.clock import iso_time

Entry = dict[str, Any]

START = 1_700_000_000.0


def entry(at: float, event: str, task: str | None = None, attempt: int = 1, **more: object) -> Entry:
    told: Entry = {"at": iso_time(START + at), "event": event, **more}
    return told if task is None else told | {"task": task, "attempt": attempt}


def executed(task: str, at: float = 0.0, attempt: int = 1, worker: str = "w1") -> list[Entry]:
    return [
        entry(at, "queued", task, attempt),
        entry(at + 1, "running", task, attempt, worker=worker),
        entry(at + 2, "succeeded", task, attempt, worker=worker),
    ]


END = entry(50, "run_ended", status="succeeded")


def death(at: float, *workers: str) -> Done:
    fault = Fault(kind=FaultKind.KILL_WORKER, ratio=0.1)
    return Done(fault=fault, at=START + at, target=", ".join(workers), workers=workers)


def report(
    entries: Sequence[Entry],
    tasks: Sequence[str] = ("a",),
    *,
    done: Sequence[Done] = (),
    successes: Mapping[str, int] | None = None,
    marks: Mapping[str, int] | None = None,
    ok: bool = True,
) -> ChaosReport:
    return make_report(
        [*entries, END],
        tasks,
        run_id="r",
        done=done,
        not_done=(),
        seed=1,
        lease_s=2.0,
        successes=dict.fromkeys(tasks, 1) if successes is None else successes,
        marks=marks,
        verification={"ok": ok},
    )


def test_quiet_run_has_nothing_lost_or_doubled() -> None:
    found = report([*executed("a"), *executed("b", at=5)], ["a", "b"], marks={"a": 1, "b": 1})

    assert (found.ok, found.lost, found.doubled, found.reexecuted) == (True, (), (), ())
    assert (found.status, found.attempts_lost, found.late_results_refused) == ("succeeded", 0, 0)


def lost_once(task: str = "a") -> list[Entry]:
    """A task that w1 held when it died at 10, released at 11 and claimed by w2 at 13."""
    return [
        entry(0, "queued", task),
        entry(1, "running", task, worker="w1"),
        entry(11, "attempt_lost", task, worker="w1"),
        *executed(task, at=12, attempt=2, worker="w2"),
    ]


def test_recovery_lasts_from_the_death_to_the_next_claim_of_all_that_was_held() -> None:
    found = report(lost_once(), done=[death(10, "w1")])

    (recovery,) = found.recoveries
    assert (recovery.worker, recovery.held, recovery.released_s, recovery.claimed_s) == ("w1", 1, 1.0, 3.0)
    assert (found.reexecuted, found.attempts_lost) == (("a",), 1)
    assert found.to_json()["recovery"]["worst_leases"] == 1.5


def test_what_another_worker_held_or_was_done_before_does_not_count_for_a_recovery() -> None:
    entries = [*lost_once(), *executed("b"), entry(1, "running", "c", worker="w3"), entry(40, "attempt_lost", "c")]

    found = report(entries, ["a", "b", "c"], done=[death(10, "w1")])

    assert [recovery.held for recovery in found.recoveries] == [1]


def test_recovery_from_a_worker_that_held_nothing_has_no_length() -> None:
    found = report(executed("a"), done=[death(10, "w1")])

    assert [(one.held, one.claimed_s) for one in found.recoveries] == [(0, None)]
    assert found.worst_recovery_s is None


def test_recovery_is_unfinished_while_something_held_was_not_claimed_again() -> None:
    entries = [*lost_once(), entry(1, "running", "b", worker="w1"), entry(11, "attempt_lost", "b")]

    found = report(entries, ["a", "b"], done=[death(10, "w1")])

    assert [(one.held, one.claimed_s) for one in found.recoveries] == [(2, None)]


def test_each_worker_of_several_that_died_at_once_has_its_recovery() -> None:
    found = report(lost_once(), done=[death(10, "w1", "w2")])

    assert [one.worker for one in found.recoveries] == ["w1", "w2"]


def test_task_with_two_accepted_completions_is_doubled() -> None:
    found = report([*executed("a"), entry(5, "succeeded", "a", 2)])

    assert (found.doubled, found.ok) == (("a",), False)


def test_task_that_was_told_to_run_again_is_not_doubled() -> None:
    found = report([*executed("a"), entry(5, "retried", "a", 0), *executed("a", at=6, attempt=2)])

    assert found.doubled == ()


def test_late_result_that_was_refused_is_counted_and_doubles_nothing() -> None:
    found = report([*lost_once(), entry(20, "late_result_refused", "a", 1)])

    assert (found.late_results_refused, found.doubled, found.lost) == (1, (), ())


def test_task_whose_records_at_home_say_twice_that_it_succeeded_is_doubled() -> None:
    found = report(executed("a"), successes={"a": 2})

    assert found.doubled == ("a",)


def test_task_executed_more_often_than_started_is_doubled() -> None:
    found = report(executed("a"), marks={"a": 2})

    assert found.doubled == ("a",)


def test_task_executed_once_for_each_attempt_is_not_doubled() -> None:
    found = report(lost_once(), marks={"a": 2})

    assert found.doubled == ()


def test_success_without_a_record_or_a_mark_is_lost() -> None:
    assert report(executed("a"), successes={}).lost == ("a",)
    assert report(executed("a"), marks={}).lost == ("a",)


def test_task_that_has_not_ended_is_lost() -> None:
    found = report([entry(0, "queued", "a")], successes={})

    assert (found.lost, found.ok) == (("a",), False)


def test_task_that_failed_with_its_workers_is_lost_with_what_was_skipped_for_it() -> None:
    entries = [entry(3, "failed", "a", reason="lost_worker"), entry(3, "skipped", "b", 0, because_of="a")]

    assert report(entries, ["a", "b"], successes={}).lost == ("a", "b")


def test_task_that_failed_by_itself_is_not_lost_nor_what_was_skipped_for_it() -> None:
    entries = [entry(3, "failed", "a", reason="exit"), entry(3, "skipped", "b", 0, because_of="a")]

    assert report(entries, ["a", "b"], successes={}).lost == ()


def test_task_whose_process_a_fault_killed_is_lost_when_it_failed_of_that() -> None:
    killed = Done(fault=Fault(kind=FaultKind.KILL_TASK, ratio=0.1), at=START, target="w1 process 7", task="a")
    entries = [entry(3, "failed", "a", reason="signal"), entry(3, "failed", "b", reason="signal")]

    assert report(entries, ["a", "b"], done=[killed], successes={}).lost == ("a",)


def test_satisfied_task_is_not_lost() -> None:
    assert report([entry(0, "satisfied", "a", 0)], successes={}).lost == ()


def test_evidence_that_does_not_hold_is_not_ok() -> None:
    assert not report(executed("a"), ok=False).ok


def test_report_as_json_has_the_promised_fields() -> None:
    told = report(lost_once(), done=[death(10, "w1")]).to_json()

    assert told.keys() >= {"faults", "reexecuted", "lost", "doubled", "verify", "ok", "seed"}
    assert (told["reexecuted"], told["lost"], told["doubled"]) == (1, 0, 0)
    assert told["faults"] == [{"kind": "kill_worker", "at": iso_time(START + 10), "target": "w1"}]
    json.dumps(told)


def test_successes_are_counted_from_the_records_at_home(tmp_path: Path) -> None:
    for number, status in enumerate(["failed", "succeeded", "succeeded"], 1):
        folder = tmp_path / "tasks" / "folder-of-a" / f"attempt-{number}"
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps({"status": status}))

    assert proven_successes(tmp_path, {"a": "folder-of-a", "b": "b"}) == {"a": 2}


def test_marks_are_the_lines_that_tasks_have_added(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1\n2\n")

    assert count_marks(tmp_path, ["a", "b"]) == {"a": 2}
