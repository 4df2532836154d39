"""`tek collect`: the evidence of a run comes home, to any machine: all that its server and workers have of it."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from taskexec.cli.options import SettingsRequest, output_option, settings_options
from taskexec.cli.output import Output, say
from taskexec.cli.where import broker_option, find_run, open_cluster
from taskexec.errors import UsageError

__all__ = ["collect"]


@click.command()
@click.argument("run_ids", metavar="[RUN]...", nargs=-1)
@broker_option
@settings_options
@output_option
@click.option("--wait", "is_waited", is_flag=True, help="Follow the run to its end.")
@click.option(
    "--follow", is_flag=True, help="Bring home runs as they go, until Ctrl-C; all of the cluster if none is named."
)
@click.option("--runs-dir", type=click.Path(path_type=Path), metavar="FOLDER", help="Where evidence goes.")
def collect(
    run_ids: tuple[str, ...],
    broker: str | None,
    settings_request: SettingsRequest,
    output: Output,
    is_waited: bool,
    follow: bool,
    runs_dir: Path | None,
) -> int:
    """Bring the evidence of a run home: all of it, or what there is so far; without RUN that of the last one.

    May be repeated, from any machine. Two things lie only where the run was submitted, and tek verify says so
    elsewhere: what was taken over with --reuse, and what the ledger had come to before the run was taken up again on
    another server. Exit status: that of the run's outcome, 0 while it goes on.

    With --follow several runs come home side by side, and it ends when those that were named have; without names it
    goes on with every run that the cluster is given. What another command is bringing home is left to that.
    """
    from taskexec.cli.follow import pending_lines, run_status_exit, show_end
    from taskexec.cli.submit import collect_to_end

    if follow:
        return _follow(run_ids, broker, settings_request, runs_dir)
    if len(run_ids) > 1:
        raise UsageError(f"{len(run_ids)} runs are named", hint="name one, or add --follow for several")
    place = find_run(run_ids[0] if run_ids else "last", settings_request, broker)
    if place.cluster is None:
        say(f"run {place.run_id} is at home in {place.folder}; no server knows it any more")
        summary = place.home_summary()
        for line in pending_lines(summary or {}):
            say(line)
        return run_status_exit(summary["status"] if summary else "")
    cluster = place.cluster
    if runs_dir is not None:
        cluster.settings = settings_request.load({"evidence.runs_dir": runs_dir})
    if is_waited:
        return collect_to_end(cluster, place.run_id, output)
    with contextlib.closing(cluster.collector(place.run_id)) as collector:
        while not collector.is_up_to_date:
            collector.step(wait_s=0.0)
        summary = collector.finish()
        show_end(output, collector, summary)
    return run_status_exit(summary["status"])


def _follow(
    run_ids: tuple[str, ...], broker: str | None, settings_request: SettingsRequest, runs_dir: Path | None
) -> int:
    """Bring runs home as they go, until that is ended."""
    from taskexec.cluster.keeper import keep_collecting

    named = [find_run(run_id, settings_request, broker).run_id for run_id in run_ids]
    cluster = open_cluster(settings_request.load({"evidence.runs_dir": runs_dir}), broker)
    keep_collecting(cluster, named, tell=say)
    return 0
