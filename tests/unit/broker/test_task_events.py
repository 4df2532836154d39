"""Tests of the events that Celery's monitors get of a run, made from its log."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from celery.events.state import State
from hypothesis import given
from hypothesis import strategies as st

from taskexec.broker.task_events import NOBODY, OTHER_KIND, Kinds, TaskEvents
from taskexec.domain.events import LogEntry, Transition, parse_entry


def events_of(*entries: tuple[str, str], agents: tuple[str, ...] = ("shell", "noop", "shell")) -> list[dict[str, Any]]:
    """Return the events of a run of tasks a, b, c; each entry is its worker and its lines."""
    tasks = [{"id": "abc"[at], "agent": agent, "route": "cpu"} for at, agent in enumerate(agents)]
    maker = TaskEvents("run-1", {"source": "p.csv", "tasks": tasks}, Kinds())
    found: list[dict[str, Any]] = []
    for second, (worker, lines) in enumerate(entries, 1):
        for transition in parse_entry(LogEntry(f"{second}-0", second * 1_000_000, worker, lines)):
            found += maker.take(transition)
    return found


def final(events: list[dict[str, Any]]) -> dict[str, Any]:
    """Return Celery's state of each task after events."""
    state: Any = State()
    for clock, event in enumerate(events):
        state.event(event | {"clock": clock})
    return {uuid: task.state for uuid, task in state.tasks.items()}


def record(**fields: object) -> str:
    return orjson.dumps(fields).decode()


def test_way_of_a_task_is_sent_received_started_and_succeeded() -> None:
    done = record(result=42, started_at="2026-01-01T00:00:00.000Z", finished_at="2026-01-01T00:00:01.500Z")

    events = events_of(("", "A 0 0\nQ 0 1"), ("w", "R 0 1"), ("w", f"S 0 1 {done}\tnot for us"))

    assert [event["type"] for event in events] == ["task-sent", "task-received", "task-started", "task-succeeded"]
    assert [event["hostname"] for event in events] == [NOBODY, "w", "w", "w"]
    assert {event["uuid"] for event in events} == {"run-1.0"}
    assert (events[-1]["result"], events[-1]["runtime"]) == ("42", 1.5)
    assert final(events) == {"run-1.0": "SUCCESS"}


def test_first_events_name_task_run_and_plan() -> None:
    (event,) = events_of(("", "Q 1 1"))

    assert (event["name"], event["args"], event["root_id"]) == ("tek.noop", "('b',)", "run-1")
    assert event["kwargs"] == "{'run': 'run-1', 'plan': 'p.csv', 'task': 'b'}"


def test_failure_that_is_tried_again_is_a_retry_and_the_last_one_a_failure() -> None:
    failed = record(reason="exit", error="exit status 1")

    events = events_of(("", "Q 0 1"), ("w", "R 0 1"), ("w", f"T 0 1 {failed}\nH 0 2 9"), ("", "Q 0 2"))
    between = final(events_of(("", "Q 0 1"), ("w", "R 0 1"), ("w", f"T 0 1 {failed}")))
    events += events_of(("w", "R 0 2"), ("w", f"F 0 2 {failed}"))

    assert between == {"run-1.0": "RETRY"}
    assert final(events) == {"run-1.0": "FAILURE"}
    assert events[-1]["exception"] == "exit: exit status 1"


def test_attempt_of_a_dead_worker_is_a_retry_until_no_attempt_is_left() -> None:
    lost = record(reason="lost_worker", error="its lease lapsed")
    entries = [("", "Q 0 1"), ("w", "R 0 1"), ("reaper", f"L 0 1 {lost}\nQ 0 2")]

    events = events_of(*entries)
    ended = events_of(*entries, ("v", "R 0 2"), ("reaper", f"L 0 2 {lost}\nF 0 2"))

    assert final(events) == {"run-1.0": "PENDING"}
    assert final(ended) == {"run-1.0": "FAILURE"}
    assert ended[-1]["hostname"] == "v"


def test_task_that_was_given_back_runs_nowhere_until_somebody_has_it_again() -> None:
    entries = [("", "Q 0 1"), ("w", "R 0 1"), ("w", "B 0 1")]

    given_back = events_of(*entries)
    again = events_of(*entries, ("", "Q 0 1"), ("v", "R 0 1"), ("v", "S 0 1 {}"))

    assert final(given_back) == {"run-1.0": "RETRY"}
    assert given_back[-1]["hostname"] == "w"
    assert final(events_of(*entries, ("", "Q 0 1"))) == {"run-1.0": "PENDING"}
    assert (again[-1]["hostname"], final(again)) == ("v", {"run-1.0": "SUCCESS"})


@pytest.mark.parametrize("left", ["B 0 1", "L 0 1 {}", "T 0 1 {}\nH 0 2 9"])
def test_worker_that_a_task_has_left_has_no_part_in_its_cancelling(left: str) -> None:
    *_, event = events_of(("w", "R 0 1"), ("w", left), ("", "C 0 1"))

    assert (event["type"], event["hostname"], event["terminated"]) == ("task-revoked", NOBODY, False)


def test_skipped_and_cancelled_tasks_are_revoked_and_say_why() -> None:
    events = events_of(("w", "R 0 1"), ("w", "F 0 1 {}\nX 1 0"), ("", "C 2 0"))

    assert final(events) == {"run-1.0": "FAILURE", "run-1.1": "REVOKED", "run-1.2": "REVOKED"}
    assert [event["exception"] for event in events[-2:]] == ["skipped: a failed", "cancelled"]
    assert events[-1]["hostname"] == NOBODY


