"""Following a run to its end, and telling how it ended; shared by `run`, `submit`, `watch` and `status`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskexec.cli.display import Display
from taskexec.cli.outlook import seconds_text
from taskexec.cli.output import Output, build_table, emit, shorten
from taskexec.domain.states import RunStatus, TaskStatus
from taskexec.errors import ConnectionLost, NotFound
from taskexec.runtime.interrupts import Interrupts

if TYPE_CHECKING:
    from taskexec.store.port import RunStore
    from taskexec.submission import Collector

__all__ = ["INTERRUPTED", "end_lines", "follow", "follow_log", "pending_lines", "run_status_exit", "show_end"]

INTERRUPTED = 130
"""Exit status after Ctrl-C, and of a run that was cancelled."""
_STEP_S = 0.2
_LOOK_S = 1.0
"""So often a server is asked for a run of which nothing is heard: it may have come back empty."""
_SHOWN_FAILURES = 50
_SHOWN_FILES = 20
_TAIL_LINES = 2
_SHOWN_HINTS = 3


def follow(
    collector: Collector,
    display: Display,
    interrupts: Interrupts,
    *,
    tend: Callable[[], None] = lambda: None,
    stop: Callable[[bool], None] = lambda _: None,
    take_up: Callable[[], object] | None = None,
    leave_when_interrupted: bool = False,
) -> None:
    """Follow a run until it has ended.

    A server that does not answer is waited for, unless interrupted twice. One that has come back without the run is
    given it again.

    Args:
        collector: Brings the run home.
        display: Shows where it stands.
        interrupts: Ctrl-C so far.
        tend: Called several times a second.
        stop: Called at the first interrupt with False, at the second with True (kill).
        take_up: Submits the run again from its folder; None where that is not possible.
        leave_when_interrupted: Return at the first interrupt instead.

    Raises:
        NotFound: The server has lost the run, and nobody here can take it up.
    """
    stopped = 0
    while True:
        if leave_when_interrupted and interrupts.count:
            return
        try:
            if interrupts.count > stopped:
                wanted = interrupts.count
                display.note(_STOPPING[min(wanted, 2)])
                stop(wanted > 1)
                stopped = wanted  # only now: a server that did not answer is told again
            ended = collector.step(wait_s=_STEP_S)
        except NotFound as error:
            if take_up is None:
                raise
            display.note(f"{error.message}: the server has come back without it, it is taken up from its folder")
            take_up()
            collector.begin_again()
            continue
        except ConnectionLost as error:
            if interrupts.count > 1:
                raise
            display.note(error.message)
            time.sleep(_STEP_S)
            tend()
            continue
        display.update(collector.view)
        if ended:
            return
        tend()


_STOPPING = {1: "stopping: what runs may finish; Ctrl-C again kills it", 2: "killing what runs"}


def follow_log(store: RunStore, run_id: str, tasks: int, display: Display, interrupts: Interrupts) -> bool:
    """Follow a run without bringing anything home; return whether it has ended (else it was interrupted).

    Raises:
        NotFound: The server has come back without the run.
    """
    from taskexec.observability import RunView

    view, after, looked = RunView(tasks), "0", time.monotonic()
    while not interrupts.count:
        try:
            entries = store.read_log(run_id, after, wait_s=_STEP_S)
            if not entries and time.monotonic() - looked >= _LOOK_S:
                looked = time.monotonic()
                store.head(run_id)
        except ConnectionLost as error:
            display.note(error.message)
            time.sleep(_STEP_S)
            continue
        if entries:
            after = entries[-1].id
            view.apply(entries)
        display.hear(entries)
        display.update(view)
        if view.is_final:
            return True
    return False


def run_status_exit(status: str) -> int:
    """Return the exit status for a run's status: 0 while it goes on and when every task succeeded."""
    if status == RunStatus.CANCELLED:
        return INTERRUPTED
    return 1 if status == RunStatus.FAILED else 0


def show_end(output: Output, collector: Collector, summary: Mapping[str, Any]) -> None:
    """Print how a run ended: what failed and why, the counts, where the evidence is."""
    emit(
        output,
        table=lambda: list(end_lines(summary, collector.folder.path)),
        data=lambda: {
            "run_id": summary["run_id"],
            "status": summary["status"],
            "folder": str(collector.folder.path),
            "counts": summary["counts"],
            "failed": [_failure_json(result) for result in _failures(summary)],
            "truncated": summary.get("truncated", 0),
            "pending_files": summary.get("pending_files", []),
        },
        quiet=lambda: [summary["run_id"]],
    )


