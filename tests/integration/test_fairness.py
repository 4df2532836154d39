"""A run of many tasks does not hold up one of a few that was submitted after it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import pytest
from support.live import Home, LiveCluster, Task

MANY, FEW = 2000, 10


def ends(home: Home) -> list[float]:
    done = [str(result["finished_at"]) for result in home.results.values() if result["status"] == "succeeded"]
    return [datetime.fromisoformat(text).timestamp() for text in done]


@pytest.mark.parametrize("asked", [{}, {"memory_mb": 1}], ids=["by-slots", "placed"])
def test_run_of_ten_is_done_before_a_quarter_of_one_of_two_thousand(
    fresh: Callable[..., LiveCluster], asked: Task
) -> None:
    # one MiB is what makes it placed; it would be too little for a shell
    live = fresh(limits__memory="off", worker__lease_s=10.0)
    live.start_worker(slots=4)

    def tasks(count: int) -> list[Task]:
        return [{"id": f"t{number}", "command": "sleep 0.02", **asked} for number in range(count)]

    many = live.submit(tasks(MANY))
    few = live.carry_out(tasks(FEW))
    live.store.stop(many, kill=True)  # what was not done by now was not done before
    large = live.finish(many)

    last = max(ends(few))
    before = sum(end <= last for end in ends(large))
    assert few.summary["counts"] == {"succeeded": FEW}
    assert set(large.statuses.values()) == {"succeeded", "cancelled"}
    assert before < MANY / 4
