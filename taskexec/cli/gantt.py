"""`tek gantt`: who ran what when in a run, in the terminal or as a drawing."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from taskexec.cli.options import SettingsRequest, output_option, settings_options
from taskexec.cli.output import Output, emit, printable, write_file
from taskexec.cli.where import broker_option, find_run

if TYPE_CHECKING:
    from taskexec.plan.chart import Chart

__all__ = ["gantt"]

_PIPE_WIDTH = 120
_STYLES = {"f": "red", "l": "red dim", "c": "dim", "r": "cyan"}
"""First letters of kinds of bars, and how they look."""


@click.command()
@click.argument("run_id", metavar="[RUN]", default="last")
@click.option(
    "--by", "by", type=click.Choice(["worker", "lane", "task"]), default="worker", show_default=True, help="Rows."
)
@click.option("--save-gantt", "file", type=click.Path(path_type=Path), metavar="FILE", help="Write a drawing (SVG).")
@broker_option
@settings_options
@output_option
def gantt(
    run_id: str, by: str, file: Path | None, broker: str | None, settings_request: SettingsRequest, output: Output
) -> None:
    """Draw who ran what when: a row for each slot in use, of each worker, of each lane, or for each task.

    RUN is an id, the beginning of one, or `last`. By lane and by task, waiting is drawn as dots (a thin line in the
    drawing). The drawing marks the critical path as `tek blame` finds it.
    """
    from taskexec.cluster.histories import read_timeline
    from taskexec.observability.blame import blame
    from taskexec.observability.charts import ChartBy, run_chart
    from taskexec.plan.chart import DRAWN_ROWS_MAX, ROWS_MAX, draw_chart

    place = find_run(run_id, settings_request, broker)
    timeline = read_timeline(place)
    if file is not None:
        chain = [link.index for link in blame(timeline).chain]
        drawn = run_chart(timeline, ChartBy(by), most_rows=DRAWN_ROWS_MAX, chain=chain)
        write_file(file, draw_chart(drawn).encode())
    most = ROWS_MAX if output is Output.TABLE else DRAWN_ROWS_MAX
    chart = run_chart(timeline, ChartBy(by), most_rows=most)
    emit(
        output,
        table=lambda: list(_table(chart)),
        data=lambda: {"run_id": place.run_id, "by": by, **_to_json(chart)},
        quiet=lambda: dict.fromkeys(row.group for row in chart.rows),
    )


def _table(chart: Chart) -> Iterator[Any]:
    from rich.text import Text

    from taskexec.plan.chart import chart_foot, chart_rows

    width = shutil.get_terminal_size((_PIPE_WIDTH, 24)).columns if sys.stdout.isatty() else _PIPE_WIDTH
    yield chart.facts
    yield ""
    for label, characters, kinds in chart_rows(chart, width):
        line = Text(f"{printable(label)} ", no_wrap=True)
        for character, kind in zip(characters, kinds, strict=True):
            line.append(printable(character), style=_STYLES.get(kind, "dim" if character == "·" else ""))
        line.rstrip()
        yield line
    yield from chart_foot(chart, width)


def _to_json(chart: Chart) -> dict[str, Any]:
    """Return the shape that scripts may rely on: microseconds from the start of the run."""
    return {
        "span_us": chart.span_us,
        "rows": [
            {
                "group": row.group,
                "bars": [
                    {
                        "task": bar.label,
                        "start_us": bar.start_us,
                        "end_us": bar.end_us,
                        "waited_us": bar.start_us - bar.first_us,
                        "kind": bar.kind or "work",
                    }
                    for bar in row.bars
                ],
            }
            for row in chart.rows
        ],
        "hidden": chart.hidden,
    }
