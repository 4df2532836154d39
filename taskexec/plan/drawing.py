"""A picture of a plan: one self-contained SVG for light and dark screens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from taskexec.plan.estimate import Estimate, Summary
from taskexec.plan.layout import Grid, Layout, Point, lay_out
from taskexec.plan.plan import Plan, queue_name
from taskexec.plan.svg import MARKS, STATUS_SIGNS, STYLE, escape, fit_text, format_duration, number

__all__ = ["draw_svg"]

_CARDS_UP_TO = 60
_LABELS_UP_TO = 300
_MOST_LABEL_ROWS = 90
_MOST_LEGEND_ENTRIES = 12
_MARGIN = 32.0
_HEADER_HEIGHT = 96.0
_LEAST_WIDTH = 720.0


@dataclass(frozen=True, slots=True)
class _Look:
    """How nodes are drawn at one size of picture."""

    grid: Grid
    height: float
    """Height of a node."""
    has_labels: bool
    has_titles: bool


_CARDS = _Look(Grid(216, 52, 60, 40, 20), 44, has_labels=True, has_titles=True)
_CHIPS = _Look(Grid(190, 44, 26, _MOST_LABEL_ROWS, 16), 20, has_labels=True, has_titles=False)


def _choose_look(plan: Plan) -> _Look:
    size, widest = len(plan.tasks), max(plan.graph.widths, default=0)
    if size <= _CARDS_UP_TO and widest <= _CARDS.grid.most_rows:
        return _CARDS
    if size <= _LABELS_UP_TO and widest <= _MOST_LABEL_ROWS:
        return _CHIPS
    rows = max(40, 3 * len(plan.graph.widths), round((size * 1.5) ** 0.5))
    return _Look(Grid(9, 46, 13, rows, 6), 9, has_labels=False, has_titles=False)


def draw_svg(
    plan: Plan,
    summary: Summary,
    estimates: Sequence[Estimate],
    *,
    statuses: Mapping[str, str] | None = None,
) -> str:
    """Return the graph of a plan as SVG text.

    Levels run from left to right; the critical path is drawn bold. Each lane (or route) has a colour and a
    sign that the legend explains. Up to 60 tasks show id, title and duration, up to 300 their id; more are
    dots, whose text is a tooltip only. Time and size grow linearly with tasks and edges.

    Args:
        plan: The plan.
        summary: Its summary, for the headline.
        estimates: Its estimates, by index.
        statuses: Task statuses by id; tasks that are not in it show none.
    """
    look = _choose_look(plan)
    picture = _Picture(plan, estimates, statuses or {}, look, lay_out(plan.graph, look.grid))
    width = max(picture.layout.width + 2 * _MARGIN, _LEAST_WIDTH)
    height = _HEADER_HEIGHT + picture.layout.height + _MARGIN
    size = f"{number(width)} {number(height)}"
    name = escape(PurePath(plan.source).name or plan.source)
    left = (width - picture.layout.width) / 2
    shape = f'viewBox="0 0 {size}" width="{number(width)}" height="{number(height)}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {shape} role="img" aria-label="Plan {name}">',
        f"<style>{STYLE}</style>",
        '<rect class="paper" width="100%" height="100%"/>',
        f'<text class="name" x="{_MARGIN}" y="40">{name}</text>',
        f'<text class="facts" x="{_MARGIN}" y="62">{escape(_facts(summary))}</text>',
        *picture.legend(width),
        f'<g transform="translate({number(left)} {_HEADER_HEIGHT})">',
        *picture.edges(),
        *picture.nodes(),
        "</g>",
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _facts(summary: Summary) -> str:
    facts = [_count(summary.tasks, "task"), _count(summary.edges, "edge"), _count(summary.levels, "level")]
    facts.append(f"width {summary.width:,}")
    if summary.critical_path_s:
        facts.append(f"critical path {format_duration(summary.critical_path_s)}")
    facts.append("series-parallel" if summary.series_parallel else "not series-parallel")
    return " · ".join(facts)


def _count(amount: int, noun: str) -> str:
    return f"{amount:,} {noun}" + ("" if amount == 1 else "s")


class _Picture:
    """The parts of one drawing."""

    def __init__(
        self,
        plan: Plan,
        estimates: Sequence[Estimate],
        statuses: Mapping[str, str],
        look: _Look,
        layout: Layout,
    ) -> None:
        self._plan, self._estimates, self._statuses = plan, estimates, statuses
        self._look, self.layout = look, layout
        self._queues = Counter(map(queue_name, plan.tasks))
        self._queue_numbers = {name: index for index, name in enumerate(self._queues)}

    def legend(self, width: float) -> Iterator[str]:
        """Yield one line: a sign for each lane or route, the critical path, the statuses."""
        x, y = _MARGIN, 84.0
        shown = list(self._queues.items())[:_MOST_LEGEND_ENTRIES]
        for name, count in shown:
            index = self._queue_numbers[name]
            label = f"{fit_text(name, 150)} ({count:,})"
            if x + 8.0 * len(label) > width - 240:
                break
            shape = MARKS[index % len(MARKS)]
            mark = f'<path class="q{index % 8}" transform="translate({number(x + 5)} {y - 4})" d="{shape}"/>'
            yield f'{mark}<text class="legend" x="{number(x + 16)}" y="{y}">{escape(label)}</text>'
            x += 34 + 7.1 * len(label)
            shown = shown[1:]
        hidden = len(self._queues) - min(len(self._queues), _MOST_LEGEND_ENTRIES) + len(shown)
        if hidden:
            yield f'<text class="legend" x="{number(x)}" y="{y}">and {hidden:,} more</text>'
            x += 100
        yield f'<path class="edge hot" d="M{number(x)} {y - 4}h22"/>'
        yield f'<text class="legend" x="{number(x + 28)}" y="{y}">critical path</text>'
        x += 130
        statuses = Counter(self._statuses.values())
        for status in [known for known in STATUS_SIGNS if known in statuses]:
            sign, count = STATUS_SIGNS[status], statuses[status]
            label = f"{sign} {status} ({count:,})"
            yield f'<text class="legend" x="{number(x)}" y="{y}">{escape(label)}</text>'
            x += 20 + 7.1 * len(label)

    def edges(self) -> Iterator[str]:
        """Yield all edges as two paths, the critical ones last (on top)."""
        plain: dict[str, None] = {}
        hot: dict[str, None] = {}
        previous = self._critical_predecessors()
        for node, before in enumerate(self._plan.graph.predecessors):
            for index in before:
                is_hot = previous.get(node) == index
                (hot if is_hot else plain).update(dict.fromkeys(self._strokes(index, node)))
        is_dense = len(plain) > 4 * max(len(self._plan.tasks), 1) or not self._look.has_labels
        if plain:
            yield f'<path class="edge{" dense" if is_dense else ""}" d="{"".join(plain)}"/>'
        if hot:
            yield f'<path class="edge hot" d="{"".join(hot)}"/>'

    def _critical_predecessors(self) -> dict[int, int]:
        """Return for each critical task the critical task right before it on the path."""
        estimates = self._estimates
        path = [index for index, estimate in enumerate(estimates) if estimate.is_critical]
        path.sort(key=lambda index: estimates[index].level)
        return dict(zip(path[1:], path, strict=False))

    def _strokes(self, before: int, node: int) -> Iterator[str]:
        """Yield the path data of one edge: horizontal where it passes a column, smooth between.

        Edges on one rail yield equal strokes, which are drawn once.
        """
        width = self._look.grid.column_width
        x, y = self.layout.nodes[before]
        x += width
        stops = self.layout.bends.get((before, node), ())
        ends = [(stop, True) for stop in stops] + [(self.layout.nodes[node], False)]
        for (stop_x, stop_y), is_passed in ends:
            start, end = f"{number(x)} {number(y)}", f"{number(stop_x)} {number(stop_y)}"
            middle = number((x + stop_x) / 2)
            yield f"M{start}C{middle} {number(y)} {middle} {number(stop_y)} {end}"
            if is_passed:
                yield f"M{end}h{number(width)}"
            x, y = stop_x + width, stop_y

    def nodes(self) -> Iterator[str]:
        """Yield one group for each task."""
        draw = self._box if self._look.has_labels else self._dot
        for index in range(len(self._plan.tasks)):
            tooltip = f"<title>{escape(self._tooltip(index))}</title>"
            yield draw(index, self.layout.nodes[index], tooltip)

    def _tooltip(self, index: int) -> str:
        task, estimate = self._plan.tasks[index], self._estimates[index]
        lines = [task.id]
        if task.title and task.title != task.id:
            lines.append(task.title)
        lines.append(f"{queue_name(task)} · level {estimate.level + 1}")
        if task.duration_s is not None:
            slack = format_duration(estimate.slack_s)
            lines.append(f"{format_duration(task.duration_s)}, slack {slack}")
        if estimate.is_critical:
            lines.append("on the critical path")
        if task.id in self._statuses:
            lines.append(self._statuses[task.id])
        return "\n".join(lines)

    def _dot(self, index: int, at: Point, tooltip: str) -> str:
        task = self._plan.tasks[index]
        queue = self._queue_numbers[queue_name(task)]
        names = f"q{queue % 8}" + " crit" * self._estimates[index].is_critical
        status = self._statuses.get(task.id, "")
        names += f" s-{status}" if status in STATUS_SIGNS else ""
        shape = MARKS[queue % len(MARKS)]
        x = at[0] + self._look.grid.column_width / 2
        place = f"translate({number(x)} {number(at[1])})"
        return f'<path class="{names}" transform="{place}" d="{shape}">{tooltip}</path>'

    def _box(self, index: int, at: Point, tooltip: str) -> str:
        task, height, width = self._plan.tasks[index], self._look.height, self._look.grid.column_width
        queue = self._queue_numbers[queue_name(task)]
        status = self._statuses.get(task.id, "")
        names = "box" + " crit" * self._estimates[index].is_critical
        names += f" s-{status}" if status in STATUS_SIGNS else ""
        y = at[1] - height / 2
        radius = 9 if self._look.has_titles else 6
        shape = MARKS[queue % len(MARKS)]
        parts = [
            f'<g transform="translate({number(at[0])} {number(y)})">{tooltip}',
            f'<rect class="{names}" width="{number(width)}" height="{number(height)}" rx="{radius}"/>',
            f'<path class="q{queue % 8}" transform="translate(14 {number(height / 2)})" d="{shape}"/>',
        ]
        sign = STATUS_SIGNS.get(status, "?") if status else ""
        room = width - 34 - (16 if sign else 0)
        if self._look.has_titles:
            parts += self._card_text(index, room)
        else:
            parts.append(f'<text class="id small" x="26" y="14">{escape(fit_text(task.id, room * 1.3))}</text>')
        if sign:
            parts.append(
                f'<text class="sign t-{escape(status)}" x="{number(width - 15)}"'
                f' y="{number(height / 2 + 4)}">{sign}</text>'
            )
        return "".join(parts) + "</g>"

    def _card_text(self, index: int, room: float) -> Iterator[str]:
        """Yield the id, and below it duration and title as far as the source states them."""
        task = self._plan.tasks[index]
        notes = [] if task.duration_s is None else [format_duration(task.duration_s)]
        if task.title and task.title != task.id:
            notes.append(task.title)
        y = 20 if notes else 28
        yield f'<text class="id" x="28" y="{y}">{escape(fit_text(task.id, room))}</text>'
        if notes:
            text = fit_text(" · ".join(notes), room * 1.25)
            yield f'<text class="note" x="28" y="36">{escape(text)}</text>'
