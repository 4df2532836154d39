"""The way to a cluster without an API: its server, and the folders of runs at home."""

from __future__ import annotations

import codecs
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from taskexec.client.patience import Away, Patience
from taskexec.client.values import Change, LogChunk, SubmitOptions, TaskChange
from taskexec.domain.clock import iso_time
from taskexec.domain.states import FINAL_RUN_STATUSES, TaskStatus
from taskexec.errors import ConnectionLost, NotFound

if TYPE_CHECKING:
    from taskexec.cluster import Cluster
    from taskexec.cluster.live_log import LiveLog, LogPiece
    from taskexec.cluster.places import RunPlace
    from taskexec.domain.events import LogEntry
    from taskexec.observability.timeline import AttemptSpan, RunTimeline
    from taskexec.plan import Plan
    from taskexec.settings import Settings

__all__ = ["DirectDoor"]

_WAIT_S = 0.5
_WITH_RECORD = {"succeeded", "failed", "lost"}


class DirectDoor:
    """See `Door`. Runs are found as `tek` finds them: on the server, else in their folders."""

    def __init__(self, settings: Settings, url: str | None) -> None:
        """Connect to a server; None takes the one that `tek` would find."""
        from taskexec.cluster.places import open_cluster

        self.cluster: Cluster = open_cluster(settings, url)
        self._settings = self.cluster.settings

    def check(self, plan: Plan) -> Mapping[str, Any]:
        """See `Door`."""
        from taskexec.plan import plan_shown

        return plan_shown(plan)

    def submit(self, plan: Plan, options: SubmitOptions) -> str:
        """See `Door`."""
        self.cluster.admit(plan, wait_for_workers=options.wait_for_workers)
        said = {"tag": options.tag, "weight": options.weight, "timeout_s": options.timeout_s}
        run = self._settings.run.model_copy(update={name: value for name, value in said.items() if value is not None})
        return self.cluster.submit(
            plan, dry_run=options.dry_run, fail_fast=options.fail_fast, key=options.key, run=run
        ).run_id

    def runs(self, limit: int | None) -> Iterator[Mapping[str, Any]]:
        """See `Door`."""
        at_home = {path.parent.name for path in self._settings.evidence.runs_dir.glob("*/run.json")}
        known = sorted(at_home | set(self.cluster.runs.listed()), reverse=True)
        for run_id in known[:limit]:
            with contextlib.suppress(NotFound):
                yield self._line(self._place(run_id))

    def run(self, run_id: str, *, patience: Patience | None = None) -> Mapping[str, Any]:
        """See `Door`."""
        if patience is not None:
            return patience.call(lambda: self._line(self._place(run_id)))
        return self._line(self._place(run_id))

    def tasks(self, run_id: str) -> Iterator[Mapping[str, Any]]:
        """See `Door`."""
        timeline = self._timeline(run_id)
        for index in range(len(timeline.spans)):
            yield _task_row(timeline, index)

    def task(self, run_id: str, task: str) -> Mapping[str, Any]:
        """See `Door`."""
        place, timeline = self._place(run_id), self._timeline(run_id)
        index = _find(run_id, timeline, task)
        attempts = timeline.spans[index].attempts
        records = {}
        if any(attempt.outcome in _WITH_RECORD for attempt in attempts):
            records = {number: record for at, number, record in self._records(place, timeline, index) if at == index}
        tries = [_try_row(attempt, records.get(attempt.number, {})) for attempt in attempts]
        return {**_task_row(timeline, index), "tries": tries}

    def results(self, run_id: str) -> Iterator[tuple[str, Any]]:
        """See `Door`."""
        place, timeline = self._place(run_id), self._timeline(run_id)
        wanted = {
            index: span.last.number
            for index, span in enumerate(timeline.spans)
            if span.status is TaskStatus.SUCCEEDED and span.last is not None
        }
        for index, number, record in self._records(place, timeline):
            if wanted.get(index) == number and "result" in record:
                yield timeline.ids[index], record["result"]

    def read_file(self, run_id: str, task: str, attempt: int, name: str) -> bytes:
        """See `Door`; the run is brought home first, as `tek collect` does."""
        from taskexec.completion.names import RESULT, find_evidence
        from taskexec.completion.outline import attempt_folder

        place = self._place(run_id)
        summary = place.home_summary()
        if place.cluster is not None and (summary is None or summary["ended"] is None):
            self._bring_home(run_id)
        folder = attempt_folder(place.folder, task, attempt)
        path = folder / RESULT if name == RESULT else find_evidence(folder, name)
        if path is None or not path.is_file():
            raise NotFound(f"attempt {attempt} of task `{task}` has left no file `{name}`")
        return path.read_bytes()

    def log(self, run_id: str, task: str, *, attempt: int | None, follow: bool) -> Iterator[LogChunk]:
        """See `Door`."""
        from taskexec.cluster.live_log import LiveLog

        place, timeline = self._place(run_id), self._timeline(run_id)
        index = _find(run_id, timeline, task)
        last = timeline.spans[index].last
        number = attempt or (last.number if last is not None else 1)
        if place.cluster is None:
            yield from _home_log(place.folder, task, number)
            return
        decoders: dict[tuple[int, str], codecs.IncrementalDecoder] = {}
        log = LiveLog(self.cluster.runs, run_id, index, first=number, last=attempt if follow else number)
        patience = Patience(was_there=True)
        while True:
            for piece in self._read_log(log, patience, wait_s=_WAIT_S if follow else 0.0):
                stream = piece.stream.removesuffix(".log")
                decoder = decoders.setdefault(
                    (piece.attempt, stream), codecs.getincrementaldecoder("utf-8")(errors="replace")
                )
                if text := decoder.decode(piece.data):
                    yield LogChunk(piece.attempt, stream, text)
            if log.has_ended or (log.is_up_to_date and not follow):
                break
        for (at, stream), decoder in decoders.items():
            if text := decoder.decode(b"", final=True):
                yield LogChunk(at, stream, text)

    def _read_log(self, log: LiveLog, patience: Patience, *, wait_s: float) -> Iterator[LogPiece]:
        """Yield what is new in a task's log; with `wait_s` a server that is away for a while is waited for."""
        try:
            yield from log.read(wait_s=wait_s)
        except ConnectionLost as error:
            if not wait_s:
                raise
            patience.bear(Away(error))
        else:
            patience.went_on()

    def events(self, run_id: str, *, after: str | None, until: float | None) -> Iterator[Change]:
        """See `Door`; of a run that only its folder knows there is one change.

        Raises:
            NotFound: It has not ended, and only its folder knows it.
        """
        from taskexec.observability.timeline import RunTimeline

        patience = Patience(until=until, was_there=True)
        place = patience.call(lambda: self._place(run_id))
        if place.cluster is None:
            yield self._last_change(run_id)
            return
        timeline = RunTimeline(patience.call(lambda: _plan_of(place)))
        is_known = after is None
        while not patience.is_over:
            try:
                entries = _news(place.cluster, run_id, timeline.last_id, patience.left_s(_WAIT_S))
            except ConnectionLost as error:
                patience.bear(Away(error))
                continue
            patience.went_on()
            cut = len(entries) if not is_known and after is not None else 0
            if cut:
                cut = sum(_order(entry.id) <= _order(after or "0") for entry in entries)
                timeline.apply(entries[:cut])
                is_known = cut < len(entries)
            if entries[cut:]:
                yield _change(timeline, timeline.apply(entries[cut:]))
            if timeline.view.is_final and not entries[cut:]:
                return

    def _last_change(self, run_id: str) -> Change:
        timeline = self._timeline(run_id)
        if not timeline.view.is_final:
            raise _forgotten(run_id)
        return _change(timeline, range(len(timeline.spans)))

    def stop(self, run_id: str, *, kill: bool) -> None:
        """See `Door`."""
        self._on_server(run_id).runs.stop(run_id, kill=kill)

    def retry(self, run_id: str, tasks: Sequence[str] | None) -> Sequence[str]:
        """See `Door`."""
        from taskexec.submission import refusals_with_names, tasks_to_retry

        cluster, timeline = self._on_server(run_id), self._timeline(run_id)
        again = tasks_to_retry(
            run_id,
            {task: span.status for task, span in zip(timeline.ids, timeline.spans, strict=True)},
            tasks or (),
            with_unfinished=tasks is None,
            hint="`tasks()` lists its tasks",
        )
        with refusals_with_names(timeline.ids):
            found = cluster.submitter.run_again(run_id, again, why="taskexec.Client") if again else []
        return [timeline.ids[index] for index in found]

    def workers(self) -> Sequence[Mapping[str, Any]]:
        """See `Door`."""
        return self.cluster.workers.listed()

    def close(self) -> None:
        """See `Door`."""
        self.cluster.connection.close()

    def _place(self, run_id: str) -> RunPlace:
        from taskexec.cluster.places import RunPlace
        from taskexec.domain.names import is_run_id

        folder = self._settings.evidence.runs_dir / run_id
        if is_run_id(run_id):
            with contextlib.suppress(NotFound):
                self.cluster.runs.head(run_id)
                return RunPlace(run_id, folder, self.cluster)
            place = RunPlace(run_id, folder, None)
            if place.home_summary() is not None:
                return place
        raise NotFound(f"there is no run `{run_id}`", hint="`runs()` lists the runs")

    def _on_server(self, run_id: str) -> Cluster:
        place = self._place(run_id)
        if place.cluster is None:
            raise _forgotten(run_id)
        return place.cluster

    def _timeline(self, run_id: str) -> RunTimeline:
        from taskexec.cluster.histories import read_timeline

        return read_timeline(self._place(run_id))

    def _line(self, place: RunPlace) -> Mapping[str, Any]:
        from taskexec.store.run_lines import RedisRunLines

        lines = {} if place.cluster is None else RedisRunLines(place.cluster.connection).lines([place.run_id])
        line = lines.get(place.run_id)
        if line is None:
            summary = place.home_summary()
            if summary is None:
                raise NotFound(f"there is no run `{place.run_id}`")
            counts = summary["counts"]
            return {"user": "", "tag": "", **summary, "counts": counts, "tasks": sum(counts.values())}
        head = line.head
        timeline = self._timeline(place.run_id)
        return {
            "run_id": head.run_id,
            "plan": head.source,
            "status": head.status,
            "counts": timeline.view.tally(),
            "tasks": head.tasks,
            "dry_run": head.dry_run,
            "submitted_at": iso_time(head.submitted_at),
            "started": None if head.started_at is None else iso_time(head.started_at),
            "ended": None if head.finished_at is None else iso_time(head.finished_at),
            "user": line.user,
            "tag": line.tag,
        }

    def _records(
        self, place: RunPlace, timeline: RunTimeline, only: int | None = None
    ) -> Iterator[tuple[int, int, Mapping[str, Any]]]:
        """Yield task, attempt and record of the attempts that have ended, of all tasks or of one."""
        if place.cluster is None:
            yield from _records_at_home(place.folder, timeline, only)
            return
        after = "0"
        while entries := place.cluster.runs.read_log(place.run_id, after):
            after = entries[-1].id
            for entry in entries:
                yield from _records_of(entry, only)

    def _bring_home(self, run_id: str) -> None:
        with contextlib.closing(self.cluster.collector(run_id)) as collector:
            while not collector.step(wait_s=0.0) and self.run(run_id)["status"] in FINAL_RUN_STATUSES:
                pass
            collector.finish()


