"""`tek report`: a run as one HTML file to hand over."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from taskexec.cli.options import SettingsRequest, output_option, settings_options
from taskexec.cli.output import Output, emit, write_file
from taskexec.cli.run_plan import plan_of_run
from taskexec.cli.where import broker_option, find_run

if TYPE_CHECKING:
    from taskexec.observability.report import RunReport
    from taskexec.observability.timeline import RunTimeline

__all__ = ["report"]

DRAWN_TASKS_MAX = 5_000
"""Most tasks of a graph that is drawn in a report."""


@click.command()
@click.argument("run_id", metavar="[RUN]", default="last")
@click.option(
    "--save-report", "file", type=click.Path(path_type=Path), metavar="FILE", help="Default: report-RUN.html, here."
)
@broker_option
@settings_options
@output_option
def report(
    run_id: str, file: Path | None, broker: str | None, settings_request: SettingsRequest, output: Output
) -> int:
    """Write a run down as one HTML file that needs nothing else.

    RUN is an id, the beginning of one, or `last`. The file holds the counts, failures with the end of their output,
    where the time went, the Gantt chart, the graph, the digests of the evidence and what `tek verify` says of it.
    Exit status: 0 it was written and the evidence holds or is not at home, 1 it was written and the evidence does not
    hold.
    """
    from taskexec.cli.verify import trust_here
    from taskexec.cluster.histories import read_timeline
    from taskexec.cluster.snapshot import take_snapshot
    from taskexec.completion.proof import verify_folder
    from taskexec.observability.report import make_report

    place = find_run(run_id, settings_request, broker)
    timeline = read_timeline(place)
    summary = take_snapshot(place).summary
    is_home = (place.folder / "ledger.jsonl").is_file()
    found = verify_folder(place.folder, trust_here(settings_request.load())) if is_home else None
    made = make_report(timeline, summary, place.folder if is_home else None, found)
    target = file or Path(f"report-{place.run_id}.html")
    write_file(target, _page(made, timeline).encode())
    emit(
        output,
        table=lambda: [f"report of run {place.run_id}: {target}"],
        data=lambda: {
            "run_id": place.run_id,
            "file": str(target),
            "status": summary["status"],
            "verified": None if found is None else found.ok,
        },
        quiet=lambda: [str(target)],
    )
    return 0 if found is None or found.ok else 1


def _page(made: RunReport, timeline: RunTimeline) -> str:
    from importlib.metadata import version

    from taskexec.observability.charts import ChartBy, run_chart
    from taskexec.observability.report_page import render_report
    from taskexec.plan.chart import DRAWN_ROWS_MAX, draw_chart

    chain = [link.index for link in made.blame.chain]
    chart = run_chart(timeline, ChartBy.WORKER, most_rows=DRAWN_ROWS_MAX, chain=chain)
    return render_report(made, gantt=draw_chart(chart), graph=_graph(timeline), version=version("taskexec"))


def _graph(timeline: RunTimeline) -> str | None:
    """Return the drawing of the graph with the statuses of tasks; None when there are too many."""
    if len(timeline.ids) > DRAWN_TASKS_MAX:
        return None
    from taskexec.observability.report import observed_seconds
    from taskexec.plan import Estimates, draw_svg, summarize

    plan = plan_of_run(timeline.plan, str(timeline.plan.get("source") or "plan"))
    estimates = Estimates(plan, observed_seconds(timeline))
    statuses = {task_id: str(span.status) for task_id, span in zip(timeline.ids, timeline.spans, strict=True)}
    return draw_svg(plan, summarize(plan, estimates), estimates, statuses=statuses)
