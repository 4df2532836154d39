"""`tek plan`: read a plan, check it, show it, and write it or its drawing to a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from taskexec.cli.options import (
    SettingsRequest,
    output_option,
    settings_options,
)
from taskexec.cli.output import Output, build_table, emit, shorten, write_file
from taskexec.cli.plan_attempts import describe_end, describe_files, describe_retry, short_duration
from taskexec.cli.plan_needs import describe_needs
from taskexec.cli.plan_reading import describe_reading
from taskexec.cli.plan_source import PlanSource, load_plan, plan_source_options, report_warnings
from taskexec.cli.reuse import difference_data, difference_table, find_takeover
from taskexec.domain.command import Command
from taskexec.domain.resources import Route
from taskexec.domain.task import Task
from taskexec.errors import Fault, PlanRejected

if TYPE_CHECKING:
    from taskexec.compiler import Canvas
    from taskexec.plan import Estimate, Estimates, Plan, Summary

__all__ = ["plan"]

SHOWN_TASKS = 40
"""Most tasks and stages that people are shown."""

_TEXT_WIDTH = 40
_NEEDS_WIDTH = 60
_COLUMNS = (
    *("*", "id", "title", "lane", "agent", "does", "route"),
    *("asks for", "depends on", "level", "duration", "slack", "retry", "ends", "files"),
)


@dataclass(frozen=True, slots=True)
class _View:
    """All that is shown of a plan."""

    plan: Plan
    summary: Summary
    estimates: Estimates
    canvas: Canvas | None
    observed: Mapping[str, float]
    """Durations of an earlier run, in seconds, by task."""


@click.command()
@plan_source_options
@output_option
@click.option("--canvas", "with_canvas", is_flag=True, help="Show the Celery chains and chords as well.")
@click.option(
    "--save-plan",
    "--out",
    "plan_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write plan.json.",
)
@click.option(
    "--save-graph",
    "graph_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a drawing (SVG).",
)
@click.option("--observed", "observed_run", metavar="RUN", help="Estimate with the durations of a run, where known.")
@click.option("--diff", "former_run", metavar="RUN", help="Say what `--reuse RUN` would run or take over, and why.")
@settings_options
def plan(
    source: PlanSource,
    output: Output,
    with_canvas: bool,
    plan_file: Path | None,
    graph_file: Path | None,
    observed_run: str | None,
    former_run: str | None,
    settings_request: SettingsRequest,
) -> None:
    """Read a plan, check it and show it; nothing is run.

    PLAN is a table (CSV and its kin), a State of Truth (Markdown), a workflow (YAML), a plan.json, a folder with one
    of these, or `-` for standard input.
    """
    settings = settings_request.load()
    checked = load_plan(source, settings)
    takeover = find_takeover(former_run, checked, settings)
    from taskexec.cli.observed import observed_durations

    observed = None if observed_run is None else observed_durations(observed_run, settings_request)
    view = _view(checked, observed, with_canvas=with_canvas)
    _save(view, plan_file, graph_file)
    if output is not Output.JSON:
        report_warnings((*checked.warnings, *_agent_faults(checked)))
    emit(
        output,
        table=lambda: list(_table(view) if takeover is None else difference_table(takeover)),
        data=lambda: _to_json(view) | ({} if takeover is None else {"diff": difference_data(takeover)}),
        quiet=lambda: (checked.tasks[index].id for index in checked.graph.order),
    )


def _agent_faults(checked: Plan) -> Sequence[Fault]:
    """Return which agents are missing here or refuse their instructions; a cluster's workers may have others."""
    from taskexec.agents import AgentRegistry, check_agents

    try:
        check_agents(checked, AgentRegistry())
    except PlanRejected as error:
        return error.faults()
    return ()