def test_task_that_ended_and_is_run_again_by_a_person_ends_anew() -> None:
    before = [("w", "R 0 1"), ("w", "F 0 1 {}")]

    again = events_of(*before, ("", "O 0 0 {}\nG 0 1 {}"), ("", "Q 0 2"), ("w", "R 0 2"))
    assert final(again) == {"run-1.0": "STARTED"}
    assert final(events_of(*before, ("", "G 0 1 {}"), ("w", "R 0 2"), ("w", "S 0 2 {}"))) == {"run-1.0": "SUCCESS"}


def test_what_concerns_no_task_makes_no_event() -> None:
    assert events_of(("", "U 0 0 x"), ("", "A 0 0"), ("w", "N 0 1 5\nD 0 1 {}"), ("", "E succeeded 0")) == []


@pytest.mark.parametrize("detail", ["", "{", "[]", "5", '{"started_at": "x", "finished_at": 3}'])
def test_record_that_cannot_be_read_leaves_the_state_right(detail: str) -> None:
    assert final(events_of(("w", "R 0 1"), ("w", f"S 0 1 {detail}"))) == {"run-1.0": "SUCCESS"}


def test_long_result_is_cut() -> None:
    events = events_of(("w", f"S 0 1 {record(result=['x' * 5_000])}"))

    assert len(events[0]["result"]) == 201


def test_kinds_are_bounded() -> None:
    kinds = Kinds(most=2)

    assert [kinds.name_of(agent) for agent in ("a", "b", "c", "a")] == ["tek.a", "tek.b", OTHER_KIND, "tek.a"]


LIVES = (
    ("Q", "R", "S"),
    ("Q", "R", "T", "Q", "R", "S"),
    ("Q", "R", "L", "Q", "R", "F"),
    ("Q", "R", "B", "Q", "R"),
    ("Q", "R", "F", "G", "Q", "R", "S"),
    ("Q", "R", "S", "G", "Q"),
    ("Q", "C"),
    ("Q", "R", "C"),
    ("Q", "R"),
    ("Q",),
    ("P",),
)
"""What may become of a task, by the letters of the log."""

SEEN = (
    *("state", "name", "args", "kwargs", "root_id", "retries", "result", "exception", "runtime", "hostname"),
    *("received", "started", "succeeded", "failed", "retried", "revoked", "timestamp", "local_received"),
)


@st.composite
def histories(draw: st.DrawFn) -> list[list[Transition]]:
    """Lives of three tasks, between each other, cut into pieces."""
    lives = [list(draw(st.sampled_from(LIVES))) for _ in range(3)]
    pieces: list[list[Transition]] = [[]]
    attempts = [0, 0, 0]
    for second in range(sum(map(len, lives))):
        index = draw(st.sampled_from([at for at, life in enumerate(lives) if life]))
        letter = lives[index].pop(0)
        attempts[index] += letter == "Q"
        worker = draw(st.sampled_from("vw")) if letter in "RSFTLB" else ""
        detail = "" if letter in "QRB" else record(result=second, error="no", reason="exit")
        line = f"{letter} {index} {attempts[index]} {detail}"
        pieces[-1] += parse_entry(LogEntry(f"{second}-0", (second + 1) * 1_000_000, worker, line))
        if draw(st.booleans()):
            pieces.append([])
    return pieces


def shown(events: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return what Celery's state of each task says after events."""
    state: Any = State()
    for clock, event in enumerate(events):
        state.event(event | {"clock": clock})
    return {uuid: {name: getattr(task, name, None) for name in SEEN} for uuid, task in state.tasks.items()}


@given(histories(), st.booleans())
def test_told_together_tasks_are_as_they_are_told_one_by_one(pieces: list[list[Transition]], waits: bool) -> None:
    tasks = [{"id": name, "agent": "shell", "route": "cpu"} for name in "abc"]
    plan = {"source": "p.csv", "tasks": tasks}
    single, joint = TaskEvents("run-1", plan, Kinds()), TaskEvents("run-1", plan, Kinds())

    one_by_one = [event for piece in pieces for transition in piece for event in single.take(transition)]
    together: list[dict[str, Any]] = []
    for piece in pieces:
        together += joint.take_together(piece)
        if waits:
            together += joint.release()
    together += joint.release()

    assert shown(together) == shown(one_by_one)
    assert len(together) <= len(one_by_one)


def test_task_that_comes_and_goes_is_told_once_with_all_that_its_events_would_say() -> None:
    maker = TaskEvents("run-1", {"tasks": [{"id": "a", "agent": "shell", "route": "cpu"}]}, Kinds())
    lines = ("Q 0 1", "R 0 1", f"S 0 1 {record(result=42)}")
    entries = [LogEntry(f"{second}-0", second * 1_000_000, "w", line) for second, line in enumerate(lines, 1)]

    (event,) = maker.take_together(transition for entry in entries for transition in parse_entry(entry))

    assert (event["type"], event["hostname"], event["name"]) == ("task-succeeded", "w", "tek.shell")
    assert (event["received"], event["started"], event["timestamp"], event["result"]) == (2.0, 2.0, 3.0, "42")


def test_what_is_held_back_is_told_when_it_is_asked_for() -> None:
    maker = TaskEvents("run-1", {"tasks": [{"id": name, "agent": "x", "route": "cpu"} for name in "ab"]}, Kinds())

    at_once = [*maker.take_together(parse_entry(LogEntry("1-0", 1, "w", "Q 0 1\nQ 1 1\nR 0 1")))]
    later = [(event["type"], event["uuid"]) for event in maker.release()]

    assert at_once == [*maker.release()] == []
    assert later == [("task-sent", "run-1.1"), ("task-received", "run-1.0"), ("task-started", "run-1.0")]
