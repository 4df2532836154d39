"""`tek submit`: a plan to a cluster, followed or left to itself."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from taskexec.cli.metrics_file import MetricsFile, metrics_file_option
from taskexec.cli.options import SettingsRequest, output_option, settings_options
from taskexec.cli.output import Output, emit, report_faults, say
from taskexec.cli.plan_source import PlanSource, load_plan, plan_source_options, report_warnings
from taskexec.cli.reuse import find_takeover, reuse_option, tell_takeover
from taskexec.cli.run_limits import RunLimits, run_limit_options
from taskexec.cli.where import broker_option, open_cluster
from taskexec.domain.states import RunStatus, TaskStatus
from taskexec.errors import UsageError

if TYPE_CHECKING:
    from taskexec.cluster import Cluster
    from taskexec.errors import Fault
    from taskexec.plan import Plan

__all__ = ["collect_to_end", "submit"]


@click.command()
@plan_source_options
@broker_option
@settings_options
@output_option
@click.option("--wait", "is_waited", is_flag=True, help="Follow the run to its end and bring its evidence home.")
@click.option("--dry-run", is_flag=True, help="Go the whole way, but only describe what would be executed.")
@click.option("--fail-fast", is_flag=True, default=None, help="Start nothing new after the first failure.")
@click.option("--key", metavar="TEXT", help="The same plan with the same key is the same run, however often submitted.")
@click.option("--wait-for-workers", is_flag=True, help="Accept what no worker that is known now could run.")
@run_limit_options
@reuse_option
@click.option("--runs-dir", type=click.Path(path_type=Path), metavar="FOLDER", help="Where evidence goes.")
@metrics_file_option
def submit(
    source: PlanSource,
    broker: str | None,
    settings_request: SettingsRequest,
    output: Output,
    is_waited: bool,
    dry_run: bool,
    fail_fast: bool | None,
    key: str | None,
    wait_for_workers: bool,
    limits: RunLimits,
    reuse: str | None,
    runs_dir: Path | None,
    metrics_file: MetricsFile,
) -> int:
    """Submit a plan to a cluster; prints the id of the run.

    Ctrl-C with --wait stops waiting and leaves the run alone. Exit status without --wait: 0 submitted; with it, as
    `tek run`.
    """
    if metrics_file.path is not None and not is_waited:
        raise UsageError("`--metrics-file` tells of a run that has ended", hint="add `--wait`")
    metrics_file.check()
    settings = settings_request.load({"evidence.runs_dir": runs_dir, "run.fail_fast": fail_fast} | limits.settings)
    plan = load_plan(source, settings)
    if output is not Output.JSON:
        report_warnings(plan.warnings)
    cluster = open_cluster(settings, broker)
    metrics_file.watch(cluster)
    _tell_unmet(cluster.admit(plan, wait_for_workers=wait_for_workers))
    takeover = find_takeover(reuse, plan, settings)
    tell_takeover(takeover)
    submission = cluster.submit(plan, dry_run=dry_run, deadline_at=limits.deadline_at, key=key, takeover=takeover)
    run_id = submission.run_id
    if is_waited:
        status = collect_to_end(cluster, run_id, output)
        metrics_file.write(settings.evidence.runs_dir / run_id)
        return status
    _show_submitted(output, plan, run_id, settings.evidence.runs_dir / run_id)
    return 0


def _tell_unmet(faults: Sequence[Fault]) -> None:
    """Say what is accepted although no worker could run it: on stderr, the first of very many."""
    hint = "start a worker that has what they ask for; `tek why` says what one lacks"
    waits = [
        replace(fault, message=fault.message.replace("can never run", "waits for workers"), hint=None)
        for fault in faults
    ]
    if waits:
        waits[-1] = replace(waits[-1], hint=hint)
        report_faults(waits, "warning")


def _show_submitted(output: Output, plan: Plan, run_id: str, folder: Path) -> None:
    satisfied = sum(task.is_satisfied for task in plan.tasks)
    counts = {TaskStatus.WAITING: len(plan.tasks) - satisfied, TaskStatus.SATISFIED: satisfied}
    emit(
        output,
        table=lambda: run_id,
        data={
            "run_id": run_id,
            "status": str(RunStatus.RUNNING if counts[TaskStatus.WAITING] else RunStatus.SUCCEEDED),
            "folder": str(folder),
            "counts": {str(status): count for status, count in counts.items() if count},
        },
        quiet=[run_id],
    )
    if output is Output.TABLE:
        say(f"follow it with `tek watch {run_id}`, bring its evidence home with `tek collect {run_id}`")


def collect_to_end(cluster: Cluster, run_id: str, output: Output) -> int:
    """Follow a run to its end while its evidence comes home; return the exit status of its outcome."""
    from taskexec.cli.display import choose_display
    from taskexec.cli.follow import INTERRUPTED, follow, run_status_exit, show_end
    from taskexec.cli.outlook import slots_of
    from taskexec.runtime.interrupts import Interrupts

    collector = cluster.collector(run_id)
    with contextlib.closing(collector), Interrupts() as interrupts:
        with choose_display(
            run_id,
            collector.folder.plan,
            quiet=output is not Output.TABLE,
            former=collector.tell_former,
            slots=slots_of(cluster),
        ) as display:
            collector.listeners.append(display)
            follow(
                collector,
                display,
                interrupts,
                take_up=lambda: cluster.submitter.take_up(run_id),
                leave_when_interrupted=True,
            )
        summary = collector.finish()
        show_end(output, collector, summary)
        if not collector.view.is_final:
            say(f"run {run_id} goes on; `tek watch {run_id}` follows it again")
            return INTERRUPTED
    return run_status_exit(summary["status"])