def _forgotten(run_id: str) -> NotFound:
    return NotFound(f"the server does not know run `{run_id}` any more", hint=f"`tek retry {run_id}` goes on with it")


def _news(cluster: Cluster, run_id: str, after: str, wait_s: float) -> list[LogEntry]:
    """Return what is new in the log of a run.

    Raises:
        NotFound: Nothing is, and there is no such run: it was removed, or its server came back empty.
        ConnectionLost: The server did not answer.
    """
    entries = cluster.runs.read_log(run_id, after, wait_s=wait_s)
    if not entries:
        cluster.runs.head(run_id)
    return entries


def _order(entry_id: str) -> tuple[int, int]:
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds or 0), int(number or 0)


def _plan_of(place: RunPlace) -> Mapping[str, Any]:
    import zlib

    assert place.cluster is not None
    plan: Mapping[str, Any] = orjson.loads(zlib.decompress(place.cluster.runs.documents(place.run_id)[0]))
    return plan


def _find(run_id: str, timeline: RunTimeline, task: str) -> int:
    if task not in timeline.index_of:
        raise NotFound(f"run `{run_id}` has no task `{task}`", hint="`tasks()` lists its tasks")
    return timeline.index_of[task]


def _records_of(entry: Any, only: int | None) -> Iterator[tuple[int, int, Mapping[str, Any]]]:
    from taskexec.domain.events import TransitionKind, parse_entry

    ends = {TransitionKind.SUCCEEDED, TransitionKind.FAILED, TransitionKind.TRIED, TransitionKind.LOST}
    for transition in parse_entry(entry):
        if transition.kind in ends and transition.detail and only in (None, transition.index):
            yield transition.index, transition.attempt, orjson.loads(transition.detail.partition("\t")[0])


