"""How a run is shown while it goes on: a live picture on a terminal, plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from taskexec.cli.outlook import Outlook, ServerTime, seconds_text
from taskexec.cli.output import printable, say, shorten
from taskexec.domain.states import TaskStatus

if TYPE_CHECKING:
    from rich.text import Text

    from taskexec.domain.events import LogEntry
    from taskexec.observability import RunView
    from taskexec.observability.timeline import RunTimeline

__all__ = [
    "STATUS_STYLES",
    "Display",
    "LiveDisplay",
    "PlainDisplay",
    "SilentDisplay",
    "choose_display",
    "counts_line",
    "seconds_text",
    "status_bar",
]

STATUS_STYLES = {
    "succeeded": "green",
    "satisfied": "green dim",
    "failed": "red",
    "running": "cyan",
    "queued": "yellow",
    "ready": "yellow",
    "skipped": "magenta",
    "cancelled": "magenta",
    "waiting": "dim",
}
"""How statuses look in a terminal; a sign or a word says the same."""

_SHOWN_RUNNING = 8
_SHOWN_NAME = 60
_FRAME_S = 0.2
_FOLD_S = 0.02
"""So much of each frame may be spent on knowing the run better."""
_LINE_S = 5.0
_BAR_WIDTH = 30
_WHAT_WIDTH = 100
_NAMED = (
    TaskStatus.RUNNING,
    TaskStatus.FAILED,
    TaskStatus.SKIPPED,
    TaskStatus.CANCELLED,
    TaskStatus.SATISFIED,
)
_BAR_ORDER = (
    TaskStatus.SUCCEEDED,
    TaskStatus.SATISFIED,
    TaskStatus.FAILED,
    TaskStatus.SKIPPED,
    TaskStatus.CANCELLED,
    TaskStatus.RUNNING,
)


class Display(Protocol):
    """Shows a run; used as a context."""

    def update(self, view: RunView) -> None:
        """Show where the run stands now; cheap enough to be called after every step."""

    def hear(self, entries: Sequence[LogEntry]) -> None:
        """Take what is new in the log of the run."""

    def close(self, patience_s: float | None) -> None:
        """Hear no more."""

    def note(self, text: str) -> None:
        """Show a line that stays."""

    def __enter__(self) -> Display:
        """Begin."""

    def __exit__(self, *_: object) -> None:
        """End; what moved is taken away, what stays, stays."""


class SilentDisplay:
    """Shows nothing."""

    def update(self, view: RunView) -> None:
        """Show nothing."""

    def hear(self, entries: Sequence[LogEntry]) -> None:
        """Need not know."""

    def close(self, patience_s: float | None) -> None:
        """Have nothing to end."""

    def note(self, text: str) -> None:
        """Show the line all the same: it says what a person must know."""
        say(text)

    def __enter__(self) -> SilentDisplay:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class PlainDisplay(SilentDisplay):
    """Prints a line every few seconds, and one for each failure."""

    def __init__(self, task_ids: Sequence[str]) -> None:
        self._task_ids = task_ids
        self._printed_at = time.monotonic()
        self._time = ServerTime(time.monotonic)
        self._failures = 0

    def update(self, view: RunView) -> None:
        """Print new failures, and the counts when some seconds have passed."""
        for index in view.failed[self._failures :]:
            say(f"failed: {self._task_ids[index]}")
        self._failures = len(view.failed)
        now, now_us = time.monotonic(), self._time.now_us(view)
        if now - self._printed_at >= _LINE_S:
            self._printed_at = now
            left = view.left_s(now_us)
            goes_on = left is not None and view.done < len(view.statuses)
            say(counts_line(view, f"{seconds_text(left or 0.0)} left" if goes_on else "", now_us))


class LiveDisplay:
    """A bar with counts, rate and time left, and below it the tasks that run and how long they should."""

    def __init__(self, title: str, outlook: Outlook) -> None:
        from rich.console import Console
        from rich.live import Live

        self._title = title
        self._outlook = outlook
        self._task_ids = outlook.timeline.ids
        self._drawn_at = 0.0
        self._told: set[int] = set()
        self._time = ServerTime(time.monotonic)
        self._live = Live(console=Console(stderr=True), auto_refresh=False, transient=True)

    def hear(self, entries: Sequence[LogEntry]) -> None:
        """Remember what is new until there is time for it."""
        self._outlook.take(entries)

    def update(self, view: RunView) -> None:
        """Draw again when the last frame is old enough."""
        now = time.monotonic()
        if now - self._drawn_at >= _FRAME_S or view.is_final:
            self._outlook.work(_FOLD_S)
            self._tell_failures(view)
            self._drawn_at = now
            self._live.update(self._picture(view), refresh=True)

    def _tell_failures(self, view: RunView) -> None:
        """Print what failed since the last frame, and why."""
        for index in [one for one in view.failed if one not in self._told]:
            self._told.add(index)
            what = self._outlook.what_failed(index)
            self.note(f"failed: {self._task_ids[index]}" + (f" ({shorten(what, _WHAT_WIDTH)})" if what else ""))

    def note(self, text: str) -> None:
        """Print a line above the picture."""
        self._live.console.print(printable(text), markup=False, highlight=False)

    def close(self, patience_s: float | None) -> None:
        """Hear no more."""

    def _picture(self, view: RunView) -> Any:
        from rich.console import Group
        from rich.text import Text

        now_us = self._time.now_us(view)
        share = view.done / max(len(view.statuses), 1)
        head = Text.assemble((printable(self._title), "bold"), " ", status_bar(view, _BAR_WIDTH), f" {share:4.0%}")
        line = counts_line(view, self._outlook.left_text(view, now_us), now_us)
        return Group(_cropped(head), _cropped(Text(f"  {line}")), *self._running(view, now_us))

    def _running(self, view: RunView, now_us: int) -> list[Text]:
        """Return the tasks that run, the longest first: since when, how long they should, and where."""
        from rich.text import Text

        shown = sorted(view.running.items(), key=lambda item: item[1])[:_SHOWN_RUNNING]
        lines = []
        for index, since_us in shown:
            elapsed_s = (now_us - since_us) / 1e6
            expected_s = self._outlook.expected_s(index)
            expected = "" if expected_s is None else f"of {seconds_text(expected_s)}"
            is_late = expected_s is not None and elapsed_s > 1.5 * expected_s + 1.0
            name = shorten(printable(self._task_ids[index]), _SHOWN_NAME)
            times = (f"  {seconds_text(elapsed_s):>8} {expected:<11} ", "yellow" if is_late else "dim")
            lines.append(_cropped(Text.assemble(times, name)))
        rest = len(view.running) - len(shown)
        return [*lines, *([Text(f"  {'':>20} and {rest:,} more", style="dim")] if rest > 0 else [])]

    def __enter__(self) -> LiveDisplay:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.update("")
        self._live.stop()


def choose_display(
    title: str,
    plan: Mapping[str, Any],
    *,
    quiet: bool,
    former: Callable[[RunTimeline], None] = lambda _: None,
    slots: int | None = None,
) -> Display:
    """Return the display that fits: live on a terminal, plain lines elsewhere, nothing when quiet.

    Args:
        title: What the run is called.
        plan: Its `plan.json`.
        quiet: Whether nothing is to be shown.
        former: Has a timeline take in what happened before the display begins to hear.
        slots: How many tasks can run at once; None for unknown.
    """
    if quiet:
        return SilentDisplay()
    if not sys.stderr.isatty():
        return PlainDisplay([task["id"] for task in plan["tasks"]])
    from taskexec.observability.timeline import RunTimeline

    timeline = RunTimeline(plan)
    former(timeline)
    return LiveDisplay(title, Outlook(timeline, slots=slots, clock=time.monotonic))


def status_bar(view: RunView, width: int) -> Text:
    """Return a bar of so many cells in which each status has its share: what is done, and what runs."""
    from rich.text import Text

    bar, total, counted, used = Text(), max(len(view.statuses), 1), 0, 0
    for status in _BAR_ORDER:
        counted += view.counts[status]
        until = round(width * counted / total)
        is_seen = view.counts[status] and status is TaskStatus.FAILED and until == used and until < width
        until += bool(is_seen)
        bar.append("━" * (until - used), style=STATUS_STYLES[status])
        used = max(until, used)
    return bar.append("━" * (width - used), style="bright_black")


def counts_line(view: RunView, left: str, now_us: int | None = None) -> str:
    """Return how many tasks are done and stand where, how fast it goes (as `RunView.rate`), and how long it takes."""
    counts = view.counts
    parts = [f"{view.done:,}/{len(view.statuses):,}"]
    parts += [f"{counts[status]:,} {status}" for status in _NAMED if counts[status]]
    rate = view.rate(now_us)
    if rate:
        parts.append(f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s")
    return " · ".join([*parts, *([left] if left else [])])


def _cropped(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ellipsis"
    return text
