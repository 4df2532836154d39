"""The picture of `tek watch`: lines of text for a terminal of any size, nothing in them that could steer it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from taskexec.cli.display import STATUS_STYLES, counts_line, status_bar
from taskexec.cli.outlook import seconds_text
from taskexec.cli.output import printable
from taskexec.cli.watch_state import FILTERS, Pane, WatchState
from taskexec.plan.svg import STATUS_SIGNS

if TYPE_CHECKING:
    from rich.text import Text

    from taskexec.observability.timeline import RunTimeline

__all__ = ["Moment", "draw"]

_HELP = (
    ("↑ ↓ j k", "move; PgUp, PgDn, Home, End go further"),
    ("Enter l", "follow the log of the selected task; Esc goes back"),
    ("f", "show only tasks that run, failed, are queued, wait, or are done"),
    ("/", "show only tasks whose id or title holds a text; Esc clears it"),
    ("s", "by status, most urgent first, or as in the plan"),
    ("c", "stop the run (it is asked once more)"),
    ("q", "leave; the run goes on"),
)
_KEYS = "↑↓ move  Enter log  f filter  / search  s order  c stop  ? help  q quit"
_LOG_KEYS = "↑↓ PgUp PgDn scroll  End follow  Esc back  q quit"
_NAME_LEAST = 12
_BAR_WIDTH = 30


@dataclass(frozen=True, slots=True)
class Moment:
    """What is shown beside what was chosen."""

    run_id: str
    timeline: RunTimeline
    now_us: int
    left: str
    """How long the run should still take."""
    note: str = ""
    """Something that a person must know: the server does not answer, or the run is being stopped."""
    log: Sequence[str] = ()
    """Lines of the selected task's log."""
    log_state: str = ""
    """Where the log stands."""


def draw(state: WatchState, moment: Moment, width: int, height: int) -> list[Text]:
    """Return the lines of the screen, at most `height`, each at most `width` cells wide."""
    head = _head(moment)
    foot = _foot(state, moment)
    room = max(height - len(head) - len(foot), 1)
    state.page = max(room - 2, 1)
    body = {Pane.TASKS: _tasks, Pane.LOG: _log, Pane.HELP: _help}[state.pane](state, moment, width, room)
    lines = [*head, *body[:room]]
    lines += [_text("")] * max(height - len(lines) - len(foot), 0)
    lines = [*lines, *foot][:height]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return lines


def _text(words: str, style: str = "") -> Text:
    from rich.text import Text

    return Text(printable(words), style=style, no_wrap=True)


def _head(moment: Moment) -> list[Text]:
    view = moment.timeline.view
    share = view.done / max(len(view.statuses), 1)
    first = _text(f"{moment.run_id} ", "bold")
    first.append(f"{view.status} ", style=STATUS_STYLES.get(str(view.status), "cyan"))
    first.append_text(status_bar(view, _BAR_WIDTH)).append(f" {share:4.0%}")
    if view.started_us is not None:
        first.append(f"  {seconds_text((moment.now_us - view.started_us) / 1e6)}", style="dim")
    return [first, _text(counts_line(view, moment.left, moment.now_us)), _text("")]


def _foot(state: WatchState, moment: Moment) -> list[Text]:
    if state.is_confirming:
        return [_text("stop this run?  y: what runs may finish  K: kill what runs  any other key: no", "bold yellow")]
    if state.is_typing:
        return [_text(f"/{state.text}▏", "bold")]
    if moment.note:
        return [_text(moment.note, "yellow")]
    return [_text(_LOG_KEYS if state.pane is Pane.LOG else _KEYS, "dim")]


