"""`tek replay`: the plan of a run is carried out again, and the first difference between both runs is named."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from taskexec.cli.options import SettingsRequest, output_option, settings_options
from taskexec.cli.output import Output, emit
from taskexec.cli.where import find_folder

if TYPE_CHECKING:
    from taskexec.cluster import Cluster
    from taskexec.completion.replay import Difference

__all__ = ["replay"]


@click.command()
@click.argument("run", metavar="[RUN|FOLDER]", default="last")
@settings_options
@output_option
@click.option(
    "--max-workers", "slots", type=click.IntRange(1, 4096), metavar="N", help="Tasks at once; default: one a core."
)
@click.option("--runs-dir", type=click.Path(path_type=Path), metavar="FOLDER", help="Where the new evidence goes.")
def replay(
    run: str, settings_request: SettingsRequest, output: Output, slots: int | None, runs_dir: Path | None
) -> int:
    """Carry out the plan of a run again, here, as a new run, and compare what came out.

    Compared are, task by task, how it ended, after how many failures of its own, and what it left: never times, places
    or workers. Exit status: 0 the same, 1 another outcome, 2 there is no such run, otherwise as tek run.
    """
    from taskexec.cli.follow import INTERRUPTED
    from taskexec.cli.local import carry_out_here, check_writable, how_here
    from taskexec.cluster import admit_locally
    from taskexec.completion.outline import read_outline
    from taskexec.completion.replay import first_difference, read_replay
    from taskexec.placement import measure_offer
    from taskexec.submission.submitter import stored_plan

    folder = find_folder(run, settings_request.load())
    settings = settings_request.load({"worker.concurrency": slots, "evidence.runs_dir": runs_dir})
    plan = stored_plan(folder)
    outline = read_outline(folder / "ledger.jsonl")
    capacity = measure_offer(settings.worker).capacity
    admit_locally(plan, capacity)
    check_writable(settings.evidence.runs_dir)
    signed_options = outline.head.get("options", {})

    here = how_here(settings, capacity)

    def begin(cluster: Cluster) -> str:
        is_dry_run = bool(outline.head.get("dry_run"))
        return cluster.submit(
            plan, dry_run=is_dry_run, fail_fast=bool(signed_options.get("fail_fast")), here=here
        ).run_id

    status, summary = carry_out_here(settings, capacity, begin, output=output, is_shown=False)
    if status == INTERRUPTED:
        return status
    again = settings.evidence.runs_dir / summary["run_id"]
    tasks = [{"id": task.id, "depends_on": task.depends_on} for task in plan.tasks]
    difference = first_difference(tasks, outline.replay, read_replay(again))
    _show(output, (outline.replay.hash(), summary["replay_hash"]), folder, again, difference)
    return 0 if difference is None else 1


def _show(output: Output, hashes: tuple[str, str], folder: Path, again: Path, difference: Difference | None) -> None:
    found: dict[str, Any] = {
        "same": difference is None,
        "run_id": folder.name,
        "replay": {"run_id": again.name, "folder": str(again)},
        "replay_hash": hashes[0],
        "replay_hash_again": hashes[1],
        "difference": None,
    }
    if difference is not None:
        found["difference"] = {
            "task": difference.task,
            "what": difference.what,
            "before": difference.one,
            "again": difference.other,
        }
    emit(output, table=lambda: _lines(found, again), data=found, quiet=[] if difference is None else [difference.task])


def _lines(found: dict[str, Any], again: Path) -> list[str]:
    difference = found["difference"]
    if difference is None:
        verdict = f"the same: replay hash {found['replay_hash']}"
    else:
        was, came = (_told(difference[side]) for side in ("before", "again"))
        verdict = f"task {difference['task']} came out differently: {difference['what']} was {was} and is now {came}"
    return [f"run {found['run_id']} and run {again.name}", verdict, f"evidence of the second: {again}"]


def _told(value: Any) -> str:
    return "nothing" if value is None else str(value)
