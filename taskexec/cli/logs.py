"""Reading the output of one task: from its folder at home, or from the server while it runs."""

from __future__ import annotations

import json
import time
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from taskexec.cli.output import say
from taskexec.errors import ConnectionLost, NotFound

if TYPE_CHECKING:
    from taskexec.cluster.live_log import LiveLog
    from taskexec.cluster.places import RunPlace

__all__ = ["print_live", "print_logs"]

_WAIT_S = 0.2
_PAUSE_S = 0.5
_FINAL = {"succeeded", "failed", "skipped", "cancelled"}


def print_logs(
    place: RunPlace, task_id: str, *, attempt: int | None, streams: Collection[str], is_followed: bool
) -> str | None:
    """Print what a task wrote; return in words why there is nothing of it, None when an attempt was started.

    Args:
        place: The run.
        task_id: The task.
        attempt: Number of the attempt; None for the last one, and when following for all from then on.
        streams: `stdout.log`, `stderr.log` or both.
        is_followed: Go on until the task has ended, or the attempt if one is given; a server that does not answer is
            waited for.

    Raises:
        NotFound: The run has no such task.
        ConnectionLost: The server did not answer.
    """
    from taskexec.cluster.live_log import LiveLog
    from taskexec.cluster.snapshot import take_snapshot
    from taskexec.plan import evidence_folder

    snapshot = take_snapshot(place)
    tasks = snapshot.plan["tasks"]
    index = next((index for index, task in enumerate(tasks) if task["id"] == task_id), None)
    if index is None:
        raise NotFound(f"run `{place.run_id}` has no task `{task_id}`", hint="`tek events` lists its tasks")
    if tasks[index].get("satisfied"):
        return "was done before the run and was not executed"
    result = snapshot.summary["results"][index]
    first = attempt or int(result["attempts"])
    folder = place.folder / "tasks" / evidence_folder(task_id)
    home = folder / f"attempt-{first}"
    if home.is_dir() and (not is_followed or result["status"] in _FINAL):
        for name in sorted(streams):
            _write(name, (home / name).read_bytes())
        return None
    if place.cluster is not None:
        log = LiveLog(place.cluster.runs, place.run_id, index, first=first, last=attempt)
        attempts = range(max(first, 1), (attempt or 0) + 1)
        if print_live(log, streams, home=_Home(folder, index, attempts) if is_followed else None):
            return None
    return "has not started"


class _Home:
    """The folder of a task at home, for when the server has ended with the run."""

    def __init__(self, folder: Path, index: int, attempts: range) -> None:
        """Begin with the attempts that are meant; when there is none, all from its start on."""
        self._folder = folder
        self._index = index
        self._attempts = attempts

    def print_rest(self, log: LiveLog, streams: Collection[str]) -> bool:
        """Print what is left of a log, if the run has ended; return whether it has."""
        summary: dict[str, Any] = {}
        try:
            summary = json.loads((self._folder.parents[1] / "run.json").read_text())
        except (OSError, ValueError):
            return False
        if summary.get("ended") is None:
            return False
        attempts = self._attempts or range(self._attempts.start, int(summary["results"][self._index]["attempts"]) + 1)
        for attempt in attempts:
            for name in sorted(streams):
                path = self._folder / f"attempt-{attempt}" / name
                if path.is_file():
                    _write(name, path.read_bytes()[log.read_bytes(attempt, name) :])
        return True


def print_live(log: LiveLog, streams: Collection[str], *, home: _Home | None = None) -> bool:
    """Print what there is of a log; return whether an attempt that is meant has started.

    Args:
        log: The log.
        streams: Names of the streams to print.
        home: The task's folder; following goes on until the end, and is told there when the server has ended
            with the run. None: print what there is now.
    """
    is_lost = False
    while True:
        try:
            for piece in log.read(wait_s=0.0 if home is None else _WAIT_S):
                if piece.stream in streams:
                    _write(piece.stream, piece.data)
            is_lost = False
        except ConnectionLost as error:
            if home is None:
                raise
            if home.print_rest(log, streams):
                return True
            if not is_lost:
                say(f"{error.message}; waiting for it")
            is_lost = True
            time.sleep(_PAUSE_S)
            continue
        if log.has_ended or (home is None and log.is_up_to_date):
            return log.has_started


def _write(name: str, data: bytes) -> None:
    click.echo(data, nl=False, err=name == "stderr.log")
