"""How a run is shown while it goes on: a live picture on a terminal, plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from taskexec.cli.output import printable, say, shorten
from taskexec.domain.states import TaskStatus

if TYPE_CHECKING:
    from taskexec.observability import RunView

__all__ = ["Display", "LiveDisplay", "PlainDisplay", "SilentDisplay", "choose_display", "seconds_text"]

_SHOWN_RUNNING = 6
_FRAME_S = 0.2
_LINE_S = 5.0
_NAMED = (
    TaskStatus.RUNNING,
    TaskStatus.FAILED,
    TaskStatus.SKIPPED,
    TaskStatus.CANCELLED,
    TaskStatus.SATISFIED,
)


class Display(Protocol):
    """Shows a run; used as a context."""

    def update(self, view: RunView) -> None:
        """Show where the run stands now; cheap enough to be called after every step."""

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
        self._failures = 0

    def update(self, view: RunView) -> None:
        """Print new failures, and the counts when some seconds have passed."""
        for index in view.failed[self._failures :]:
            say(f"failed: {self._task_ids[index]}")
        self._failures = len(view.failed)
        now = time.monotonic()
        if now - self._printed_at >= _LINE_S:
            self._printed_at = now
            say(_line(view))


class LiveDisplay:
    """A bar with counts, rate and time left, and below it the tasks that run."""

    def __init__(self, title: str, task_ids: Sequence[str]) -> None:
        from rich.console import Console
        from rich.live import Live

        self._title = title
        self._task_ids = task_ids
        self._drawn_at = 0.0
        self._failures = 0
        self._seen_us, self._seen_at = 0, time.monotonic()
        self._live = Live(console=Console(stderr=True), auto_refresh=False, transient=True)

    def update(self, view: RunView) -> None:
        """Draw again when the last frame is old enough."""
        for index in view.failed[self._failures :]:
            self.note(f"failed: {self._task_ids[index]}")
        self._failures = len(view.failed)
        now = time.monotonic()
        if now - self._drawn_at >= _FRAME_S:
            self._drawn_at = now
            self._live.update(self._picture(view, now), refresh=True)

    def note(self, text: str) -> None:
        """Print a line above the picture."""
        self._live.console.print(printable(text), markup=False, highlight=False)

    def _picture(self, view: RunView, now: float) -> Any:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        head = Table.grid(padding=(0, 1))
        head.add_row(
            Text(self._title, style="bold"),
            ProgressBar(total=max(len(view.statuses), 1), completed=view.done, width=30),
            Text(_line(view)),
        )
        running = sorted(view.running.items(), key=lambda item: item[1])[:_SHOWN_RUNNING]
        if view.last_us != self._seen_us:
            self._seen_us, self._seen_at = view.last_us, now
        now_us = view.last_us + (now - self._seen_at) * 1e6
        rows = [
            Text(f"  {seconds_text((now_us - since) / 1e6):>8}  {shorten(printable(self._task_ids[index]), 80)}")
            for index, since in running
        ]
        rest = len(view.running) - len(running)
        return Group(head, *rows, *([Text(f"            and {rest} more")] if rest > 0 else []))

    def __enter__(self) -> LiveDisplay:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.update("")
        self._live.stop()


def choose_display(title: str, task_ids: Sequence[str], *, quiet: bool) -> Display:
    """Return the display that fits: live on a terminal, plain lines elsewhere, nothing when quiet."""
    if quiet:
        return SilentDisplay()
    return LiveDisplay(title, task_ids) if sys.stderr.isatty() else PlainDisplay(task_ids)


def seconds_text(seconds: float) -> str:
    """Return a duration for people: `0.4 s`, `12 s`, `3:05`, `1:02:03`."""
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _line(view: RunView) -> str:
    counts = view.counts
    parts = [f"{view.done:,}/{len(view.statuses):,}"]
    parts += [f"{counts[status]:,} {status}" for status in _NAMED if counts[status]]
    rate, left = view.rate(), view.left_s()
    if rate:
        parts.append(f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s")
    if left is not None and view.done < len(view.statuses):
        parts.append(f"{seconds_text(left)} left")
    return " · ".join(parts)
