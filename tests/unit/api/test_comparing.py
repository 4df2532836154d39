"""Two runs beside each other: how many tasks differ, and in which order they come."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from support.timelines import Played, play, task

from taskexec.api.comparing import Order, compare

FIRST = {"same": 1.0, "slower": 1.0, "noise": 0.01, "faster": 10.0, "much": 1.0, "gone": 1.0}
SECOND = {"same": 1.1, "slower": 1.3, "noise": 0.05, "faster": 5.0, "much": 9.0, "new": 1.0, "newer": 1.0}


def run(durations: Mapping[str, float], **fails: int) -> Any:
    tasks = [task(name, s=seconds) for name, seconds in durations.items()]
    return SimpleNamespace(run_id="r", lock=threading.RLock(), timeline=play(tasks, Played(fails=fails)))


def names(body: Mapping[str, Any]) -> list[str]:
    return [row["task"] for row in body["tasks"]]


def test_what_differs_is_counted_whatever_is_shown() -> None:
    found = compare(run(FIRST), run(SECOND, same=1, much=1), limit=1)

    assert found["differences"] == {
        "ended_otherwise": 0,
        "other_attempts": 2,
        "slower": 2,
        "faster": 1,
        "only_in": [1, 2],
    }
    assert found["only_in"] == [["gone"], ["new", "newer"]]
    assert names(found) == ["much"]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (Order.CHANGED, ["much", "faster", "slower", "same", "noise"]),
        (Order.SLOWER, ["much", "slower", "same", "noise", "faster"]),
        (Order.FASTER, ["faster", "noise", "same", "slower", "much"]),
        (Order.PLAN, ["same", "slower", "noise", "faster", "much"]),
    ],
)
def test_tasks_come_in_the_order_that_is_asked_for(order: Order, expected: list[str]) -> None:
    assert names(compare(run(FIRST), run(SECOND), limit=9, order=order)) == expected


def test_task_without_a_duration_comes_last_and_is_no_point() -> None:
    one, two = run({"a": 1.0, "b": 1.0}), run({"b": 3.0, "a": 1.0})
    two.timeline = play([task("a", s=1.0), task("b", s=30.0)], Played(until_s=5.0))

    found = compare(one, two, limit=9, order=Order.SLOWER, points=9)

    assert names(found) == ["a", "b"]
    assert found["tasks"][1]["difference_s"] is None
    assert [point["status"] for point in found["points"]] == [["succeeded", "succeeded"]]


def test_points_are_as_many_as_were_asked_for_at_most() -> None:
    one = run({f"t{number}": 1.0 for number in range(100)})

    assert compare(one, one, limit=1)["points"] == []
    assert len(compare(one, one, limit=1, points=30)["points"]) == 25
    assert len(compare(one, one, limit=1, points=500)["points"]) == 100
