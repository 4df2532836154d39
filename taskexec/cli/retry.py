"""`tek retry`: tasks of a run run again in place, and a run whose server is gone is taken up again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from taskexec.cli.options import SettingsRequest, output_option, settings_options
from taskexec.cli.output import Output, emit, say
from taskexec.cli.where import broker_option, find_run, open_cluster
from taskexec.cluster.places import RunPlace
from taskexec.domain.states import FINAL_TASK_STATUSES, RunStatus

if TYPE_CHECKING:
    from taskexec.cluster import Cluster

__all__ = ["retry"]


@click.command()
@click.argument("run_id", metavar="RUN")
@click.argument("names", metavar="[TASK]...", nargs=-1)
@broker_option
@settings_options
@output_option
@click.option("--failed", "takes_failed", is_flag=True, help="All that failed, was skipped or cancelled (the default).")
@click.option("--from", "origins", multiple=True, metavar="TASK", help="A task and all that depends on it; repeatable.")
@click.option("--wait", "is_waited", is_flag=True, help="Follow the run to its end and bring its evidence home.")
@click.option("--runs-dir", type=click.Path(path_type=Path), metavar="FOLDER", help="Where its evidence is.")
def retry(
    run_id: str,
    names: tuple[str, ...],
    broker: str | None,
    settings_request: SettingsRequest,
    output: Output,
    takes_failed: bool,
    origins: tuple[str, ...],
    is_waited: bool,
    runs_dir: Path | None,
) -> int:
    """Have tasks of a run run again, in the same run, and all that depends on them; what else succeeded stands.

    Without tasks: what failed, was skipped or cancelled. A run that its server has lost, or that `tek run` was killed
    in, goes on from its folder: what has ended with its evidence at home stands, the rest runs.

    Exit status without --wait: 0 they wait again; otherwise, and for a run that is carried out here, as `tek run`.
    """
    from taskexec.submission import refusals_with_names, tasks_to_retry

    request = settings_request.with_overrides({"evidence.runs_dir": runs_dir})
    place = find_run(run_id, request, broker, needs_summary=False)
    tasks, statuses = _tasks_of(place)
    named = [*names, *origins]
    again = tasks_to_retry(
        place.run_id,
        dict(zip(tasks, statuses, strict=True)),
        named,
        with_unfinished=takes_failed or not named,
        hint="`tek events` lists its tasks",
    )
    if not again and all(status in FINAL_TASK_STATUSES for status in statuses):
        say(f"run {place.run_id} has nothing to retry: every task succeeded")
        return 0
    why = "tek retry"
    with refusals_with_names(tasks):
        if place.cluster is not None:
            found = place.cluster.submitter.run_again(place.run_id, again, why=why)
            return _go_on(place.cluster, place, [tasks[index] for index in found], output, is_waited=is_waited)
        return _take_up(place, request, broker, again, output, is_waited=is_waited)


def _tasks_of(place: RunPlace) -> tuple[list[str], list[str]]:
    """Return the ids and the statuses of a run's tasks, in plan order."""
    from taskexec.cluster.snapshot import take_snapshot

    if place.cluster is None:  # the summary may be older than the ledger, or not be there at all
        from taskexec.submission import FormerLife, Journal

        journal = Journal.read(place.folder)
        plan = json.loads(journal.plan_json)
        former = FormerLife(place.folder, plan, taken=journal.taken)
        return [task["id"] for task in plan["tasks"]], former.statuses()
    results = take_snapshot(place).summary["results"]
    return [result["task"] for result in results], [result["status"] for result in results]


def _take_up(
    place: RunPlace,
    request: SettingsRequest,
    broker: str | None,
    again: Sequence[int],
    output: Output,
    *,
    is_waited: bool,
) -> int:
    """Go on with a run that no server knows, where it was carried out before: here, or on the cluster."""
    from taskexec.cli.local import carry_out_here
    from taskexec.placement import measure_offer
    from taskexec.submission import Journal

    settings = request.load()
    why = "tek retry"
    here = Journal.read(place.folder).here
    if here is not None and broker is None:

        def begin(cluster: Cluster) -> str:
            cluster.submitter.take_up(place.run_id, again=again, why=why)
            return place.run_id

        settings = request.load({"worker.project_dir": here.project_dir})  # as when it was submitted
        slots = settings.worker.concurrency or here.slots
        capacity = measure_offer(settings.worker.model_copy(update={"concurrency": slots})).capacity
        return carry_out_here(settings, capacity, begin, output=output)[0]
    cluster = open_cluster(settings, broker)
    cluster.submitter.take_up(place.run_id, again=again, why=why)
    return _go_on(cluster, place, None, output, is_waited=is_waited)


def _go_on(cluster: Cluster, place: RunPlace, tasks: Sequence[str] | None, output: Output, *, is_waited: bool) -> int:
    from taskexec.cli.submit import collect_to_end

    if is_waited:
        return collect_to_end(cluster, place.run_id, output)
    head = cluster.runs.head(place.run_id)
    told = "goes on" if tasks is None else f"{len(tasks):,} tasks wait again"
    data: dict[str, Any] = {
        "run_id": place.run_id,
        "status": str(RunStatus(head.status)),
        "folder": str(place.folder),
        "left": head.left,
        "again": None if tasks is None else list(tasks),
    }
    emit(output, table=lambda: f"run {place.run_id}: {told}, {head.left:,} left", data=data, quiet=[place.run_id])
    if output is Output.TABLE:
        say(f"follow it with `tek watch {place.run_id}`, bring its evidence home with `tek collect {place.run_id}`")
    return 0