def _failures(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [result for result in summary["results"] if result["status"] == TaskStatus.FAILED]


def _failure_json(result: Mapping[str, Any]) -> dict[str, Any]:
    return {name: result[name] for name in ("task", "reason", "error", "exit_status", "attempts", "evidence")}


def end_lines(summary: Mapping[str, Any], folder: Path) -> Iterator[Any]:
    """Yield what a person sees of a run: its failures, its counts, where its evidence is."""
    failures = _failures(summary)
    if failures:
        yield build_table(
            ["failed task", "reason", "what happened", "attempts", "last words"],
            ([*_failure_cells(result), _last_words(folder, result)] for result in failures[:_SHOWN_FAILURES]),
            right={"attempts"},
            keep={"failed task", "reason"},
        )
        if len(failures) > _SHOWN_FAILURES:
            yield f"… and {len(failures) - _SHOWN_FAILURES:,} more failed (run.json lists all)"
        if skipped := summary["counts"].get(TaskStatus.SKIPPED):
            yield f"skipped, because they depend on these: {skipped:,}"
        yield ""
    counts = ", ".join(f"{count:,} {status}" for status, count in summary["counts"].items())
    verb = f"{summary['status']} (dry run)" if summary["dry_run"] else summary["status"]
    yield f"run {summary['run_id']} {verb}: {counts}{_wall(summary)}"
    if truncated := summary.get("truncated"):
        what = "task" if truncated == 1 else "tasks"
        yield f"evidence of {truncated:,} {what} was cut at a limit: see `truncated_bytes` in run.json"
    yield from _hint_lines(summary)
    if summary["status"] == RunStatus.FAILED and not failures:
        yield "it was stopped because its time was up"
    if folder.is_dir():
        yield f"evidence: {folder}"
    yield from pending_lines(summary)
    if failures:
        yield f"output of the first failure: tek logs {summary['run_id']} {failures[0]['task']}"
    if summary["status"] == RunStatus.FAILED:
        yield f"to try again what failed: tek retry {summary['run_id']}"


def _hint_lines(summary: Mapping[str, Any]) -> Iterator[str]:
    """Yield what tasks asked for that is far from what they used: a few, each text once."""
    tasks: dict[str, list[str]] = {}
    for result in summary["results"]:
        for hint in result.get("hints", ()):
            tasks.setdefault(hint, []).append(result["task"])
    for hint, names in list(tasks.items())[:_SHOWN_HINTS]:
        others = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
        yield f"hint: {names[0]}{others} {hint}"
    if len(tasks) > _SHOWN_HINTS:
        yield f"… and {len(tasks) - _SHOWN_HINTS:,} more hints (run.json lists all)"


def pending_lines(summary: Mapping[str, Any]) -> Iterator[str]:
    """Yield which files have not come home, where they are, and what brings them."""
    files = summary.get("pending_files", [])
    for file in files[:_SHOWN_FILES]:
        size_mib = file["bytes"] / 2**20
        where = "is no longer" if file["state"] == "gone" else "is still"
        yield f"not at home: {file['file']} of {file['task']} ({size_mib:,.1f} MiB) {where} on {file['host']}"
    if len(files) > _SHOWN_FILES:
        yield f"… and {len(files) - _SHOWN_FILES:,} more files (run.json lists all)"
    if any(file["state"] == "pending" for file in files):
        yield f"they come with `tek collect {summary['run_id']}` once a worker of their host is there"


def _failure_cells(result: Mapping[str, Any]) -> list[str]:
    return [result["task"], result["reason"] or "", shorten(result["error"] or "", 100), str(result["attempts"])]


def _wall(summary: Mapping[str, Any]) -> str:
    if not summary["started"] or not summary["ended"]:
        return ""
    span = datetime.fromisoformat(summary["ended"]) - datetime.fromisoformat(summary["started"])
    return f" in {seconds_text(span.total_seconds())}"


def _last_words(folder: Path, result: Mapping[str, Any]) -> str:
    """Return the end of what a failed attempt wrote to standard error, else to standard output."""
    for name in ("stderr.log", "stdout.log"):
        path = folder / (result["evidence"] or "") / name
        if not path.is_file():
            continue
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - 2000, 0))
            lines = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
        told = [line for line in lines if line.strip("^~ ")]
        if told:
            return shorten(" / ".join(told[-_TAIL_LINES:]), 160)
    return ""
