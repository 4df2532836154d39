"""`tek watch`: a run as it goes on, on a terminal with keys, elsewhere as lines."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from taskexec.cli.options import SettingsRequest, output_option, settings_options
from taskexec.cli.output import Output, emit
from taskexec.cli.where import broker_option, find_run

if TYPE_CHECKING:
    from rich.live import Live

    from taskexec.cli.keyboard import Keyboard
    from taskexec.cli.watch_state import WatchState
    from taskexec.cluster.live_log import LiveLog
    from taskexec.cluster.places import RunPlace
    from taskexec.observability.timeline import RunTimeline
    from taskexec.runtime.interrupts import Interrupts
    from taskexec.store.runs import RedisRunStore

__all__ = ["watch"]

_TICK_S = 0.1
_FRAME_S = 0.2
_REST_S = 1.0
"""So often all is drawn although nothing has happened: clocks go on."""
_LOOK_S = 1.0
_LOG_LINES = 5_000
_LOG_BYTES = 2**20
"""Most that is taken of a log at a time."""


@click.command()
@click.argument("run_id", metavar="[RUN]", default="last")
@click.option("--observed", "observed_run", metavar="RUN", help="Expect of tasks what they took in another run.")
@broker_option
@settings_options
@output_option
def watch(
    run_id: str, observed_run: str | None, broker: str | None, settings_request: SettingsRequest, output: Output
) -> int:
    """Follow a run until it ends; Ctrl-C stops watching and leaves the run alone.

    On a terminal it lists the tasks: keys filter and search them, follow the log of one, and stop the run (`?` tells
    which). Elsewhere it prints lines.
    """
    from taskexec.cli.follow import INTERRUPTED, end_lines, run_status_exit
    from taskexec.cli.observed import observed_durations
    from taskexec.cluster.snapshot import take_snapshot

    place = find_run(run_id, settings_request, broker)
    earlier = {} if observed_run is None else observed_durations(observed_run, settings_request)
    if place.cluster is not None:
        snapshot = take_snapshot(place)
        is_over = snapshot.summary["ended"] is not None
        follow = _on_screen if _has_screen(output) and not is_over else _in_lines
        if not follow(place, snapshot.plan, output, earlier):
            return INTERRUPTED
    summary = take_snapshot(place).summary
    emit(
        output,
        table=lambda: list(end_lines(summary, place.folder)),
        data=lambda: {name: summary[name] for name in ("run_id", "status", "counts")} | {"folder": str(place.folder)},
        quiet=lambda: [summary["status"]],
    )
    return run_status_exit(summary["status"])


def _has_screen(output: Output) -> bool:
    is_terminal = sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty()
    return output is Output.TABLE and is_terminal and os.environ.get("TERM", "dumb") != "dumb"


def _in_lines(place: RunPlace, plan: Mapping[str, Any], output: Output, _: Mapping[str, float]) -> bool:
    """Follow a run in lines; return whether it has ended (else it was interrupted)."""
    from taskexec.cli.display import choose_display
    from taskexec.cli.follow import follow_log
    from taskexec.cli.outlook import slots_of
    from taskexec.runtime.interrupts import Interrupts

    assert place.cluster is not None
    slots = slots_of(place.cluster)
    with (
        Interrupts() as interrupts,
        choose_display(place.run_id, plan, quiet=output is not Output.TABLE, slots=slots) as display,
    ):
        is_over = follow_log(place.cluster.runs, place.run_id, len(plan["tasks"]), display, interrupts)
        if not is_over:
            display.note(_goes_on(place.run_id))
    return is_over


def _goes_on(run_id: str) -> str:
    return f"run {run_id} goes on; `tek watch {run_id}` follows it again"


def _on_screen(place: RunPlace, plan: Mapping[str, Any], _: Output, earlier: Mapping[str, float]) -> bool:
    """Follow a run on the whole screen; return whether it has ended (else a person left)."""
    from rich.console import Console
    from rich.live import Live

    from taskexec.cli.keyboard import Keyboard
    from taskexec.cli.output import say
    from taskexec.observability.timeline import RunTimeline
    from taskexec.runtime.interrupts import Interrupts

    console = Console(stderr=True)
    live = Live(console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
    with (
        Interrupts() as interrupts,
        Keyboard(sys.stdin.fileno(), leave=live.stop, enter=lambda: live.start(refresh=False)) as keyboard,
        live,
    ):
        timeline = RunTimeline(plan)
        timeline.pace.earlier_s = earlier
        watcher = _Watcher(place, timeline, live)
        is_over = watcher.follow(keyboard, interrupts)
    if not is_over:
        say(_goes_on(place.run_id))
    return is_over


class _Watcher:
    """Follows a run and draws it."""

    def __init__(self, place: RunPlace, timeline: RunTimeline, live: Live) -> None:
        from taskexec.cli.outlook import slots_of
        from taskexec.cli.watch_state import WatchState

        assert place.cluster is not None
        self._place, self._timeline, self._live = place, timeline, live
        self._store: RedisRunStore = place.cluster.runs
        self._slots = slots_of(place.cluster)
        self._state: WatchState = WatchState(timeline.ids, [str(task.get("title") or "") for task in timeline.tasks])
        self._log: _Log | None = None
        self._note = ""
        self._looked = self._drawn_at = self._heard_at = time.monotonic()
        self._heard_us = 0
        self._is_stale = True
        self._drawn_size: tuple[int, int] = (0, 0)

    def follow(self, keyboard: Keyboard, interrupts: Interrupts) -> bool:
        """Go on until the run has ended or a person leaves; return whether it has ended."""
        from taskexec.cli.watch_state import Ask, Pane

        while True:
            for key in keyboard.read(_TICK_S):
                self._is_stale = True
                ask = self._state.press(key)
                if ask is Ask.QUIT:
                    return self._timeline.view.is_final
                if ask is not Ask.NOTHING:
                    self._stop(kill=ask is Ask.KILL)
            if interrupts.count or keyboard.is_gone:
                return self._timeline.view.is_final
            self._hear()
            self._read_log()
            if self._timeline.view.is_final:
                self._note = "the run has ended; q leaves"
                if self._state.pane is Pane.TASKS and not self._state.is_typing:
                    return True
            self._draw()

    def _stop(self, *, kill: bool) -> None:
        from taskexec.errors import TekError

        try:
            self._store.stop(self._place.run_id, kill=kill)
        except TekError as error:
            self._note = error.message
        else:
            self._note = "being stopped: " + ("what runs is killed" if kill else "what runs may finish")

    def _hear(self) -> None:
        """Take in what is new; a server that does not answer is waited for.

        Raises:
            NotFound: The server has come back without the run.
        """
        from taskexec.errors import ConnectionLost

        now = time.monotonic()
        try:
            entries = self._store.read_log(self._place.run_id, self._timeline.last_id)
            if not entries and now - self._looked >= _LOOK_S:
                self._looked = now
                self._store.head(self._place.run_id)
        except ConnectionLost as error:
            self._note, self._is_stale = error.message, True
            return
        if entries:
            self._timeline.apply(entries)
            self._heard_us, self._heard_at = self._timeline.view.last_us, now
            self._is_stale = True
            if not self._note.startswith("being stopped"):
                self._note = ""

    def _read_log(self) -> None:
        from taskexec.cli.watch_state import Pane

        index = self._state.selected if self._state.pane is Pane.LOG else None
        if index is None:
            self._log = None
            return
        if self._log is None or self._log.index != index:
            self._log = _Log(self._place, self._timeline, index)
            self._is_stale = True
        self._is_stale |= self._log.read()

    def _draw(self) -> None:
        """Draw when something has changed, the window too, or clocks have to go on."""
        now = time.monotonic()
        size = self._live.console.size
        since = now - self._drawn_at
        is_resized = (size.width, size.height) != self._drawn_size
        if not is_resized and since < (_FRAME_S if self._is_stale else _REST_S):
            return
        from rich.console import Group

        from taskexec.cli.outlook import left_text
        from taskexec.cli.watch_screen import Moment, draw

        timeline = self._timeline
        now_us = self._heard_us + round((now - self._heard_at) * 1e6)
        if self._is_stale:
            changed = [span.changed_us or 0 for span in timeline.spans]
            self._state.list_tasks(timeline.view.statuses, changed)
        moment = Moment(
            run_id=self._place.run_id,
            timeline=timeline,
            now_us=now_us,
            left=left_text(timeline, now_us, self._slots),
            note=self._note,
            log=() if self._log is None else self._log.shown,
            log_state="" if self._log is None else self._log.standing,
        )
        lines = draw(self._state, moment, size.width, size.height)
        self._live.update(Group(*lines), refresh=True)
        self._drawn_at, self._drawn_size, self._is_stale = now, (size.width, size.height), False


class _Log:
    """The log of one task, as far as it was read."""

    def __init__(self, place: RunPlace, timeline: RunTimeline, index: int) -> None:
        from taskexec.cluster.live_log import LiveLog
        from taskexec.completion.outline import attempt_folder

        assert place.cluster is not None
        self.index = index
        self.lines: deque[str] = deque(maxlen=_LOG_LINES)
        """The last lines, as they were written."""
        self.standing = ""
        """Where it stands, for people."""
        attempt = timeline.spans[index].last
        self._log: LiveLog = LiveLog(
            place.cluster.runs, place.run_id, index, first=1 if attempt is None else attempt.number
        )
        self._parts: dict[str, str] = {}
        self._is_home = False
        self._attempt = 0
        if attempt is not None and attempt.finished_us is not None:
            self._read_home(attempt_folder(place.folder, timeline.ids[index], attempt.number))

    def _read_home(self, folder: Path) -> None:
        """Take the end of what came home; the server need not hold it any more."""
        for name in ("stdout.log", "stderr.log"):
            try:
                with (folder / name).open("rb") as file:
                    file.seek(max(file.seek(0, os.SEEK_END) - _LOG_BYTES, 0))
                    self.lines.extend(file.read().decode("utf-8", errors="replace").splitlines())
            except OSError:
                continue
            self._is_home = True

    @property
    def shown(self) -> list[str]:
        """The lines, with the last ones that have not ended."""
        return [*self.lines, *self._parts.values()]

    def read(self) -> bool:
        """Read what is new; return whether there was something."""
        from taskexec.errors import ConnectionLost

        before = self.shown[-3:], len(self.lines), self.standing
        if self._is_home or self._log.has_ended:
            self.standing = "ended" if self.shown else "ended; it wrote nothing"
        else:
            try:
                for piece in self._log.read():
                    self._take(piece.attempt, piece.stream, piece.data)
            except ConnectionLost as error:
                self.standing = error.message
                return True
            self.standing = "follows" if self._log.has_started else "has not started"
        return (self.shown[-3:], len(self.lines), self.standing) != before

    def _take(self, attempt: int, stream: str, data: bytes) -> None:
        if attempt != self._attempt:
            if self._attempt:
                self.lines.append(f"── attempt {attempt}")
            self._attempt = attempt
            self._parts.clear()
        if stream not in {"stdout.log", "stderr.log"}:
            return
        text = self._parts.pop(stream, "") + data[-_LOG_BYTES:].decode("utf-8", errors="replace")
        *whole, rest = text.split("\n")
        self.lines.extend(whole)
        if rest:
            self._parts[stream] = rest[-_LOG_BYTES:]
