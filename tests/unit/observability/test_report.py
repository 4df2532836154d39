"""Tests of reports: one file that needs nothing else, escapes everything and stays small."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from support.timelines import Played, play, task

from taskexec.domain.events import Transition, TransitionKind
from taskexec.observability.charts import ChartBy, run_chart
from taskexec.observability.report import TASKS_MAX, make_report
from taskexec.observability.report_page import render_report
from taskexec.observability.timeline import RunTimeline
from taskexec.plan.chart import draw_chart

NASTY = "</title><script>alert(1)</script>\x1b[31m\u202e"


def summary(timeline: RunTimeline, **fields: Any) -> dict[str, Any]:
    known = {"run_id": "r", "plan": "p.csv", "digest": "sha256:0", "status": "succeeded", "dry_run": False}
    times = {"started": "2026-01-01T00:00:00.000000Z", "ended": "2026-01-01T00:01:00.000000Z", "ledger_head": None}
    return known | times | {"counts": timeline.view.tally()} | fields


def page(timeline: RunTimeline, folder: Path | None = None, **fields: Any) -> str:
    report = make_report(timeline, summary(timeline, **fields), folder, None)
    gantt = draw_chart(run_chart(timeline, ChartBy.WORKER, most_rows=50))
    return render_report(report, gantt=gantt, graph=None, version="1")


def failed_run(name: str = "bad") -> RunTimeline:
    timeline = RunTimeline({"source": NASTY, "tasks": [task(name, title=NASTY, lane=NASTY)]})
    record = orjson.dumps({"reason": "exit", "error": NASTY}).decode()
    for second, (kind, detail) in enumerate(
        [(TransitionKind.QUEUED, ""), (TransitionKind.RUNNING, ""), (TransitionKind.FAILED, record)]
    ):
        if not second:
            timeline.take(Transition(TransitionKind.STARTED, 1_000_000, "", -1, 0, ""))
        timeline.take(Transition(kind, (second + 1) * 1_000_000, NASTY, 0, 1, detail))
    timeline.take(Transition(TransitionKind.ENDED, 4_000_000, "", -1, 0, "failed"))
    return timeline


def test_nothing_in_it_is_markup_of_somebody_else(tmp_path: Path) -> None:
    logs = tmp_path / "tasks" / "bad" / "attempt-1"
    logs.mkdir(parents=True)
    (logs / "stderr.log").write_text(NASTY)
    (logs / "result.json").write_bytes(orjson.dumps({"files": {NASTY[:30]: {"bytes": 1, "sha256": NASTY}}}))

    told = page(failed_run(), tmp_path, plan=NASTY, status="failed")

    assert "<script" not in told
    assert "\x1b" not in told
    assert "\u202e" not in told
    assert "&lt;script&gt;alert(1)" in told


def test_it_needs_no_other_file_and_no_script() -> None:
    told = page(play([task("a"), task("b", "a")]))

    assert not re.search(r"""(src|href)\s*=|url\(|@import""", told)
    assert "default-src &#39;none&#39;" in told or "default-src 'none'" in told


def test_failures_come_with_the_end_of_their_output(tmp_path: Path) -> None:
    logs = tmp_path / "tasks" / "bad" / "attempt-1"
    logs.mkdir(parents=True)
    (logs / "stderr.log").write_text("\n".join(f"line {one}" for one in range(100)))

    failure = make_report(failed_run(), summary(failed_run()), tmp_path, None).failures[0]

    assert (failure.task, failure.reason, failure.attempts) == ("bad", "exit", 1)
    assert failure.tails["stderr.log"].split("\n")[-1] == "line 99"
    assert len(failure.tails["stderr.log"].split("\n")) == 20


def test_tables_are_bounded_and_say_what_was_left_out() -> None:
    timeline = play([task(f"t{one}", s=0.01) for one in range(3_000)], Played(slots=50))

    report = make_report(timeline, summary(timeline), None, None)
    told = page(timeline)

    assert (len(report.tasks), report.tasks_total) == (TASKS_MAX, 3_000)
    assert "1,000 of 3,000" in told
    assert len(told) < 3_000_000


@pytest.mark.parametrize("until_s", [0.1, 3.0])
def test_run_that_goes_on_or_has_not_begun_can_be_told(until_s: float) -> None:
    timeline = play([task("a", s=1), task("b", "a", s=9)], Played(until_s=until_s))

    told = page(timeline, status="running", ended=None)

    assert "goes on" in told
    assert "was not verified" in told