def _save(view: _View, plan_file: Path | None, graph_file: Path | None) -> None:
    """Write the files that were asked for."""
    if plan_file is not None:
        import orjson

        from taskexec.plan import plan_to_json

        document = plan_to_json(view.plan, generated_at=datetime.now(UTC).isoformat(timespec="seconds"))
        write_file(plan_file, orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    if graph_file is not None:
        from taskexec.plan import draw_svg

        write_file(graph_file, draw_svg(view.plan, view.summary, view.estimates).encode())


def _view(checked: Plan, observed: Mapping[str, float] | None, *, with_canvas: bool) -> _View:
    from taskexec.plan import Estimates, summarize

    canvas = None
    if with_canvas:
        from taskexec.compiler import compile_canvas

        canvas = compile_canvas(checked)
    estimates = Estimates(checked, observed)
    return _View(checked, summarize(checked, estimates), estimates, canvas, observed or {})


def _to_json(view: _View) -> dict[str, Any]:
    """Return the shape that scripts may rely on."""
    from taskexec.plan import plan_shown

    shape = plan_shown(view.plan, view.estimates)
    return shape if view.canvas is None else shape | {"canvas": view.canvas.to_json()}


def _table(view: _View) -> Iterator[Any]:
    """Yield the summary, the tasks, and the stages of the canvas."""
    yield _summary_line(view.summary)
    yield from describe_reading(view.plan)
    rows = [
        _row(task, estimate, view.observed.get(task.id, task.duration_s))
        for task, estimate in zip(view.plan.tasks[:SHOWN_TASKS], view.estimates, strict=False)
    ]
    filled = [position for position in range(len(_COLUMNS)) if any(row[position] for row in rows)]
    if all(task.route is Route.CPU for task in view.plan.tasks):
        filled.remove(_COLUMNS.index("route"))
    yield build_table(
        [_COLUMNS[position] for position in filled],
        ([row[position] for position in filled] for row in rows),
        right={"level", "duration", "slack"},
        keep={"id"},
    )
    yield from _rest(len(view.plan.tasks))
    if any(row[0] for row in rows):
        yield "* on the critical path"
    if view.canvas is not None:
        stages = view.canvas.describe()
        yield f"canvas: {len(stages):,} stages"
        yield from (f"  {line}" for line in stages[:SHOWN_TASKS])
        yield from _rest(len(stages))


def _rest(count: int) -> Iterator[str]:
    if count > SHOWN_TASKS:
        yield f"… and {count - SHOWN_TASKS:,} more (--output json lists all)"


def _summary_line(summary: Summary) -> str:
    shape = "series-parallel" if summary.series_parallel else "not series-parallel"
    length = short_duration(summary.critical_path_s)
    counts = ((summary.tasks, "task"), (summary.edges, "edge"), (summary.levels, "level"))
    size = ", ".join(f"{count:,} {name if count == 1 else name + 's'}" for count, name in counts)
    return f"{size}, width {summary.width:,}, critical path {length or 'of unknown length'}, {shape}"


def _row(task: Task, estimate: Estimate, duration_s: float | None) -> tuple[str, ...]:
    """Return the cells of a task, in the order of `_COLUMNS`."""
    return (
        "*" if estimate.is_critical else "",
        task.id,
        "" if task.title == task.id else shorten(task.title, _TEXT_WIDTH),
        shorten(task.lane or "", _TEXT_WIDTH),
        task.agent,
        shorten(_instructions(task), _TEXT_WIDTH),
        task.route.value,
        shorten(describe_needs(task.needs), _NEEDS_WIDTH),
        _dependencies(task.depends_on),
        str(estimate.level),
        short_duration(duration_s),
        short_duration(estimate.slack_s),
        shorten(describe_retry(task), _TEXT_WIDTH),
        describe_end(task),
        describe_files(task),
    )


def _instructions(task: Task) -> str:
    """Return what a task does, as a person would write it."""
    if isinstance(task.payload.get("call"), str):
        return str(task.payload["call"])
    commands = task.payload.get("commands") or ()
    return "; ".join(Command.from_json(command).text for command in commands)


def _dependencies(ids: Sequence[str]) -> str:
    """Return the first ids that fit, and how many there are besides."""
    shown: list[str] = []
    for name in ids:
        if shown and len(", ".join([*shown, name])) > _TEXT_WIDTH:
            return f"{', '.join(shown)} and {len(ids) - len(shown):,} more"
        shown.append(name)
    return ", ".join(shown)
