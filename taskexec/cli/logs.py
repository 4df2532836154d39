"""Reading the output of one task: from its folder at home, or from the server while it runs."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from taskexec.cli.output import say
from taskexec.cli.snapshot import take_snapshot
from taskexec.cli.where import RunPlace
from taskexec.errors import ConnectionLost, NotFound

if TYPE_CHECKING:
    from taskexec.domain.events import LogEntry, Transition
    from taskexec.store.runs import RedisRunStore

__all__ = ["LiveLog", "print_logs"]

_WAIT_S = 0.2
_PAUSE_S = 0.5
_MARGIN_MS = 1000
"""Chunks are looked for from so long before their attempt was claimed: two clocks readings of one server."""
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
        live = LiveLog(place.cluster.runs, place.run_id, index, first=first, last=attempt)
        if live.print_all(streams, home=folder if is_followed else None):
            return None
    return "has not started"


class LiveLog:
    """The output of a task as the server holds it: chunks of what is long, and the rest with the attempt's end.

    Chunks of all tasks are in one stream. Only those are read that came since the first attempt that is meant was
    claimed, each once.
    """

    def __init__(self, store: RedisRunStore, run_id: str, index: int, *, first: int, last: int | None) -> None:
        """Begin at an attempt.

        Args:
            store: The run's server.
            run_id: The run.
            index: The task.
            first: The attempt; 0 is the first one.
            last: The last attempt to print; None goes on with those that follow.
        """
        self._store = store
        self._run_id = run_id
        self._index = index
        self._first = max(first, 1)
        self._last = last
        self._printed: dict[tuple[int, str], int] = {}
        self._held: list[Mapping[str, bytes]] = []
        self._current = 0
        self._log_at = "0"
        self._output_at: str | None = None
        self._has_ended = False

    def print_all(self, streams: Collection[str], *, home: Path | None) -> bool:
        """Print what there is; return whether an attempt that is meant has started.

        Args:
            streams: Names of the streams to print.
            home: The task's folder; following goes on until the end, and is told there when the server has ended
                with the run. None: print what there is now.
        """
        is_lost = False
        while True:
            try:
                entries = self._read(streams, wait_s=0.0 if home is None else _WAIT_S)
                is_lost = False
            except ConnectionLost as error:
                if home is None:
                    raise
                if self._print_home(home, streams):
                    return True
                if not is_lost:
                    say(f"{error.message}; waiting for it")
                is_lost = True
                time.sleep(_PAUSE_S)
                continue
            if self._has_ended or (home is None and not entries):
                return self._output_at is not None

    def _read(self, streams: Collection[str], *, wait_s: float) -> list[LogEntry]:
        """Print what is new; return the log entries that were."""
        if self._output_at is None:
            entries = self._store.read_log(self._run_id, self._log_at, wait_s=wait_s)
        else:
            # the log is read first: what an attempt wrote was sent before its end was logged
            entries = self._store.read_log(self._run_id, self._log_at)
        self._find_start(entries)
        self._take_chunks(streams, wait_s=0.0 if entries else wait_s)
        for entry in entries:
            self._log_at = entry.id
            self._take(entry, streams)
        return entries

    def _find_start(self, entries: list[LogEntry]) -> None:
        from taskexec.domain.events import TransitionKind, parse_entry

        if self._output_at is not None:
            return
        for entry in entries:
            for transition in parse_entry(entry):
                is_ours = transition.index == self._index and self._is_meant(transition.attempt)
                if is_ours and transition.kind is TransitionKind.RUNNING:
                    self._output_at = f"{max(entry.at_us // 1000 - _MARGIN_MS, 0)}-0"
                    return

    def _is_meant(self, attempt: int) -> bool:
        return attempt >= self._first and (self._last is None or attempt <= self._last)

    def _take_chunks(self, streams: Collection[str], *, wait_s: float) -> None:
        """Print the chunks of the attempt that runs; those of a later one wait for the end of the one before."""
        if self._output_at is None:
            return
        while chunks := self._store.read_output(self._run_id, self._output_at, wait_s=wait_s):
            wait_s = 0.0
            for id_, fields in chunks:
                self._output_at = id_
                if int(fields["i"]) == self._index and self._is_meant(int(fields["a"])):
                    self._held.append(fields)
            self._print_held(streams)

    def _print_held(self, streams: Collection[str]) -> None:
        later = []
        for fields in self._held:
            attempt, name = int(fields["a"]), fields["f"].decode(errors="replace")
            if attempt > self._current:
                later.append(fields)
            elif name in streams and int(fields["o"]) == self._printed.get((attempt, name), 0):  # may be sent twice
                self._print(attempt, name, fields["d"])
        self._held = later

    def _take(self, entry: LogEntry, streams: Collection[str]) -> None:
        from taskexec.domain.events import TransitionKind, parse_entry

        for transition in parse_entry(entry):
            if transition.kind is TransitionKind.ENDED:
                self._has_ended = True
            if transition.index != self._index:
                continue
            if transition.kind is TransitionKind.RUNNING:
                self._current = transition.attempt
                self._print_held(streams)
            elif self._is_meant(transition.attempt):
                self._print_inline(transition, streams)
            if transition.kind.value in _FINAL:
                self._has_ended = True

    def _print_inline(self, transition: Transition, streams: Collection[str]) -> None:
        from taskexec.completion.evidence import decode_inline
        from taskexec.completion.ledger import split_record
        from taskexec.domain.events import TransitionKind

        with_output = {TransitionKind.SUCCEEDED, TransitionKind.FAILED, TransitionKind.TRIED, TransitionKind.LOST}
        if transition.kind in with_output:
            for name, value in split_record(transition.detail)[1].items() if transition.detail else ():
                if name in streams:
                    self._print(transition.attempt, name, decode_inline(value))
            self._has_ended = self._has_ended or transition.attempt == self._last

    def _print(self, attempt: int, name: str, data: bytes) -> None:
        self._printed[attempt, name] = self._printed.get((attempt, name), 0) + len(data)
        _write(name, data)

    def _print_home(self, folder: Path, streams: Collection[str]) -> bool:
        """Print what is left from the folder at home, if the run has ended there; return whether it has."""
        summary: dict[str, Any] = {}
        try:
            summary = json.loads((folder.parents[1] / "run.json").read_text())
        except (OSError, ValueError):
            return False
        if summary.get("ended") is None:
            return False
        for attempt in range(self._first, (self._last or int(summary["results"][self._index]["attempts"])) + 1):
            for name in sorted(streams):
                path = folder / f"attempt-{attempt}" / name
                if path.is_file():
                    self._print(attempt, name, path.read_bytes()[self._printed.get((attempt, name), 0) :])
        return True


def _write(name: str, data: bytes) -> None:
    click.echo(data, nl=False, err=name == "stderr.log")
