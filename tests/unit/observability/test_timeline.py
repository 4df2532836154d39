"""Tests of the timeline of a run: what became of every task and when, folded from the log."""

from __future__ import annotations

import orjson

from taskexec.domain.events import LogEntry
from taskexec.domain.states import TaskStatus
from taskexec.observability.timeline import RunTimeline


def entry(second: int, *lines: str, worker: str = "w") -> LogEntry:
    return LogEntry(f"{second}-0", second * 1_000_000, worker, "\n".join(lines))


def timeline(*depends_on: str) -> RunTimeline:
    """Return the timeline of a run with tasks a, b, …: each argument names what the next one depends on."""
    tasks = [{"id": "abcdefgh"[at], "depends_on": list(names)} for at, names in enumerate(depends_on)]
    return RunTimeline({"tasks": tasks})


def record(**fields: object) -> str:
    return orjson.dumps(fields).decode()


def test_task_is_ready_when_the_last_of_its_dependencies_is_done() -> None:
    run = timeline("", "", "ab")
    run.apply([entry(1, "A 0 0", "Q 0 1", "Q 1 1"), entry(2, "R 0 1", "R 1 1"), entry(3, "S 0 1 {}")])
    before = run.spans[2].ready_us

    changed = run.apply([entry(5, "S 1 1 {}", "Q 2 1")])

    assert (run.spans[0].ready_us, before, run.spans[2].ready_us) == (1_000_000, None, 5_000_000)
    assert list(changed) == [1, 2]
    assert run.spans[2].status is TaskStatus.QUEUED


def test_attempt_has_the_times_of_its_record_and_those_of_the_log() -> None:
    run = timeline("")
    done = record(started_at="1970-01-01T00:00:02.250Z", finished_at="1970-01-01T00:00:02.750Z", usage={"cpu_s": 0.5})
    run.apply([entry(1, "A 0 0", "Q 0 1"), entry(2, "R 0 1", worker="w7"), entry(3, f"S 0 1 {done}", worker="w7")])

    attempt = run.spans[0].last
    assert attempt is not None
    times = (attempt.queued_us, attempt.claimed_us, attempt.started_us, attempt.finished_us)
    assert times == (1_000_000, 2_000_000, 2_250_000, 2_750_000)
    assert (attempt.worker, attempt.outcome, attempt.usage) == ("w7", "succeeded", {"cpu_s": 0.5})


def test_what_is_packed_beside_a_record_is_not_looked_at() -> None:
    run = timeline("")
    run.apply([entry(1, "A 0 0", "Q 0 1"), entry(2, "R 0 1"), entry(3, 'F 0 1 {"reason":"exit"}\t{"stdout.log"')])

    assert [(one.outcome, one.reason) for one in run.spans[0].attempts] == [("failed", "exit")]


def test_every_try_is_kept_with_why_it_ended() -> None:
    run = timeline("")
    failed = record(reason="exit", exit_status=3, error="exit status 3")
    run.apply(
        [
            entry(1, "A 0 0", "Q 0 1"),
            entry(2, "R 0 1"),
            entry(3, f"T 0 1 {failed}", "H 0 2 9000000"),
            entry(9, "Q 0 2"),
            entry(10, "R 0 2"),
            entry(11, "L 0 2 " + record(reason="lost_worker"), "Q 0 3"),
        ]
    )

    span = run.spans[0]
    assert [(one.number, one.outcome, one.reason) for one in span.attempts] == [
        (1, "failed", "exit"),
        (2, "lost", "lost_worker"),
        (3, "queued", None),
    ]
    assert span.attempts[0].exit_status == 3
    assert span.last is span.attempts[1]


def test_what_is_given_back_is_queued_again_under_its_number() -> None:
    run = timeline("")
    run.apply([entry(1, "A 0 0", "Q 0 1"), entry(2, "R 0 1"), entry(3, "B 0 1", "Q 0 1"), entry(4, "R 0 1")])

    assert [(one.number, one.outcome) for one in run.spans[0].attempts] == [(1, "given_back"), (1, "running")]


def test_skipped_task_says_because_of_which_one() -> None:
    run = timeline("", "a")
    run.apply([entry(1, "A 0 0", "Q 0 1"), entry(2, "R 0 1"), entry(3, "F 0 1 {}", "X 1 0", "E failed 0")])

    assert (run.spans[1].status, run.spans[1].because_of) == (TaskStatus.SKIPPED, 0)


def test_satisfied_tasks_make_others_ready_at_the_start() -> None:
    run = timeline("", "a")
    run.apply([entry(1, "A 0 0", "P 0 0", "Q 1 1")])

    assert run.spans[1].ready_us == 1_000_000


def test_retried_tasks_wait_for_their_dependencies_again() -> None:
    run = timeline("", "a")
    run.apply([entry(1, "A 0 0", "Q 0 1"), entry(2, "R 0 1"), entry(3, "S 0 1 {}", "Q 1 1"), entry(4, "R 1 1")])
    run.apply([entry(5, "F 1 1 {}", "E failed 0"), entry(7, "O 0 0 {}", "G 0 1 {}", "G 1 1 {}", "Q 0 2")])

    assert (run.spans[0].ready_us, run.spans[1].ready_us) == (7_000_000, None)
    run.apply([entry(8, "R 0 2"), entry(9, "S 0 2 {}", "Q 1 2")])
    assert run.spans[1].ready_us == 9_000_000


def test_cancelled_task_ends_the_attempt_that_ran() -> None:
    run = timeline("", "a")
    run.apply([entry(1, "A 0 0", "Q 0 1"), entry(2, "R 0 1"), entry(3, "C 0 1", "C 1 0", "E cancelled 0")])

    assert [(one.outcome, one.finished_us) for one in run.spans[0].attempts] == [("cancelled", 3_000_000)]
    assert run.spans[1].attempts == []


def test_new_life_of_a_run_loses_what_was_at_work() -> None:
    run = timeline("", "")
    run.apply([entry(1, "A 0 0", "Q 0 1", "Q 1 1"), entry(2, "R 0 1", "R 1 1"), entry(3, "S 0 1 {}")])
    run.apply([entry(8, "U 0 0 {}", "A 0 0", "Q 1 2")])

    assert [(one.number, one.outcome) for one in run.spans[1].attempts] == [(1, "lost"), (2, "queued")]
    assert run.spans[0].status is TaskStatus.SUCCEEDED
