"""Tests of what keys do in `tek watch`: filter, order, selection, panes, and what they ask for."""

from __future__ import annotations

import pytest

from taskexec.cli.watch_state import Ask, Pane, WatchState
from taskexec.domain.states import TaskStatus

R, F, W, S, Q = (
    TaskStatus.RUNNING,
    TaskStatus.FAILED,
    TaskStatus.WAITING,
    TaskStatus.SUCCEEDED,
    TaskStatus.QUEUED,
)


def state(*statuses: TaskStatus, keys: str = "") -> WatchState:
    """Return the state of tasks a, b, … after some keys of one character."""
    made = WatchState(["abcdefgh"[at] for at in range(len(statuses))], [f"Title {at}" for at in range(len(statuses))])
    made.list_tasks(statuses, range(len(statuses)))
    for key in keys:
        made.press(key)
        made.list_tasks(statuses, range(len(statuses)))
    return made


def test_most_urgent_tasks_come_first_and_the_latest_of_those_done() -> None:
    assert state(S, W, S, F, R, Q).rows == [4, 3, 5, 1, 2, 0]


def test_order_of_the_plan_is_one_key_away() -> None:
    assert state(S, W, R, keys="s").rows == [0, 1, 2]


def test_filter_goes_round_and_escape_shows_all() -> None:
    made = state(S, W, R, F, keys="f")
    running = list(made.rows)
    made.press("f")
    made.list_tasks([S, W, R, F], range(4))

    assert (running, made.rows) == ([2], [3])
    made.press("escape")
    assert made.filter == "all"


def test_text_is_searched_in_ids_and_titles_while_it_is_typed() -> None:
    made = state(S, W, R, keys="/TITLE 1")

    assert made.is_typing
    assert made.rows == [1]
    made.press("enter")
    assert (made.is_typing, made.text) == (False, "TITLE 1")


def test_keys_are_letters_while_a_text_is_typed() -> None:
    made = state(S, W, keys="/qcf")

    assert (made.text, made.filter, made.is_confirming) == ("qcf", "all", False)
    made.press("backspace")
    assert made.text == "qc"
    made.press("escape")
    assert (made.text, made.is_typing) == ("", False)


def test_selection_stays_on_its_task_when_others_move() -> None:
    made = state(W, W, W, keys="jj")
    made.list_tasks([W, W, R], range(3))

    assert (made.selected, made.cursor, made.rows) == (1, 2, [2, 0, 1])


@pytest.mark.parametrize(("keys", "row"), [(["down"], 0), (["end"], 2), (["end", "up"], 1), (["end", "home"], 0)])
def test_selection_moves_and_stops_at_the_ends(keys: list[str], row: int) -> None:
    made = state(W, W, W)
    for key in keys:
        made.press(key)

    assert made.cursor == row
    assert made.selected == made.rows[row]


def test_log_of_the_selected_task_opens_scrolls_and_closes() -> None:
    made = state(R, R, keys="jj")
    made.press("enter")
    made.press("up")

    assert (made.pane, made.selected, made.scroll) == (Pane.LOG, 1, 1)
    made.press("end")
    made.press("escape")
    assert (made.pane, made.scroll) == (Pane.TASKS, 0)


@pytest.mark.parametrize(
    ("answer", "asked"), [("y", Ask.STOP), ("K", Ask.KILL), ("n", Ask.NOTHING), ("q", Ask.NOTHING)]
)
def test_stop_is_asked_once_more(answer: str, asked: Ask) -> None:
    made = state(R)

    assert made.press("c") is Ask.NOTHING
    assert made.is_confirming
    assert made.press(answer) is asked
    assert not made.is_confirming


@pytest.mark.parametrize("keys", ["q", "?q", "lq"])
def test_leaving_works_from_everywhere(keys: str) -> None:
    made = state(R)

    assert [made.press(key) for key in keys][-1] is Ask.QUIT


def test_nothing_breaks_where_nothing_is_listed() -> None:
    made = state(S, keys="f")
    for key in ("down", "end", "enter", "up", "page down"):
        made.press(key)

    assert (made.pane, made.selected) == (Pane.TASKS, None)
