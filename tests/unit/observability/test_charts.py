"""Tests of runs as charts: by worker, by lane and by task."""

from __future__ import annotations

from support.timelines import START_US, Played, play, task

from taskexec.observability.charts import ChartBy, run_chart
from taskexec.plan.chart import draw_chart

TASKS = [task("a", s=1.0, lane="one"), task("b", "a", s=2.0, lane="two"), task("c", "a", s=2.0, lane="two")]


def test_by_worker_there_is_a_row_for_each_slot_in_use() -> None:
    chart = run_chart(play(TASKS), ChartBy.WORKER, most_rows=10)

    assert [(row.group, [bar.label for bar in row.bars]) for row in chart.rows] == [("w0", ["a", "c"]), ("w1", ["b"])]
    assert all(bar.since_us is None for row in chart.rows for bar in row.bars)


def test_by_task_each_has_its_row_in_the_order_of_the_plan_with_its_wait() -> None:
    chart = run_chart(play(TASKS, Played(slots=1)), ChartBy.TASK, most_rows=10)

    assert [row.group for row in chart.rows] == ["a", "b", "c"]
    waited = chart.rows[2].bars[0]
    assert waited.first_us < waited.start_us


def test_by_lane_waits_are_left_out_when_rows_do_not_suffice() -> None:
    timeline = play([task(f"t{one}", lane="all") for one in range(8)], Played(slots=1))

    roomy, narrow = (run_chart(timeline, ChartBy.LANE, most_rows=most) for most in (8, 2))

    assert (len(roomy.rows), roomy.hidden) == (8, 0)
    assert (len(narrow.rows), narrow.hidden) == (1, 0)


def test_failed_attempts_and_those_that_run_look_different() -> None:
    timeline = play([task("a", s=1.0), task("b", "a", s=9.0)], Played(fails={"a": 1}, until_s=5.0))

    chart = run_chart(timeline, ChartBy.TASK, most_rows=10, now_us=START_US + 7_000_000)

    kinds = [bar.kind for row in chart.rows for bar in row.bars]
    assert kinds == ["failed", "", "running"]
    assert chart.rows[1].bars[0].end_us == 7_000_000


def test_critical_path_is_marked() -> None:
    chart = run_chart(play(TASKS), ChartBy.WORKER, most_rows=10, chain=[0, 1])

    assert {bar.label for row in chart.rows for bar in row.bars if bar.is_chain} == {"a", "b"}
    assert "critical path" in draw_chart(chart)


def test_run_that_has_not_started_is_an_empty_chart() -> None:
    chart = run_chart(play(TASKS, Played(until_s=0.1)), ChartBy.WORKER, most_rows=10)

    assert list(chart.rows) == []
