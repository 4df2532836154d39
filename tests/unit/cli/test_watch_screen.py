"""Tests of the picture of `tek watch`: any size, any names, any number of tasks."""

from __future__ import annotations

import time

import pytest
from support.timelines import Played, play, task

from taskexec.cli.watch_screen import Moment, draw
from taskexec.cli.watch_state import WatchState
from taskexec.observability.timeline import RunTimeline

NASTY = "\x1b[2J\u202eevil"


def watched(timeline: RunTimeline) -> WatchState:
    state = WatchState(timeline.ids, ["" for _ in timeline.ids])
    relist(state, timeline)
    return state


def relist(state: WatchState, timeline: RunTimeline) -> None:
    state.list_tasks(timeline.view.statuses, [span.changed_us or 0 for span in timeline.spans])


def moment(timeline: RunTimeline, **fields: object) -> Moment:
    now_us = timeline.view.last_us + 1_000_000
    return Moment(run_id="run", timeline=timeline, now_us=now_us, left="3 s left", **fields)  # type: ignore[arg-type]


def plain(state: WatchState, at: Moment, width: int = 100, height: int = 20) -> list[str]:
    return [line.plain for line in draw(state, at, width, height)]


def test_running_task_shows_how_long_it_runs_and_should() -> None:
    timeline = play([task("build", s=60.0, duration_s=90.0)], Played(until_s=1.0))

    lines = plain(watched(timeline), moment(timeline))

    assert lines[0].startswith("run running ")
    assert lines[1] == "0/1 · 1 running · 3 s left"
    assert any("▶ build" in line and "of 1:30" in line for line in lines)


def test_waiting_task_names_what_it_waits_for() -> None:
    timeline = play([task("a", s=60.0), task("b", s=60.0), task("c", "a", "b")], Played(until_s=1.0))

    assert any(
        "· c" in line and "waits for a and 1 more" in line for line in plain(watched(timeline), moment(timeline))
    )


@pytest.mark.parametrize(("width", "height"), [(100, 20), (20, 6), (5, 3), (250, 80), (1, 1)])
@pytest.mark.parametrize("keys", ["", "jj", "l", "?", "/x", "c"])
def test_picture_fits_every_terminal(width: int, height: int, keys: str) -> None:
    timeline = play([task(f"task-{one}", s=1.0) for one in range(50)], Played(until_s=5.0))
    state = watched(timeline)
    for key in keys:
        state.press(key)
        relist(state, timeline)

    lines = draw(state, moment(timeline, log=[f"line {one}" for one in range(99)]), width, height)

    assert len(lines) <= height
    assert max(line.cell_len for line in lines) <= width


def test_nothing_of_a_task_steers_the_terminal() -> None:
    timeline = play([task(NASTY, lane=NASTY, title=NASTY), task("b", NASTY)], Played(until_s=1.0))
    state = watched(timeline)
    tasks = plain(state, moment(timeline, note=NASTY))
    state.press("l")
    log = plain(state, moment(timeline, log=[NASTY, "\tindented"]))

    shown = "".join([*tasks, *log])
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert r"\x1b[2J\u202eevil" in shown
    assert any(line.startswith("    indented") for line in log)


def test_log_follows_its_end_until_it_is_scrolled() -> None:
    timeline = play([task("a", s=9.0)], Played(until_s=1.0))
    state = watched(timeline)
    state.press("l")
    log = [f"line {one}" for one in range(100)]

    followed = plain(state, moment(timeline, log=log, log_state="follows"))
    state.press("page up")
    scrolled = plain(state, moment(timeline, log=log))

    assert any("follows" in line for line in followed)
    assert "line 99" in followed
    assert "line 99" not in scrolled
    assert any("lines below" in line for line in scrolled)


def test_twenty_thousand_tasks_are_drawn_in_a_moment() -> None:
    timeline = play([task(f"t{one}", s=0.1) for one in range(20_000)], Played(slots=64, until_s=3.0))
    state = watched(timeline)
    began = time.perf_counter()

    for _ in range(5):
        relist(state, timeline)
        state.press("down")
        plain(state, moment(timeline))

    assert (time.perf_counter() - began) / 5 < 0.5  # about 0.03 s on an idle core
