"""Tests of the view of a run: counts, what runs and what failed, folded from the log."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from taskexec.domain.events import LogEntry
from taskexec.domain.states import RunStatus, TaskStatus
from taskexec.observability import RunView


def entry(second: int, *lines: str) -> LogEntry:
    return LogEntry(f"{second}-0", second * 1_000_000, "w", "\n".join(lines))


def view_after(*entries: LogEntry, tasks: int = 3) -> RunView:
    view = RunView(tasks)
    view.apply(entries)
    return view


def test_run_waits_until_something_happens() -> None:
    view = view_after()

    assert (view.status, view.tally(), view.is_final) == (RunStatus.PENDING, {"waiting": 3}, False)
    assert (view.rate(), view.left_s()) == (0.0, None)


def test_running_tasks_are_known_with_the_time_they_were_claimed() -> None:
    view = view_after(entry(1, "A 0 0", "Q 0 1", "Q 1 1"), entry(2, "R 0 1"), entry(3, "R 1 1"), entry(4, "S 0 1 {}"))

    assert view.running == {1: 3_000_000}
    assert view.tally() == {"waiting": 1, "running": 1, "succeeded": 1}


def test_finished_run_tells_its_status_and_what_failed_in_order() -> None:
    view = view_after(
        entry(1, "A 0 0", "Q 0 1", "Q 1 1", "R 0 1", "R 1 1"),
        entry(2, "F 1 1 {}", "X 2 1"),
        entry(3, "F 0 1 {}", "E failed 0"),
    )

    assert (view.status, view.is_final, view.ended_us) == (RunStatus.FAILED, True, 3_000_000)
    assert view.failed == [1, 0]
    assert view.done == 3


def test_attempt_that_is_tried_again_is_not_done() -> None:
    view = view_after(entry(1, "A 0 0", "Q 0 1", "R 0 1"), entry(2, "T 0 1 {}", "Q 0 2"))

    assert (view.done, view.running) == (0, {})
    assert view.statuses[0] is TaskStatus.QUEUED


def test_task_given_back_no_longer_runs() -> None:
    view = view_after(entry(1, "R 0 1"), entry(2, "B 0 1", "Q 0 1"))

    assert view.running == {}


def test_late_result_changes_nothing() -> None:
    view = view_after(entry(1, "R 0 1", "C 0 1"), entry(2, "D 0 1 {}"))

    assert view.statuses[0] is TaskStatus.CANCELLED


def test_rate_counts_from_the_start_and_tells_what_is_left() -> None:
    view = view_after(entry(10, "A 0 0"), entry(12, "R 0 1", "S 0 1 {}"), tasks=5)

    assert (view.rate(), view.left_s()) == (0.5, 8.0)


def test_rate_falls_while_nothing_ends_and_stands_still_once_the_run_has_ended() -> None:
    goes_on = view_after(entry(10, "A 0 0"), entry(12, "R 0 1", "S 0 1 {}"), tasks=5)
    ended = view_after(entry(10, "A 0 0"), entry(12, "R 0 1", "S 0 1 {}", "E succeeded 0"), tasks=1)

    assert (goes_on.rate(20_000_000), goes_on.left_s(20_000_000)) == (0.1, 40.0)
    assert goes_on.rate(5_000_000) == 0.5  # a clock that is behind
    assert ended.rate(20_000_000) == 0.5


def test_satisfied_tasks_are_done_and_say_nothing_of_the_rate() -> None:
    view = view_after(entry(10, "A 0 0", "P 0 0", "P 1 0", "Q 2 1"), entry(12, "R 2 1", "S 2 1 {}"), tasks=4)

    assert view.tally() == {"waiting": 1, "succeeded": 1, "satisfied": 2}
    assert view.done == 3
    assert (view.rate(), view.left_s()) == (0.5, 2.0)


def test_entries_may_come_in_any_slices() -> None:
    log = [entry(1, "A 0 0", "Q 0 1"), entry(2, "R 0 1"), entry(3, "S 0 1 {}", "E succeeded 0")]

    whole, sliced = view_after(*log, tasks=1), RunView(1)
    for one in log:
        sliced.apply([one])

    assert (whole.statuses, whole.tally(), whole.status) == (sliced.statuses, sliced.tally(), sliced.status)


@given(st.lists(st.tuples(st.sampled_from("QRSFXCP"), st.integers(0, 3)), max_size=40))
def test_counts_are_always_those_of_the_statuses(steps: list[tuple[str, int]]) -> None:
    lines = [f"{letter} {index} {1 if letter != 'X' else 0}" for letter, index in steps]

    view = view_after(*(entry(1, line) for line in lines), tasks=4)

    assert +view.counts == Counter(view.statuses)
    assert set(view.running) == {at for at, status in enumerate(view.statuses) if status is TaskStatus.RUNNING}
