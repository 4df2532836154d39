"""How `tek chaos` tells what came of the faults."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskexec.cli.output import Output, build_table, emit

if TYPE_CHECKING:
    from taskexec.chaos import ChaosReport

__all__ = ["show_report"]

_SHOWN_TASKS = 20


def show_report(report: ChaosReport, folder: Path, output: Output) -> None:
    """Print a report in the form that was asked for."""
    emit(
        output,
        table=lambda: list(_table(report, folder)),
        data=lambda: report.to_json() | {"folder": str(folder)},
        quiet=lambda: [report.run_id],
    )


def _table(report: ChaosReport, folder: Path) -> Iterator[Any]:
    told = report.to_json()
    if report.faults:
        rows = [
            (one["at"][11:23], done.fault.describe(), done.target)
            for one, done in zip(told["faults"], report.faults, strict=True)
        ]
        yield build_table(["at", "fault", "target"], rows, keep={"at", "fault"})
        yield ""
    if report.not_done:
        yield f"not done, because the run ended before: {', '.join(told['faults_not_done'])}"
    lost, again = report.attempts_lost, len(report.reexecuted)
    yield f"{len(report.faults)} faults, {lost} attempts lost, {again} tasks executed again"
    yield f"late results refused: {report.late_results_refused}"
    worst = told["recovery"]["worst_leases"]
    if worst is not None:
        yield f"longest recovery from a worker's death: {report.worst_recovery_s:.2f} s, {worst:.2f} leases"
    yield from _named("lost", report.lost)
    yield from _named("doubled", report.doubled)
    verified = "the evidence holds" if report.verification["ok"] else "the evidence does not hold: see `tek verify`"
    yield f"run {report.run_id} {report.status or 'did not end'}: {verified}; {folder}"


def _named(what: str, tasks: tuple[str, ...]) -> Iterator[str]:
    shown = ", ".join(tasks[:_SHOWN_TASKS]) + (", …" if len(tasks) > _SHOWN_TASKS else "")
    yield f"{what}: {len(tasks)}" + (f" ({shown})" if tasks else "")
