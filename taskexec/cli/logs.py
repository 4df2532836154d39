"""Reading the output of one task: from its folder at home, or from the server while it runs."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import TYPE_CHECKING

import click

from taskexec.cli.snapshot import take_snapshot
from taskexec.cli.where import RunPlace
from taskexec.errors import NotFound

if TYPE_CHECKING:
    from taskexec.domain.events import LogEntry, Transition
    from taskexec.store.runs import RedisRunStore

__all__ = ["print_logs"]

_PAUSE_S = 0.2


def print_logs(
    place: RunPlace, task_id: str, *, attempt: int | None, streams: Collection[str], is_followed: bool
) -> str | None:
    """Print what a task wrote; return in words why there is nothing of it, None when an attempt was started.

    Args:
        place: The run.
        task_id: The task.
        attempt: Number of the attempt; None for the last one, and when following for all from then on.
        streams: `stdout.log`, `stderr.log` or both.
        is_followed: Go on until the task has ended.

    Raises:
        NotFound: The run has no such task.
        ConnectionLost: The server did not answer.
    """
    snapshot = take_snapshot(place)
    tasks = snapshot.plan["tasks"]
    index = next((index for index, task in enumerate(tasks) if task["id"] == task_id), None)
    if index is None:
        raise NotFound(f"run `{place.run_id}` has no task `{task_id}`", hint="`tek events` lists its tasks")
    if tasks[index].get("satisfied"):
        return "was done before the run and was not executed"
    number = attempt or int(snapshot.summary["results"][index]["attempts"])
    folder = snapshot.plan.get("folders", {}).get(task_id, task_id)
    home = place.folder / "tasks" / folder / f"attempt-{number}"
    if home.is_dir():
        for name in sorted(streams):
            _write(name, (home / name).read_bytes())
        return None
    if place.cluster is not None:
        live = _LiveLog(place.cluster.runs, place.run_id, index, number)
        if live.print_all(streams, is_followed=is_followed):
            return None
    return "has not started"


class _LiveLog:
    """The output of a task as the server holds it: chunks of what is long, and the rest with the attempt's end."""

    def __init__(self, store: RedisRunStore, run_id: str, index: int, attempt: int) -> None:
        self._store = store
        self._run_id = run_id
        self._index = index
        self._attempt = attempt
        self._printed: dict[tuple[int, str], int] = {}
        self._log_at = self._output_at = "0"
        self._has_started = self._has_ended = False

    def print_all(self, streams: Collection[str], *, is_followed: bool) -> bool:
        while True:
            # the log is read first: what an attempt wrote was sent before its end was logged
            entries = self._store.read_log(self._run_id, self._log_at)
            self._print_chunks(streams)
            for entry in entries:
                self._log_at = entry.id
                self._take(entry, streams)
            if self._has_ended or (not is_followed and not entries):
                return self._has_started
            if not entries:
                time.sleep(_PAUSE_S)

    def _is_meant(self, attempt: int) -> bool:
        return self._attempt in {0, attempt}

    def _print_chunks(self, streams: Collection[str]) -> None:
        while chunks := self._store.read_output(self._run_id, self._output_at):
            for id_, fields in chunks:
                self._output_at = id_
                attempt, name = int(fields["a"]), fields["f"].decode()
                if int(fields["i"]) != self._index or not self._is_meant(attempt) or name not in streams:
                    continue
                self._has_started = True
                if int(fields["o"]) == self._printed.get((attempt, name), 0):  # a chunk may have been sent twice
                    self._printed[attempt, name] = int(fields["o"]) + len(fields["d"])
                    _write(name, fields["d"])

    def _take(self, entry: LogEntry, streams: Collection[str]) -> None:
        from taskexec.domain.events import TransitionKind, parse_entry

        for transition in parse_entry(entry):
            if transition.kind is TransitionKind.ENDED:
                self._has_ended = True
            if transition.index != self._index:
                continue
            if transition.kind is TransitionKind.RUNNING:
                self._has_started = True
            elif self._is_meant(transition.attempt):
                self._print_inline(transition, streams)
            final = {TransitionKind.SUCCEEDED, TransitionKind.FAILED, TransitionKind.SKIPPED, TransitionKind.CANCELLED}
            if transition.kind in final:
                self._has_ended = True

    def _print_inline(self, transition: Transition, streams: Collection[str]) -> None:
        from taskexec.completion.evidence import decode_inline
        from taskexec.completion.ledger import split_record
        from taskexec.domain.events import TransitionKind

        with_output = {TransitionKind.SUCCEEDED, TransitionKind.FAILED, TransitionKind.TRIED, TransitionKind.LOST}
        if transition.kind in with_output and transition.detail:
            for name, value in split_record(transition.detail)[1].items():
                if name in streams:
                    _write(name, decode_inline(value))


def _write(name: str, data: bytes) -> None:
    click.echo(data, nl=False, err=name == "stderr.log")
