"""`tek run`: a plan to its end, here, on a server and a worker of its own."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from taskexec.cli.options import (
    SettingsRequest,
    output_option,
    settings_options,
)
from taskexec.cli.output import Output
from taskexec.cli.plan_source import PlanSource, load_plan, plan_source_options, report_warnings
from taskexec.cli.where import LIVE_FILE
from taskexec.errors import ConnectionLost

if TYPE_CHECKING:
    from taskexec.cluster import Cluster
    from taskexec.domain.resources import Capacity
    from taskexec.plan import Plan
    from taskexec.runtime.interrupts import Interrupts
    from taskexec.runtime.supervisor import WorkerSupervisor
    from taskexec.settings import Settings
    from taskexec.store.embedded import EmbeddedServer
    from taskexec.submission import Collector

__all__ = ["run"]


@click.command()
@plan_source_options
@settings_options
@output_option
@click.option("--dry-run", is_flag=True, help="Go the whole way, but only describe what would be executed.")
@click.option("--fail-fast", is_flag=True, default=None, help="Start nothing new after the first failure.")
@click.option(
    "--max-workers", "slots", type=click.IntRange(1, 4096), metavar="N", help="Tasks at once; default: one a core."
)
@click.option("--runs-dir", type=click.Path(path_type=Path), metavar="FOLDER", help="Where evidence goes.")
def run(
    source: PlanSource,
    settings_request: SettingsRequest,
    output: Output,
    dry_run: bool,
    fail_fast: bool | None,
    slots: int | None,
    runs_dir: Path | None,
) -> int:
    """Run a plan to its end, here: nothing needs to be installed or started.

    A server and a worker are started for the run and end with it. Exit status: 0 all succeeded, 1 a task failed,
    2 the plan cannot be used, 3 the server or the worker failed, 4 refused, 130 interrupted.

    Ctrl-C starts nothing new and lets running tasks finish; a second one kills them.
    """
    from taskexec.cluster import admit_locally
    from taskexec.placement import measure_capacity

    settings = settings_request.load(
        {"worker.concurrency": slots, "evidence.runs_dir": runs_dir, "run.fail_fast": fail_fast}
    )
    plan = load_plan(source, settings)
    if output is not Output.JSON:
        report_warnings(plan.warnings)
    capacity = measure_capacity(slots=settings.worker.concurrency)
    admit_locally(plan, capacity)
    _check_writable(settings.evidence.runs_dir)
    return _carry_out(plan, settings, capacity, dry_run=dry_run, output=output)


def _bring_home(collector: Collector, server: EmbeddedServer, interrupts: Interrupts) -> dict[str, Any]:
    """Write home what is left; a server that dies meanwhile is started again, unless interrupted twice."""
    while True:
        try:
            return collector.finish()
        except ConnectionLost:
            if interrupts.count > 1:
                raise
            server.tend()


def _check_writable(runs_dir: Path) -> None:
    """Refuse to start what could not leave its evidence."""
    from taskexec.errors import EvidenceUnwritable

    try:
        runs_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=runs_dir):
            pass
    except OSError as error:
        raise EvidenceUnwritable(
            f"evidence cannot be written to `{runs_dir}`: {error.strerror or error}",
            hint="give another folder with --runs-dir or evidence.runs_dir",
        ) from error


def _carry_out(plan: Plan, settings: Settings, capacity: Capacity, *, dry_run: bool, output: Output) -> int:
    from taskexec.cli.display import choose_display
    from taskexec.cli.follow import INTERRUPTED, follow, run_status_exit, show_end
    from taskexec.runtime.interrupts import Interrupts
    from taskexec.submission import Collector

    with Interrupts() as interrupts, _local_cluster(settings, capacity) as (cluster, server, supervisor):
        submitted = cluster.submit(plan, dry_run=dry_run)
        collector = Collector(submitted.run_id, cluster.runs, settings.evidence.runs_dir)
        live = collector.folder.path / LIVE_FILE
        live.write_text(json.dumps({"redis_url": server.url}))
        display = choose_display(submitted.run_id, [task.id for task in plan.tasks], quiet=output is not Output.TABLE)

        def tend() -> None:
            server.tend()
            supervisor.tend()

        def stop(kill: bool) -> None:
            cluster.runs.stop(submitted.run_id, kill=kill)

        with contextlib.closing(collector):
            with display:
                follow(collector, display, interrupts, tend=tend, stop=stop)
            supervisor.kill()
            summary = _bring_home(collector, server, interrupts)
            live.unlink(missing_ok=True)
            show_end(output, collector, summary)
        return INTERRUPTED if interrupts.count else run_status_exit(summary["status"])


@contextlib.contextmanager
def _local_cluster(
    settings: Settings, capacity: Capacity
) -> Iterator[tuple[Cluster, EmbeddedServer, WorkerSupervisor]]:
    """Start a server and a worker, and leave nothing of them behind."""
    from taskexec.cluster import Cluster, embedded_server, worker_supervisor
    from taskexec.domain.resources import Route

    with embedded_server(settings) as server:
        cluster = Cluster(server.url, settings)
        log_path = server.data_dir / "worker.log"
        supervisor = worker_supervisor(cluster, routes=list(Route), capacity=capacity, log_path=log_path)
        cluster.workers.expect(map(str, Route), capacity.slots)
        supervisor.start()
        try:
            yield cluster, server, supervisor
        finally:
            supervisor.kill()
