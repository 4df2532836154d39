"""Reading the output of one task: from its folder at home, or from the server while it runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection

import click

from taskexec.cli.snapshot import Snapshot, take_snapshot
from taskexec.cli.where import RunPlace
from taskexec.errors import NotFound

__all__ = ["LogReader"]

_PAUSE_S = 0.2


class LogReader:
    """Prints the output of one attempt of a task, or of all as they follow one another."""

    def __init__(self, place: RunPlace, task_id: str, attempt: int | None, streams: Collection[str]) -> None:
        """Find the task.

        Raises:
            NotFound: The run has no such task.
        """
        self._place = place
        self._attempt = attempt
        self._streams = streams
        snapshot = take_snapshot(place)
        ids = [task["id"] for task in snapshot.plan["tasks"]]
        if task_id not in ids:
            raise NotFound(f"run `{place.run_id}` has no task `{task_id}`", hint="`tek events` lists its tasks")
        self._index = ids.index(task_id)
        self._folder = snapshot.plan.get("folders", {}).get(task_id, task_id)
        self._first = snapshot

    def print_all(self, *, is_followed: bool) -> bool:
        """Print the output; with `is_followed` until the task has ended. Return whether there was an attempt."""
        attempt = self._attempt or int(self._result(self._first)["attempts"])
        home = self._place.folder / "tasks" / self._folder / f"attempt-{attempt}"
        if home.is_dir():
            for name in sorted(self._streams):
                _write(name, (home / name).read_bytes())
            return True
        if self._place.cluster is None:
            return False
        return self._print_from_server(attempt, is_followed=is_followed)

    def _print_from_server(self, attempt: int, *, is_followed: bool) -> bool:
        from taskexec.completion.evidence import decode_inline
        from taskexec.completion.ledger import split_record
        from taskexec.domain.events import TransitionKind, parse_entry

        assert self._place.cluster is not None
        store, run_id = self._place.cluster.runs, self._place.run_id
        ends = {TransitionKind.SUCCEEDED, TransitionKind.FAILED, TransitionKind.TRIED, TransitionKind.LOST}
        log_at = output_at = "0"
        has_started = has_ended = False
        while True:
            # the log first: what an attempt wrote precedes its end in time
            entries = store.read_log(run_id, log_at)
            while chunks := store.read_output(run_id, output_at):
                for id_, fields in chunks:
                    output_at = id_
                    if int(fields["i"]) == self._index and (attempt == 0 or int(fields["a"]) == attempt):
                        has_started = True
                        _write(fields["f"].decode(), fields["d"], self._streams)
            for entry in entries:
                log_at = entry.id
                for transition in parse_entry(entry):
                    if transition.index != self._index:
                        has_ended = has_ended or transition.kind is TransitionKind.ENDED
                        continue
                    has_started = has_started or transition.kind is TransitionKind.RUNNING
                    if transition.kind in ends and attempt in {0, transition.attempt}:
                        for name, value in split_record(transition.detail)[1].items():
                            _write(name, decode_inline(value), self._streams)
                        has_ended = has_ended or transition.kind in {TransitionKind.SUCCEEDED, TransitionKind.FAILED}
                    has_ended = has_ended or transition.kind in {TransitionKind.SKIPPED, TransitionKind.CANCELLED}
            if has_ended or (not is_followed and not entries):
                return has_started
            if not entries:
                time.sleep(_PAUSE_S)

    def _result(self, snapshot: Snapshot) -> dict[str, object]:
        found: dict[str, object] = snapshot.summary["results"][self._index]
        return found


def _write(name: str, data: bytes, streams: Collection[str] = ("stdout.log", "stderr.log")) -> None:
    if name not in streams:
        return
    stream = click.get_binary_stream("stdout") if name == "stdout.log" else sys.stderr.buffer
    stream.write(data)
    stream.flush()
