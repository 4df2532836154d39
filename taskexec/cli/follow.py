"""Following a run to its end, and telling how it ended; shared by `run`, `submit --wait` and `watch`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskexec.cli.display import Display, seconds_text
from taskexec.cli.interrupts import Interrupts
from taskexec.cli.output import Output, build_table, emit, shorten
from taskexec.domain.states import RunStatus, TaskStatus
from taskexec.errors import ConnectionLost

if TYPE_CHECKING:
    from taskexec.domain.program import RunHead
    from taskexec.submission import Collector

__all__ = ["INTERRUPTED", "follow", "run_status_exit", "show_end"]

INTERRUPTED = 130
_STEP_S = 0.2
_SHOWN_FAILURES = 50
_TAIL_LINES = 3


def follow(
    collector: Collector, display: Display, interrupts: Interrupts, *, tend: Callable[[], None], stop: Callable[[bool], None]
) -> None:
    """Follow a run until it has ended.

    `tend` is called several times a second. The first interrupt calls `stop(False)`, the second `stop(True)`.
    A server that does not answer is waited for.
    """
    stopped = 0
    while True:
        try:
            if interrupts.count > stopped:
                stopped = interrupts.count
                display.note("stopping: what runs may finish, Ctrl-C again kills it" if stopped == 1 else "killing")
                stop(stopped > 1)
            ended = collector.step(wait_s=_STEP_S)
        except ConnectionLost as error:
            display.note(error.message)
            time.sleep(_STEP_S)
            tend()
            if interrupts.count > 1:
                raise
            continue
        display.update(collector.view)
        if ended:
            return
        tend()


def run_status_exit(status: str) -> int:
    """Return the exit status for a run's status: 0 only when every task succeeded; 0 as well while it goes on."""
    if status == RunStatus.CANCELLED:
        return INTERRUPTED
    return 1 if status == RunStatus.FAILED else 0


def show_end(output: Output, collector: Collector, head: RunHead) -> None:
    """Print how a run ended: what failed and why, the counts, where the evidence is."""
    summary = collector.folder.summary(head)
    folder = str(collector.folder.path)
    emit(
        output,
        table=lambda: list(_end_lines(summary, head, collector.folder.path)),
        data=lambda: {
            "run_id": head.run_id,
            "status": head.status,
            "folder": folder,
            "counts": summary["counts"],
            "failed": [_failure_json(result) for result in _failures(summary)],
        },
        quiet=lambda: [head.run_id],
    )


def _failures(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [result for result in summary["results"] if result["status"] == TaskStatus.FAILED]


def _failure_json(result: Mapping[str, Any]) -> dict[str, Any]:
    return {name: result[name] for name in ("task", "reason", "error", "exit_status", "attempts", "evidence")}


def _end_lines(summary: Mapping[str, Any], head: RunHead, folder: Path) -> Iterator[Any]:
    failures = _failures(summary)
    if failures:
        skipped = [result for result in summary["results"] if result["status"] == TaskStatus.SKIPPED]
        yield build_table(
            ["failed task", "reason", "what happened", "attempts", "last words"],
            (
                [
                    result["task"],
                    result["reason"] or "",
                    shorten(result["error"] or "", 100),
                    str(result["attempts"]),
                    _last_words(folder, result),
                ]
                for result in failures[:_SHOWN_FAILURES]
            ),
            right={"attempts"},
            keep={"failed task", "reason"},
        )
        if len(failures) > _SHOWN_FAILURES:
            yield f"… and {len(failures) - _SHOWN_FAILURES:,} more failed (run.json lists all)"
        if skipped:
            yield f"{len(skipped):,} tasks that depend on them were skipped"
        yield ""
    counts = ", ".join(f"{count:,} {status}" for status, count in summary["counts"].items())
    wall = ""
    if head.started_at is not None and head.finished_at is not None:
        wall = f" in {seconds_text(head.finished_at - head.started_at)}"
    verb = f"{head.status} (dry run)" if head.dry_run else head.status
    yield f"run {head.run_id} {verb}: {counts}{wall}"
    yield f"evidence: {folder}"
    if failures:
        yield f"logs: tek logs {head.run_id} {failures[0]['task']}"


def _last_words(folder: Path, result: Mapping[str, Any]) -> str:
    """Return the end of what a failed attempt wrote to standard error, else to standard output."""
    for name in ("stderr.log", "stdout.log"):
        path = folder / (result["evidence"] or "") / name
        if not path.is_file():
            continue
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - 2000, 0))
            lines = file.read().decode(errors="replace").strip().splitlines()
        if lines:
            return shorten(" / ".join(lines[-_TAIL_LINES:]), 160)
    return ""
