"""`tek runs`: listing the runs that are known, and what failed in them; `tek runs rm` forgets runs."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from taskexec.cli.options import SettingsRequest, output_option, settings_options
from taskexec.cli.output import Output, build_table, emit, say, shorten
from taskexec.cli.where import broker_option, find_run, open_cluster
from taskexec.cluster.places import RunPlace
from taskexec.domain.names import is_run_id
from taskexec.errors import ConnectionLost, EvidenceUnwritable, NotFound, TasksBusy, UsageError

if TYPE_CHECKING:
    from taskexec.settings import Settings

__all__ = ["runs"]

_STATE_OF_NONE = "nothing"


@click.group(invoke_without_command=True)
@broker_option
@settings_options
@output_option
@click.option("--failed", "is_failed", is_flag=True, help="List the tasks that used up their attempts instead.")
@click.pass_context
def runs(
    context: click.Context, broker: str | None, settings_request: SettingsRequest, output: Output, is_failed: bool
) -> None:
    """List the runs that the cluster knows, and those at home, newest first."""
    if context.invoked_subcommand is not None:
        return
    rows = sorted(_known_runs(broker, settings_request), key=lambda row: str(row["run_id"]), reverse=True)
    if is_failed:
        _show_failed(output, rows, settings_request, broker)
        return
    columns = ["run_id", "status", "submitted_at", "plan"]
    emit(
        output,
        table=lambda: build_table(columns, ([str(row[column]) for column in columns] for row in rows), keep={"run_id"}),
        data={"runs": [{name: row[name] for name in ("run_id", "plan", "status", "submitted_at")} for row in rows]},
        quiet=lambda: (row["run_id"] for row in rows),
    )


def _known_runs(broker: str | None, request: SettingsRequest) -> Iterator[dict[str, Any]]:
    """Yield every run that the server or a folder at home knows, with `ended`, None while it goes on."""
    from taskexec.domain.clock import iso_time

    settings = request.load()
    seen = set()
    try:
        cluster = open_cluster(settings, broker)
        for run_id in cluster.runs.listed():
            head = cluster.runs.head(run_id)
            seen.add(run_id)
            yield {
                "run_id": run_id,
                "plan": head.source,
                "status": head.status,
                "submitted_at": iso_time(head.submitted_at),
                "ended": None if head.finished_at is None else iso_time(head.finished_at),
            }
    except (UsageError, ConnectionLost):
        if broker is not None:
            raise
    for folder in settings.evidence.runs_dir.glob("*/run.json"):
        summary = RunPlace(folder.parent.name, folder.parent, None).home_summary()
        if summary is not None and folder.parent.name not in seen:
            yield {name: summary[name] for name in ("run_id", "plan", "status", "submitted_at", "ended")}


def _show_failed(output: Output, rows: Sequence[dict[str, Any]], request: SettingsRequest, broker: str | None) -> None:
    """Print the tasks that have failed for good in any run, with what has them tried again."""
    from taskexec.cluster.snapshot import take_snapshot

    failed = []
    for row in rows:
        if row["status"] not in {"failed", "running"}:
            continue
        for result in take_snapshot(find_run(row["run_id"], request, broker)).summary["results"]:
            if result["status"] == "failed":
                kept = {name: result[name] for name in ("task", "attempts", "reason", "error", "finished_at")}
                retry = ["tek", "retry", row["run_id"], result["task"]]
                failed.append({"run_id": row["run_id"], **kept, "retry": retry})
    columns = ["run_id", "task", "attempts", "reason", "error", "to try again"]
    emit(
        output,
        table=lambda: build_table(
            columns,
            (
                [
                    *(row["run_id"], row["task"], str(row["attempts"]), row["reason"] or ""),
                    *(shorten(row["error"] or "", 100), _shell_words(row["retry"])),
                ]
                for row in failed
            ),
            right={"attempts"},
            keep={"run_id", "task"},
        ),
        data={"failed": failed},
        quiet=lambda: (f"{row['run_id']} {row['task']}" for row in failed),
    )


def _shell_words(words: Sequence[str]) -> str:
    import shlex

    return shlex.join(words)


@runs.command()
@click.argument("run_ids", metavar="[RUN]...", nargs=-1)
@click.option("--older-than", metavar="TIME", help="All runs that ended longer ago, such as 7d or 12h.")
@click.option("--keep-evidence", is_flag=True, help="Leave the folder at home; only the server forgets the run.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@broker_option
@settings_options
@output_option
def rm(
    run_ids: tuple[str, ...],
    older_than: str | None,
    keep_evidence: bool,
    dry_run: bool,
    yes: bool,
    broker: str | None,
    settings_request: SettingsRequest,
    output: Output,
) -> None:
    """Remove runs that have ended: from the server, and their folders at home, by their ids.

    All are looked at before the first one is removed. Runs that go on are refused when they are named, and left out by
    --older-than; so is, with all others, one that somebody is bringing home. Large files that only this machine's spool
    still has go as well; those of other hosts go by themselves.
    """
    if bool(run_ids) == bool(older_than):
        raise UsageError("give either runs or --older-than", hint="such as `tek runs rm --older-than 7d --dry-run`")
    if older_than is not None:
        places = list(_old_runs(_seconds(older_than), settings_request, broker))
    else:
        places = list(
            {place.run_id: place for place in (_named(text, settings_request, broker) for text in run_ids)}.values()
        )
    _refuse_active(places)
    _refuse_folders(places, keep_evidence=keep_evidence)
    if not places:
        say("no run is that old")
    elif not dry_run and not yes:
        _confirm(places, keep_evidence=keep_evidence)
    settings = settings_request.load()
    done = [_remove(place, settings, keep_evidence=keep_evidence, is_tried=dry_run) for place in places]
    emit(
        output,
        table=lambda: (_told(row, is_tried=dry_run) for row in done),
        data={"removed": done, "dry_run": dry_run},
        quiet=lambda: (row["run_id"] for row in done),
    )


def _seconds(text: str) -> float:
    from taskexec.sources.values.durations import parse_duration_s

    try:
        return parse_duration_s(text)
    except ValueError as error:
        raise UsageError(f"`--older-than {text}` is no time: {error}") from error


def _named(text: str, request: SettingsRequest, broker: str | None) -> RunPlace:
    """Return the run that is meant, by its id; a folder that was begun and never finished will do."""
    if not is_run_id(text):
        hint = "runs are named by their ids, as `tek runs` lists them; folders elsewhere are removed by hand"
        raise NotFound(f"`{text}` is not the id of a run; nothing was removed", hint=hint)
    try:
        return find_run(text, request, broker)
    except NotFound:
        folder = request.load().evidence.runs_dir / text
        if not _is_of_a_run(folder):
            raise
        return RunPlace(text, folder, None)


def _old_runs(age_s: float, request: SettingsRequest, broker: str | None) -> Iterator[RunPlace]:
    before = datetime.fromtimestamp(time.time() - age_s, UTC)
    for row in _known_runs(broker, request):
        last = row["ended"] or (row["submitted_at"] if row["status"] == "pending" else None)
        if last is not None and datetime.fromisoformat(last) < before:
            yield find_run(row["run_id"], request, broker)


def _refuse_active(places: Sequence[RunPlace]) -> None:
    active = [place.run_id for place in places if place.cluster and place.run_id in place.cluster.runs.active()]
    if active:
        raise TasksBusy(f"run `{active[0]}` goes on; nothing was removed", hint="wait for its end, or stop it first")


def _is_of_a_run(folder: Path) -> bool:
    """Return whether we have made a folder: no link, and something in it that only we write."""
    is_folder = folder.is_dir() and not folder.is_symlink()
    return is_folder and any((folder / name).is_file() for name in ("journal.json", "ledger.jsonl"))


def _refuse_folders(places: Sequence[RunPlace], *, keep_evidence: bool) -> None:
    """Refuse all when a folder is not one of a run, or when somebody writes it.

    Raises:
        NotFound: Something else lies where a run's folder would.
        EvidenceUnwritable: Somebody is bringing a run home.
    """
    for place in places:
        is_to_go = not keep_evidence and os.path.lexists(place.folder)
        if not is_run_id(place.run_id) or (is_to_go and not _is_of_a_run(place.folder)):
            raise NotFound(
                f"`{place.folder}` is no folder of a run: neither journal.json nor ledger.jsonl is in it; nothing was "
                "removed",
                hint="remove it by hand; with --keep-evidence only the server forgets the run",
            )
        with _locked(place):
            pass


def _locked(place: RunPlace) -> AbstractContextManager[None]:
    from taskexec.completion.home import locked_folder

    return locked_folder(place.folder)


def _confirm(places: Sequence[RunPlace], *, keep_evidence: bool) -> None:
    """Ask whether it is meant.

    Raises:
        UsageError: Nobody can be asked.
        Abort: It is not.
    """
    if not sys.stdin.isatty():
        raise UsageError("removing runs asks first, and there is no terminal", hint="add --yes, or --dry-run to look")
    what = "from the server" if keep_evidence else "with all of their evidence"
    click.confirm(f"remove {len(places)} runs {what}?", abort=True, err=True)


def _remove(place: RunPlace, settings: Settings, *, keep_evidence: bool, is_tried: bool) -> dict[str, Any]:
    """Remove a run (or, if this is a trial, only look); return what was there and is gone."""
    from taskexec.cluster import local_spool

    is_known, has_folder = place.cluster is not None, place.folder.is_dir() and not keep_evidence
    if not is_tried:
        with _locked(place):  # whoever brings it home still needs what the server has of it
            if place.cluster is not None:
                is_known = place.cluster.runs.remove(place.run_id)
            if has_folder:
                _remove_folder(place.folder)
        local_spool(settings).remove(place.run_id)
    return {"run_id": place.run_id, "server": is_known, "folder": str(place.folder) if has_folder else None}


def _remove_folder(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise EvidenceUnwritable(f"`{folder}` cannot be removed as a whole: {error.strerror or error}") from error


def _told(row: dict[str, Any], *, is_tried: bool) -> str:
    where = [*(["the server"] if row["server"] else []), *([row["folder"]] if row["folder"] else [])]
    verb = "would be removed" if is_tried else "removed"
    return f"run {row['run_id']} {verb} from {' and '.join(where) or _STATE_OF_NONE}"