def _tasks(state: WatchState, moment: Moment, width: int, room: int) -> list[Text]:
    name_width = max(min(max((len(moment.timeline.ids[one]) for one in state.rows[:200]), default=0), width // 2), 12)
    chosen = "" if state.filter == "all" else f" {state.filter}"
    chosen += f" with `{state.text}`" if state.text else ""
    order = "by status" if state.by_status else "as in the plan"
    lines = [_text(f"{len(state.rows):,}{chosen} of {len(moment.timeline.ids):,} tasks, {order}", "dim")]
    cursor, rows = state.cursor, max(room - 2, 1)
    top = max(min(cursor - rows // 2, len(state.rows) - rows), 0)
    for at, index in enumerate(state.rows[top : top + rows], top):
        line = _task(moment, index, name_width)
        if state.selected is not None and at == cursor:
            line.pad_right(max(width - line.cell_len, 0))
            line.stylize("reverse")
        lines.append(line)
    hidden = len(state.rows) - top - rows
    if not state.rows:
        lines.append(_text("nothing; f and / choose what is shown, Esc shows all", "dim"))
    return [*lines, *([_text(f"… and {hidden:,} more", "dim")] if hidden > 0 else [])]


def _task(moment: Moment, index: int, name_width: int) -> Text:
    """Return one line of the table: sign, name, times, attempt, and where it runs or why it failed."""
    timeline = moment.timeline
    span, name = timeline.spans[index], printable(timeline.ids[index])
    status = str(span.status)
    if len(name) > name_width:
        name = name[: name_width - 1] + "…"
    line = _text(f"{STATUS_SIGNS[status]} {name:<{name_width}} ", STATUS_STYLES[status])
    attempt = span.last
    took = expected = ""
    if attempt is not None and attempt.started_us is not None:
        end_us = attempt.finished_us or moment.now_us
        took = seconds_text((end_us - attempt.started_us) / 1e6)
        if attempt.finished_us is None:
            expected_s = timeline.pace.expected_s(index)
            expected = "" if expected_s is None else f"of {seconds_text(expected_s)}"
    tries = f"try {attempt.number}" if attempt is not None and attempt.number > 1 else ""
    line.append_text(_text(f"{status:<9} {took:>8} {expected:<10} {tries:<6} ", "dim"))
    line.append_text(_text(_about(moment, index), "" if status == "failed" else "dim"))
    return line


def _about(moment: Moment, index: int) -> str:
    timeline = moment.timeline
    span = timeline.spans[index]
    attempt = span.last
    if span.status in FILTERS["failed"] and span.because_of is not None:
        return f"because of {timeline.ids[span.because_of]}"
    if span.status in FILTERS["failed"] and attempt is not None:
        return ": ".join(filter(None, [attempt.reason, attempt.error]))
    if span.status in FILTERS["waiting"]:
        missing = [one for one in timeline.dependencies[index] if timeline.spans[one].status not in FILTERS["done"]]
        more = f" and {len(missing) - 1:,} more" if len(missing) > 1 else ""
        return f"waits for {timeline.ids[missing[0]]}{more}" if missing else ""
    return attempt.worker if attempt is not None else ""


def _log(state: WatchState, moment: Moment, width: int, room: int) -> list[Text]:
    assert state.selected is not None
    index = state.selected
    name_width = max(min(len(moment.timeline.ids[index]), width // 2), _NAME_LEAST)
    rows = max(room - 2, 1)
    state.scroll = min(state.scroll, max(len(moment.log) - rows, 0))
    end = len(moment.log) - state.scroll
    below = f"{state.scroll:,} lines below" if state.scroll else moment.log_state
    head = [_task(moment, index, name_width), _text(f"── {below}", "dim")]
    return [*head, *(_text(line.replace("\t", "    ")) for line in moment.log[max(end - rows, 0) : end])]


def _help(state: WatchState, moment: Moment, width: int, room: int) -> list[Text]:
    lines = []
    for keys, meaning in _HELP:
        line = _text(f"  {keys:<10} ", "bold")
        lines.append(line.append_text(_text(meaning)))
    return [*lines, _text(""), _text("  any key goes back", "dim")]
