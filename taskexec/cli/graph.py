"""`tek graph`: the graph of a plan or of a run, level by level in the terminal, or as a drawing."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from taskexec.cli.display import STATUS_STYLES
from taskexec.cli.options import SettingsRequest, output_option, settings_options
from taskexec.cli.output import Output, emit, printable, write_file
from taskexec.cli.plan_source import PlanSource, load_plan, report_warnings
from taskexec.cli.run_plan import plan_of_run
from taskexec.cli.where import broker_option, find_run

if TYPE_CHECKING:
    from taskexec.plan import Estimates, Plan

__all__ = ["graph"]

_PIPE_WIDTH = 120


@click.command()
@click.argument("target", metavar="[RUN|PLAN]", default="last")
@click.option("--save-graph", "file", type=click.Path(path_type=Path), metavar="FILE", help="Write a drawing (SVG).")
@broker_option
@settings_options
@output_option
def graph(
    target: str, file: Path | None, broker: str | None, settings_request: SettingsRequest, output: Output
) -> None:
    """Show the graph of a run with the statuses of its tasks, or that of a plan.

    A file that is there is a plan; all else is a run: an id, the beginning of one, or `last`. In the terminal there is
    a line of blocks for each level, with the tasks of the critical path first.
    """
    path = Path(target)
    run_id: str | None = None
    statuses: Mapping[str, str] = {}
    observed: Mapping[str, float] | None = None
    if target == "-" or path.exists():
        plan = load_plan(PlanSource(path), settings_request.load())
        report_warnings(plan.warnings)
    else:
        run_id, plan, statuses, observed = _of_run(target, settings_request, broker)
    from taskexec.plan import Estimates, draw_svg, summarize

    estimates = Estimates(plan, observed)
    summary = summarize(plan, estimates)
    if file is not None:
        write_file(file, draw_svg(plan, summary, estimates, statuses=statuses).encode())
    emit(
        output,
        table=lambda: list(_table(plan, estimates, statuses)),
        data=lambda: ({} if run_id is None else {"run_id": run_id}) | _to_json(plan, estimates, statuses),
        quiet=lambda: (plan.tasks[index].id for index in plan.graph.order),
    )


def _of_run(
    target: str, request: SettingsRequest, broker: str | None
) -> tuple[str, Plan, Mapping[str, str], Mapping[str, float]]:
    """Return a run's id and plan, the statuses of its tasks, and how long they took."""
    from taskexec.cluster.histories import read_timeline
    from taskexec.observability.report import observed_seconds

    place = find_run(target, request, broker)
    timeline = read_timeline(place)
    plan = plan_of_run(timeline.plan, str(timeline.plan.get("source") or place.run_id))
    statuses = {task_id: str(span.status) for task_id, span in zip(timeline.ids, timeline.spans, strict=True)}
    return place.run_id, plan, statuses, observed_seconds(timeline)


def _critical(estimates: Estimates) -> list[int]:
    return [index for index, estimate in enumerate(estimates) if estimate.is_critical]


def _table(plan: Plan, estimates: Estimates, statuses: Mapping[str, str]) -> Iterator[Any]:
    from rich.text import Text

    from taskexec.plan.levels import level_rows

    width = shutil.get_terminal_size((_PIPE_WIDTH, 24)).columns if sys.stdout.isatty() else _PIPE_WIDTH
    ids = [printable(task.id) for task in plan.tasks]
    shown = dict(zip(ids, (statuses.get(task.id, "") for task in plan.tasks), strict=True)) if statuses else {}
    yield f"{len(ids):,} tasks, {plan.graph.edge_count:,} edges, {len(plan.graph.widths):,} levels"
    for pieces in level_rows(plan.graph, ids, shown, critical=_critical(estimates), width=width):
        line = Text(no_wrap=True)
        for piece in pieces:
            style = STATUS_STYLES.get(piece.status, "")
            line.append(piece.text, style=f"{style} bold" if piece.is_critical else style)
        line.rstrip()
        yield line


def _to_json(plan: Plan, estimates: Estimates, statuses: Mapping[str, str]) -> dict[str, Any]:
    """Return the shape that scripts may rely on."""
    levels: list[list[str]] = [[] for _ in plan.graph.widths]
    for index in plan.graph.order:
        levels[plan.graph.levels[index]].append(plan.tasks[index].id)
    return {
        "levels": levels,
        "depends_on": {task.id: list(task.depends_on) for task in plan.tasks if task.depends_on},
        "critical_path": [plan.tasks[index].id for index in _critical(estimates)],
        "statuses": dict(statuses),
    }
