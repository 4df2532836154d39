"""`tek run`: a plan to its end, here, on a server and a worker of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from taskexec.cli.local import carry_out_here, check_writable, how_here
from taskexec.cli.metrics_file import MetricsFile, metrics_file_option
from taskexec.cli.options import SettingsRequest, output_option, settings_options
from taskexec.cli.output import Output
from taskexec.cli.plan_source import PlanSource, load_plan, plan_source_options, report_warnings
from taskexec.cli.reuse import find_takeover, reuse_option, tell_takeover
from taskexec.cli.run_limits import RunLimits, run_limit_options

if TYPE_CHECKING:
    from taskexec.cluster import Cluster

__all__ = ["run"]


@click.command()
@plan_source_options
@settings_options
@output_option
@click.option("--dry-run", is_flag=True, help="Go the whole way, but only describe what would be executed.")
@click.option("--fail-fast", is_flag=True, default=None, help="Start nothing new after the first failure.")
@click.option(
    "--max-workers", "slots", type=click.IntRange(1, 4096), metavar="N", help="Tasks at once; default: one a core."
)
@run_limit_options
@reuse_option
@click.option("--runs-dir", type=click.Path(path_type=Path), metavar="FOLDER", help="Where evidence goes.")
@metrics_file_option
def run(
    source: PlanSource,
    settings_request: SettingsRequest,
    output: Output,
    dry_run: bool,
    fail_fast: bool | None,
    slots: int | None,
    limits: RunLimits,
    reuse: str | None,
    runs_dir: Path | None,
    metrics_file: MetricsFile,
) -> int:
    """Run a plan to its end, here: nothing needs to be installed or started.

    A server and a worker are started for the run and end with it. Exit status: 0 all succeeded, 1 a task failed,
    2 the plan cannot be used, 3 the server or the worker failed, 4 refused, 130 interrupted.

    Ctrl-C starts nothing new and lets running tasks finish; a second one kills them.
    """
    from taskexec.cluster import admit_locally
    from taskexec.placement import measure_offer

    settings = settings_request.load(
        {"worker.concurrency": slots, "evidence.runs_dir": runs_dir, "run.fail_fast": fail_fast} | limits.settings
    )
    plan = load_plan(source, settings)
    if output is not Output.JSON:
        report_warnings(plan.warnings)
    capacity = measure_offer(settings.worker).capacity
    admit_locally(plan, capacity)
    check_writable(settings.evidence.runs_dir)
    metrics_file.check()
    takeover = find_takeover(reuse, plan, settings)
    tell_takeover(takeover)

    here = how_here(settings, capacity)

    def begin(cluster: Cluster) -> str:
        metrics_file.watch(cluster)
        submission = cluster.submit(plan, dry_run=dry_run, deadline_at=limits.deadline_at, here=here, takeover=takeover)
        return submission.run_id

    status, summary = carry_out_here(settings, capacity, begin, output=output)
    metrics_file.write(settings.evidence.runs_dir / summary["run_id"])
    return status
