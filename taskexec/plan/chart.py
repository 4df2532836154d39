"""Bars in rows over time (a Gantt chart), as lines of text and as a drawing (SVG)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from taskexec.plan.svg import STYLE, escape, fit_text, format_duration, number

__all__ = ["DRAWN_ROWS_MAX", "ROWS_MAX", "Bar", "Chart", "Row", "chart_rows", "chart_text", "draw_chart", "pack"]

ROWS_MAX = 24
"""Most rows of a text."""
DRAWN_ROWS_MAX = 240
"""Most rows of a drawing."""
_BARS_MAX = 20_000
_SHADES = " ░▒▓█"
_MARGIN, _LEFT, _TOP, _HEIGHT, _WIDTH = 32.0, 150.0, 84.0, 20.0, 960.0
_LABEL_WIDTH = 20
_LEAST_COLUMNS = 20
_LEAST_DRAWN = 0.5
# Literal colours, as in `plan.svg`.
_STYLE = (
    f"{STYLE}.bar.wait{{fill:#9aa7b8;fill-opacity:.35}}.bar.failed{{fill:#c62828}}"
    ".bar.lost{fill:#c62828;fill-opacity:.45}.bar.cancelled{fill:#9aa7b8}"
    ".bar.running{fill-opacity:.6;stroke:#1d5fd0;stroke-dasharray:3 2}"
    ".bar.chain{stroke:#e4572e;stroke-width:2}.bar.mark{fill:none}.grid{stroke:#9aa7b8;stroke-opacity:.25}"
    "@media (prefers-color-scheme:dark){.bar.failed,.bar.lost{fill:#ff8a80}.bar.running{stroke:#7fb0ff}"
    ".bar.chain{stroke:#ff7d55}.bar-text{fill:#12161d}}"
)


@dataclass(frozen=True, slots=True)
class Bar:
    """Something that lasts, in microseconds from the origin of the chart."""

    start_us: int
    end_us: int
    label: str
    """Stands on it where there is room."""
    colour: int = 0
    """Which of the eight colours it has."""
    kind: str = ""
    """Empty, `failed`, `lost`, `cancelled` or `running` (has not ended)."""
    note: str = ""
    """What else the tooltip says."""
    is_chain: bool = False
    """Whether it is drawn as part of what took the longest."""
    since_us: int | None = None
    """From when it waited, drawn thin; None for what did not wait."""

    @property
    def first_us(self) -> int:
        """Where it begins, with its wait."""
        return self.start_us if self.since_us is None else min(self.since_us, self.start_us)


@dataclass(slots=True)
class Row:
    """Bars that do not overlap."""

    group: str
    """Rows of one group stand together, under its name."""
    bars: list[Bar] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Chart:
    """What is drawn."""

    title: str
    facts: str
    """A line below the title."""
    rows: Sequence[Row]
    span_us: int
    """From the origin to the right end."""
    hidden: int = 0
    """Bars in rows that are left out."""
    legend: Sequence[tuple[str, str]] = ()
    """Classes of bars and what they mean."""


def pack(bars: Iterable[tuple[str, Bar]], most: int) -> tuple[list[Row], int]:
    """Return rows of groups in which no bars overlap, and how many more bars there would be in further ones.

    Args:
        bars: Groups and their bars, in the order in which they begin.
        most: Most rows.
    """
    groups: dict[str, list[Row]] = {}
    ends: dict[str, list[int]] = {}
    count = hidden = 0
    for group, bar in bars:
        rows, free_at = groups.setdefault(group, []), ends.setdefault(group, [])
        at = next((at for at, end in enumerate(free_at) if end <= bar.first_us), None)
        if at is not None:
            free_at[at] = bar.end_us
            rows[at].bars.append(bar)
        elif count < most:
            count += 1
            rows.append(Row(group, [bar]))
            free_at.append(bar.end_us)
        else:
            hidden += 1
    return [row for rows in groups.values() for row in rows], hidden


def chart_rows(chart: Chart, width: int) -> Iterator[tuple[str, str, str]]:
    """Yield each row as its label, its characters, and for each of these a letter that says what it is.

    The letters are the first ones of kinds of bars, `b` for an ordinary bar and a blank for none.
    """
    span = max(chart.span_us, 1)
    label = _label_width(chart)
    columns = max(width - label - 2, _LEAST_COLUMNS)
    former = None
    for row in chart.rows:
        name = row.group[:label] if row.group != former else ""
        former = row.group
        yield f"{name:<{label}}", *_text_row(row.bars, span, columns)


def chart_text(chart: Chart, width: int) -> Iterator[str]:
    """Yield lines of at most `width` characters: a row for each slot in use, with the ids of tasks where they fit."""
    for label, characters, _ in chart_rows(chart, width):
        yield f"{label} {characters}".rstrip()
    yield from chart_foot(chart, width)


def chart_foot(chart: Chart, width: int) -> Iterator[str]:
    """Yield the lines below the rows: the axis, and what is not shown."""
    label = _label_width(chart)
    columns = max(width - label - 2, _LEAST_COLUMNS)
    if chart.rows:
        yield f"{'':<{label}} 0{format_duration(max(chart.span_us, 1) / 1e6):>{columns - 1}}"
    if chart.hidden:
        yield f"and {chart.hidden:,} more in rows that are not shown"


def _label_width(chart: Chart) -> int:
    return min(max((len(row.group) for row in chart.rows), default=0), _LABEL_WIDTH)


def _text_row(bars: Sequence[Bar], span_us: int, columns: int) -> tuple[str, str]:
    """Return a row: `[id───]` for bars with room, else how much of each column is in use; and what each column is."""
    used = [0.0] * columns
    cells: list[str | None] = [None] * columns
    kinds = [" "] * columns
    for bar in bars:
        first, last = bar.start_us * columns / span_us, bar.end_us * columns / span_us
        waits = slice(round(bar.first_us * columns / span_us), int(first))
        cells[waits] = "·" * len(cells[waits])
        for column in range(int(first), min(columns, int(last) + 1)):
            share = max(0.0, min(last, column + 1) - max(first, column))
            used[column] += share
            if share and (kinds[column] in " b" or bar.kind == "failed"):
                kinds[column] = bar.kind[:1] or "b"
        begin, end = round(first), min(round(last), columns)
        if end - begin >= 4:
            shown = bar.label if len(bar.label) <= end - begin - 2 else bar.label[: end - begin - 3] + "…"
            cells[begin:end] = f"[{shown:─<{end - begin - 2}}]"
    characters = [
        cell if cell is not None else _SHADES[min(4, max(round(4 * share), share > 0))]
        for cell, share in zip(cells, used, strict=True)
    ]
    return "".join(characters), "".join(kinds)


def draw_chart(chart: Chart) -> str:
    """Return a chart as SVG text: a row for each slot in use, a bar for each attempt, with the id as its tooltip."""
    span = max(chart.span_us, 1)
    width, height = _LEFT + _WIDTH + 2 * _MARGIN, _TOP + _HEIGHT * len(chart.rows) + 2 * _MARGIN
    size = f"{number(width)} {number(height)}"
    title = escape(chart.title)
    shape = f'viewBox="0 0 {size}" width="{number(width)}" height="{number(height)}"'
    bottom = _TOP + _HEIGHT * len(chart.rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {shape} role="img" aria-label="{title}">',
        f"<style>{_STYLE}</style>",
        '<rect class="paper" width="100%" height="100%"/>',
        f'<text class="name" x="{_MARGIN}" y="40">{title}</text>',
        f'<text class="facts" x="{_MARGIN}" y="62">{escape(chart.facts)}</text>',
        *_legend(chart, width),
        *_axis(span, bottom),
    ]
    left_out = chart.hidden
    drawn, former = 0, None
    for at, row in enumerate(chart.rows):
        y = _TOP + at * _HEIGHT
        if row.group != former:
            shown = escape(fit_text(row.group, _LEFT - 10))
            parts.append(f'<text class="legend" x="{_MARGIN}" y="{number(y + 14)}">{shown}</text>')
            parts.append(f'<path class="edge dense" d="M{_MARGIN} {number(y)}H{number(width - _MARGIN)}"/>')
        former = row.group
        shown_bars = row.bars[: max(0, _BARS_MAX - drawn)]
        parts += [_bar(bar, y, span) for bar in shown_bars]
        drawn += len(shown_bars)
        left_out += len(row.bars) - len(shown_bars)
    if left_out:
        parts.append(f'<text class="note" x="{_MARGIN}" y="{number(bottom + 36)}">and {left_out:,} more bars</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _legend(chart: Chart, width: float) -> Iterator[str]:
    x = width - _MARGIN - sum(34 + 7.1 * len(text) for _, text in chart.legend)
    for names, text in chart.legend:
        yield f'<rect class="{names}" x="{number(x)}" y="52" width="18" height="11" rx="2"/>'
        yield f'<text class="legend" x="{number(x + 23)}" y="62">{escape(text)}</text>'
        x += 34 + 7.1 * len(text)


def _axis(span_us: int, bottom: float) -> Iterator[str]:
    for share in range(5):
        x, text = _MARGIN + _LEFT + _WIDTH * share / 4, format_duration(span_us / 1e6 * share / 4)
        yield f'<path class="grid" d="M{number(x)} {_TOP}V{number(bottom)}"/>'
        anchor = ' text-anchor="end"' if share == 4 else ""
        yield f'<text class="note" x="{number(x)}" y="{number(bottom + 18)}"{anchor}>{escape(text)}</text>'


def _bar(bar: Bar, y: float, span_us: int) -> str:
    x, wide = _MARGIN + _LEFT + _WIDTH * bar.start_us / span_us, _WIDTH * (bar.end_us - bar.start_us) / span_us
    tooltip = f"{bar.label}\n{format_duration(bar.start_us / 1e6)} to {format_duration(bar.end_us / 1e6)}"
    tooltip += f"\n{bar.note}" if bar.note else ""
    shape = f'x="{number(x)}" y="{number(y + 3)}" width="{number(max(wide, _LEAST_DRAWN))}" height="{_HEIGHT - 6:g}"'
    waited = ""
    if bar.first_us < bar.start_us:
        first = _MARGIN + _LEFT + _WIDTH * bar.first_us / span_us
        tooltip += f"\nwaited {format_duration((bar.start_us - bar.first_us) / 1e6)}"
        waited = (
            f'<rect class="bar wait" x="{number(first)}" y="{number(y + 8)}" width="{number(x - first)}" height="4"/>'
        )
    names = " ".join(["bar", f"q{bar.colour % 8}", *filter(None, [bar.kind]), *(["chain"] if bar.is_chain else [])])
    drawn = f'{waited}<rect class="{names}" {shape} rx="3"><title>{escape(tooltip)}</title></rect>'
    if wide < 40:
        return drawn
    shown = escape(fit_text(bar.label, wide - 6))
    return f'{drawn}<text class="id small bar-text" x="{number(x + 4)}" y="{number(y + 14)}">{shown}</text>'