def _records_at_home(
    folder: Path, timeline: RunTimeline, only: int | None
) -> Iterator[tuple[int, int, Mapping[str, Any]]]:
    from taskexec.completion.names import RESULT
    from taskexec.completion.outline import attempt_folder

    for index in range(len(timeline.spans)) if only is None else (only,):
        for attempt in timeline.spans[index].attempts:
            path = attempt_folder(folder, timeline.ids[index], attempt.number) / RESULT
            if attempt.outcome in _WITH_RECORD and path.is_file():
                yield index, attempt.number, orjson.loads(path.read_bytes())


def _home_log(folder: Path, task: str, number: int) -> Iterator[LogChunk]:
    from taskexec.completion.outline import attempt_folder

    for stream in ("stdout", "stderr"):
        path = attempt_folder(folder, task, number) / f"{stream}.log"
        if path.is_file() and (text := path.read_text(encoding="utf-8", errors="replace")):
            yield LogChunk(number, stream, text)


def _instant(at_us: int | None) -> str | None:
    return None if at_us is None else iso_time(at_us / 1e6)


def _task_row(timeline: RunTimeline, index: int) -> dict[str, Any]:
    task, span = timeline.tasks[index], timeline.spans[index]
    last = span.last
    row: dict[str, Any] = {"attempts": 0, "worker": None, "reason": None, "error": None, "exit_status": None}
    if last is not None:
        row = {
            "attempts": last.number,
            "worker": last.worker or None,
            "reason": last.reason,
            "error": last.error,
            "exit_status": last.exit_status,
        }
    return row | {
        "task": task["id"],
        "title": task.get("title") or "",
        "lane": task.get("lane") or task["route"],
        "route": task["route"],
        "agent": task["agent"],
        "status": str(span.status),
        "because_of": None if span.because_of is None else timeline.ids[span.because_of],
        "started_at": _instant(last.started_us) if last else None,
        "finished_at": _instant(last.finished_us) if last else None,
    }


def _try_row(attempt: AttemptSpan, record: Mapping[str, Any]) -> dict[str, Any]:
    files = record.get("files") or {}
    return {
        "attempt": attempt.number,
        "outcome": attempt.outcome,
        "worker": attempt.worker or None,
        "started_at": _instant(attempt.started_us),
        "finished_at": _instant(attempt.finished_us),
        "reason": attempt.reason,
        "error": attempt.error,
        "exit_status": attempt.exit_status,
        "files": [
            {"name": name, "bytes": int(file.get("bytes", 0)), "sha256": str(file.get("sha256", ""))}
            for name, file in sorted(files.items())
        ],
    }


def _change(timeline: RunTimeline, indexes: Any) -> Change:
    rows = []
    for index in indexes:
        span = timeline.spans[index]
        last = span.attempts[-1] if span.attempts else None
        number, worker, reason = (last.number, last.worker or None, last.reason) if last else (0, None, None)
        rows.append(TaskChange(timeline.ids[index], span.status, number, worker, reason))
    view = timeline.view
    return Change(timeline.last_id, rows, view.tally(), view.status, view.is_final)
