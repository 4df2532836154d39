"""`tek status`, `logs` and `events`: looking at runs, finished or not."""

from __future__ import annotations

import contextlib
from typing import Any

import click

from taskexec.cli.options import SettingsRequest, output_option, settings_options
from taskexec.cli.output import Output, build_table, emit, say
from taskexec.cli.where import broker_option, find_run

__all__ = ["events", "logs", "status"]


@click.command()
@click.argument("run_id", metavar="[RUN]", default="last")
@broker_option
@settings_options
@output_option
def status(run_id: str, broker: str | None, settings_request: SettingsRequest, output: Output) -> int:
    """Show where a run stands: an id, the beginning of one, or `last`.

    Exit status: 0 it goes on or all succeeded, 1 a task failed, 130 it was cancelled.
    """
    from taskexec.cli.follow import end_lines, run_status_exit
    from taskexec.cluster.snapshot import take_snapshot

    place = find_run(run_id, settings_request, broker)
    summary = take_snapshot(place).summary
    emit(
        output,
        table=lambda: list(end_lines(summary, place.folder)),
        data=lambda: {
            "run_id": place.run_id,
            "status": summary["status"],
            "folder": str(place.folder),
            "counts": summary["counts"],
            "plan": summary["plan"],
            "submitted_at": summary["submitted_at"],
            "started": summary["started"],
            "ended": summary["ended"],
        },
        quiet=lambda: [summary["status"]],
    )
    return run_status_exit(summary["status"])


@click.command()
@click.argument("run_id", metavar="RUN")
@broker_option
@settings_options
@output_option
@click.option("--all", "with_all", is_flag=True, help="List every transition, as the ledger holds them.")
def events(run_id: str, broker: str | None, settings_request: SettingsRequest, output: Output, with_all: bool) -> None:
    """List the tasks of a run with status, times, attempts and worker."""
    from taskexec.cluster.snapshot import take_snapshot

    snapshot = take_snapshot(find_run(run_id, settings_request, broker), with_ledger=with_all)
    rows = snapshot.ledger if with_all else snapshot.events()
    columns = (
        ["seq", "at", "event", "task", "attempt", "worker", "reason"]
        if with_all
        else ["id", "status", "started_at", "finished_at", "attempts", "worker", "reason"]
    )
    emit(
        output,
        table=lambda: build_table(columns, (_cells(row, columns) for row in rows), keep={"id", "task"}),
        data=rows,
        quiet=lambda: (str(row.get("id") or row.get("seq")) for row in rows),
    )


def _cells(row: dict[str, Any], columns: list[str]) -> list[str]:
    return ["" if row.get(column) is None else str(row[column]) for column in columns]


@click.command()
@click.argument("run_id", metavar="RUN")
@click.argument("task_id", metavar="TASK")
@broker_option
@settings_options
@click.option("-f", "--follow", "is_followed", is_flag=True, help="Go on until the task has ended.")
@click.option("--attempt", type=click.IntRange(1), help="Number of the attempt; default: the last one.")
@click.option("--stream", type=click.Choice(["both", "stdout", "stderr"]), default="both", show_default=True)
def logs(
    run_id: str,
    task_id: str,
    broker: str | None,
    settings_request: SettingsRequest,
    is_followed: bool,
    attempt: int | None,
    stream: str,
) -> None:
    """Print what a task wrote: its standard output to stdout, its standard error to stderr.

    Of a task that was done before the run there is nothing to print, which is said on stderr.
    """
    from taskexec.cli.logs import print_logs

    place = find_run(run_id, settings_request, broker)
    streams = {"stdout.log", "stderr.log"} if stream == "both" else {f"{stream}.log"}
    with contextlib.suppress(KeyboardInterrupt):
        lack = print_logs(place, task_id, attempt=attempt, streams=streams, is_followed=is_followed)
        if lack is not None:
            say(f"task `{task_id}` {lack}")
