"""Tests of how a run is shown while it goes on."""

from __future__ import annotations

import pytest
from support.timelines import Played, play, task

from taskexec.cli.display import PlainDisplay, choose_display, counts_line, status_bar
from taskexec.cli.outlook import Outlook, ServerTime, left_text, seconds_text
from taskexec.domain.events import LogEntry
from taskexec.domain.states import TaskStatus
from taskexec.observability import RunView
from taskexec.observability.timeline import RunTimeline


def view(**counts: int) -> RunView:
    made = RunView(sum(counts.values()))
    made.counts.clear()
    made.counts.update({TaskStatus(status): count for status, count in counts.items()})
    return made


def test_bar_gives_each_status_its_share_and_failures_at_least_a_cell() -> None:
    bar = status_bar(view(succeeded=500, failed=1, waiting=499), 20)

    assert bar.plain == "━" * 20
    widths = {str(span.style): span.end - span.start for span in bar.spans}
    assert widths == {"green": 10, "red": 1, "bright_black": 9}


@pytest.mark.parametrize("counts", [{"waiting": 3}, {"succeeded": 3}, {"failed": 1, "succeeded": 999}, {"running": 1}])
def test_bar_is_always_as_wide(counts: dict[str, int]) -> None:
    assert len(status_bar(view(**counts), 30).plain) == 30


def test_counts_name_what_is_not_as_it_should_be() -> None:
    assert counts_line(view(succeeded=4, failed=1, waiting=5), "9 s left") == "5/10 · 1 failed · 9 s left"


def test_time_left_has_an_interval_while_it_is_not_sure() -> None:
    timeline = play([task(f"t{one}", s=5.0) for one in range(40)], Played(until_s=20.0))

    text = left_text(timeline, timeline.view.last_us)

    assert " left (" in text
    assert " to " in text


def test_fold_is_bounded_in_time_and_the_rate_stands_in_meanwhile() -> None:
    ticks = iter(range(1000))
    outlook = Outlook(RunTimeline({"tasks": [task("a"), task("b")]}), slots=1, clock=lambda: float(next(ticks)))
    begin, first = (
        LogEntry("1-0", 1_000_000, "w", "A 0 0\nQ 0 1\nQ 1 1"),
        LogEntry("2-0", 2_000_000, "w", "R 0 1\nS 0 1 "),
    )
    rate_view = RunView(2)
    rate_view.apply([begin, first])

    outlook.take([begin, *[first] * 40])
    outlook.work(1.5)

    assert not outlook.is_current
    assert outlook.left_text(rate_view, 2_000_000) == "1.0 s left"
    assert outlook.left_text(rate_view, 5_000_000) == "4.0 s left"
    outlook.work(100.0)
    assert outlook.is_current


def test_server_time_goes_on_while_nothing_is_heard() -> None:
    now = [100.0]
    server = ServerTime(lambda: now[0])
    seen = RunView(1)
    seen.apply([LogEntry("1-0", 5_000_000, "w", "A 0 0")])

    assert server.now_us(seen) == 5_000_000
    now[0] += 2.5
    assert server.now_us(seen) == 7_500_000
    seen.apply([LogEntry("2-0", 6_000_000, "w", "Q 0 1")])
    assert server.now_us(seen) == 6_000_000


def test_plain_line_tells_the_rate_up_to_now(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    display = PlainDisplay(["a", "b"])
    seen = RunView(2)
    seen.apply([LogEntry("1-0", 1_000_000, "w", "A 0 0\nQ 0 1"), LogEntry("2-0", 2_000_000, "w", "R 0 1\nS 0 1 ")])

    display.update(seen)
    now[0] += 9.0
    display.update(seen)

    assert capsys.readouterr().err == "1/2 · 0.1/s · 10 s left\n"


def test_failure_is_told_with_its_reason() -> None:
    timeline = RunTimeline({"tasks": [task("a")]})
    record = '{"reason": "exit", "error": "exit status 1"}'
    timeline.apply([LogEntry("1-0", 1_000_000, "w", f"A 0 0\nQ 0 1\nR 0 1\nF 0 1 {record}")])

    assert Outlook(timeline, slots=None, clock=lambda: 0.0).what_failed(0) == "exit: exit status 1"


def test_without_a_terminal_there_are_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    display = choose_display("run", {"tasks": [{"id": "a"}, {"id": "b"}]}, quiet=False)
    failed = view(failed=1, waiting=1)
    failed.failed.append(1)

    display.update(failed)
    display.update(failed)

    assert isinstance(display, PlainDisplay)
    assert capsys.readouterr().err == "failed: b\n"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.44, "0.4 s"), (12, "12 s"), (185, "3:05"), (3723, "1:02:03"), (-1, "0.0 s")]
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text
