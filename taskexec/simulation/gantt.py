"""Who runs what when, as lines of text and as a drawing (SVG)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from taskexec.plan import Plan
from taskexec.plan.plan import queue_name
from taskexec.plan.svg import STYLE, escape, fit_text, format_duration, number
from taskexec.simulation.simulator import Schedule

__all__ = ["ROWS_MAX", "Bar", "Row", "draw_gantt", "gantt_rows", "gantt_text"]

ROWS_MAX = 24
"""Most rows of a text; a drawing has ten times as many."""
_DRAWN_ROWS_MAX = 240
_BARS_MAX = 20_000
_SHADES = " ░▒▓█"
_MARGIN, _LEFT, _TOP, _HEIGHT, _WIDTH = 32.0, 150.0, 84.0, 20.0, 960.0


@dataclass(frozen=True, slots=True)
class Bar:
    """A task on a worker."""

    task: int
    start_us: int
    end_us: int


@dataclass(slots=True)
class Row:
    """One attempt after the other on one worker."""

    worker: int
    bars: list[Bar]


def gantt_rows(schedule: Schedule, most: int) -> tuple[list[Row], int]:
    """Return rows in which no bars overlap, and how many more there would be; those of one worker stand together."""
    by_worker: dict[int, list[Row]] = {}
    ends: dict[int, list[int]] = {}
    count = hidden = 0
    for task in (entry for entry in schedule.history if entry >= 0):
        bar = Bar(task, schedule.taken_us[task], schedule.finished_us[task])
        for rank in schedule.ranks_of(task):
            rows, free_at = by_worker.setdefault(rank.worker, []), ends.setdefault(rank.worker, [])
            at = next((at for at, end in enumerate(free_at) if end <= bar.start_us), None)
            if at is not None:
                free_at[at] = bar.end_us
                rows[at].bars.append(bar)
            elif count < most:
                count += 1
                rows.append(Row(rank.worker, [bar]))
                free_at.append(bar.end_us)
            else:
                hidden += 1
    return [row for worker in sorted(by_worker) for row in by_worker[worker]], hidden


def gantt_text(plan: Plan, schedule: Schedule, *, width: int, most: int = ROWS_MAX) -> Iterator[str]:
    """Yield lines of at most `width` characters: a row for each slot in use, with the ids of tasks where they fit."""
    span = max(schedule.makespan_us, 1)
    rows, hidden = gantt_rows(schedule, most)
    label = min(max((len(schedule.workers[row.worker].name) for row in rows), default=0), 20)
    columns = max(width - label - 2, 20)
    former = -1
    for row in rows:
        name = schedule.workers[row.worker].name[:label] if row.worker != former else ""
        former = row.worker
        yield f"{name:<{label}} {_text_row(plan, row.bars, span, columns)}".rstrip()
    if rows:
        end = format_duration(span / 1e6)
        yield f"{'':<{label}} 0{end:>{columns - 1}}"
    if hidden:
        yield f"and {hidden:,} more in rows that are not shown"


def _text_row(plan: Plan, bars: Sequence[Bar], span_us: int, columns: int) -> str:
    """Return a row: `[id───]` for bars with room, else how much of each column is in use."""
    used = [0.0] * columns
    cells: list[str | None] = [None] * columns
    for bar in bars:
        first, last = bar.start_us * columns / span_us, bar.end_us * columns / span_us
        for column in range(int(first), min(columns, int(last) + 1)):
            used[column] += max(0.0, min(last, column + 1) - max(first, column))
        begin, end = round(first), min(round(last), columns)
        name = plan.tasks[bar.task].id
        if end - begin >= 4:
            shown = name if len(name) <= end - begin - 2 else name[: end - begin - 3] + "…"
            for at, character in enumerate(f"[{shown:─<{end - begin - 2}}]"):
                cells[begin + at] = character
    return "".join(
        cell if cell is not None else _SHADES[min(4, round(4 * share))] for cell, share in zip(cells, used, strict=True)
    )


def draw_gantt(plan: Plan, schedule: Schedule) -> str:
    """Return the run as SVG text: a row for each slot in use, a bar for each attempt, with the id as its tooltip."""
    rows, hidden = gantt_rows(schedule, _DRAWN_ROWS_MAX)
    span = max(schedule.makespan_us, 1)
    queues = {name: at for at, name in enumerate(dict.fromkeys(map(queue_name, plan.tasks)))}
    width, height = _LEFT + _WIDTH + 2 * _MARGIN, _TOP + _HEIGHT * len(rows) + 2 * _MARGIN
    facts = f"{len(plan.tasks):,} tasks · {len(schedule.workers):,} workers · {format_duration(span / 1e6)}"
    size = f"{number(width)} {number(height)}"
    name = escape(plan.source)
    shape = f'viewBox="0 0 {size}" width="{number(width)}" height="{number(height)}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {shape} role="img" aria-label="Simulated run of {name}">',
        f"<style>{STYLE}</style>",
        '<rect class="paper" width="100%" height="100%"/>',
        f'<text class="name" x="{_MARGIN}" y="40">{name}</text>',
        f'<text class="facts" x="{_MARGIN}" y="62">{escape(facts)}</text>',
    ]
    drawn, former = 0, -1
    for at, row in enumerate(rows):
        y = _TOP + at * _HEIGHT
        if row.worker != former:
            shown = escape(fit_text(schedule.workers[row.worker].name, _LEFT - 10))
            parts.append(f'<text class="legend" x="{_MARGIN}" y="{number(y + 14)}">{shown}</text>')
            parts.append(f'<path class="edge dense" d="M{_MARGIN} {number(y)}H{number(width - _MARGIN)}"/>')
        former = row.worker
        parts += [_bar(plan, bar, y, span, queues) for bar in row.bars[: max(0, _BARS_MAX - drawn)]]
        drawn += len(row.bars)
    y = _TOP + _HEIGHT * len(rows)
    for share in range(5):
        x, text = _MARGIN + _LEFT + _WIDTH * share / 4, format_duration(span / 1e6 * share / 4)
        parts.append(f'<text class="note" x="{number(x)}" y="{number(y + 18)}">{escape(text)}</text>')
    left_out = hidden + max(0, drawn - _BARS_MAX)
    if left_out:
        parts.append(f'<text class="note" x="{_MARGIN}" y="{number(y + 36)}">and {left_out:,} more bars</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _bar(plan: Plan, bar: Bar, y: float, span_us: int, queues: dict[str, int]) -> str:
    task = plan.tasks[bar.task]
    x, wide = _MARGIN + _LEFT + _WIDTH * bar.start_us / span_us, _WIDTH * (bar.end_us - bar.start_us) / span_us
    tooltip = f"{task.id}\n{format_duration(bar.start_us / 1e6)} to {format_duration(bar.end_us / 1e6)}"
    shape = f'x="{number(x)}" y="{number(y + 3)}" width="{number(max(wide, 0.5))}" height="{number(_HEIGHT - 6)}"'
    drawn = f'<rect class="q{queues[queue_name(task)] % 8}" {shape} rx="3"><title>{escape(tooltip)}</title></rect>'
    if wide < 40:
        return drawn
    shown = escape(fit_text(task.id, wide - 6))
    return f'{drawn}<text class="id small" x="{number(x + 4)}" y="{number(y + 14)}">{shown}</text>'
