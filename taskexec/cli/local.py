"""Carrying out a run here, on a server and a worker of its own that end with it; for `run`, `retry` and `replay`."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskexec.cli.output import Output
from taskexec.cluster.places import LIVE_FILE
from taskexec.errors import ConnectionLost

if TYPE_CHECKING:
    from taskexec.cluster import Cluster
    from taskexec.domain.resources import Capacity
    from taskexec.runtime.interrupts import Interrupts
    from taskexec.runtime.supervisor import WorkerSupervisor
    from taskexec.settings import Settings
    from taskexec.store.embedded import EmbeddedServer
    from taskexec.submission import Collector, Here

__all__ = ["carry_out_here", "check_writable", "how_here"]

_LAST_SPANS_S = 3.0
"""So long the worker of a traced run has to send its last spans and end."""


def _bring_home(collector: Collector, server: EmbeddedServer, interrupts: Interrupts) -> dict[str, Any]:
    """Write home what is left; a server that dies meanwhile is started again, unless interrupted twice."""
    while True:
        try:
            return collector.finish()
        except ConnectionLost:
            if interrupts.count > 1:
                raise
            server.tend()


def check_writable(runs_dir: Path) -> None:
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


def how_here(settings: Settings, capacity: Capacity) -> Here:
    """Return how a run is carried out here, for its journal."""
    from taskexec.submission import Here

    return Here(str(settings.worker.project_dir.absolute()), capacity.slots)


def carry_out_here(
    settings: Settings, capacity: Capacity, begin: Callable[[Cluster], str], *, output: Output, is_shown: bool = True
) -> tuple[int, dict[str, Any]]:
    """Carry out a run on a server and a worker that are started for it; show how it ended.

    Args:
        settings: Those of the command.
        capacity: What the worker has.
        begin: Submits the run, or takes it up again, and returns its id.
        output: How it is shown.
        is_shown: Whether its end is shown on stdout; else the caller has another result to show.

    Returns:
        The exit status of its outcome, and its summary.
    """
    from taskexec.cli.display import choose_display
    from taskexec.cli.follow import INTERRUPTED, follow, run_status_exit, show_end
    from taskexec.cluster import local_spool
    from taskexec.cluster.client import is_traced
    from taskexec.runtime.interrupts import Interrupts

    with Interrupts() as interrupts, _local_cluster(settings, capacity) as (cluster, server, supervisor):
        run_id = begin(cluster)
        collector = cluster.collector(run_id)
        live = collector.folder.path / LIVE_FILE
        live.write_text(json.dumps({"redis_url": server.url}))
        display = choose_display(
            run_id,
            collector.folder.plan,
            quiet=output is not Output.TABLE,
            former=collector.tell_former,
            slots=capacity.slots,
        )
        collector.listeners.append(display)

        def tend() -> None:
            server.tend()
            supervisor.tend()

        def stop(kill: bool) -> None:
            cluster.runs.stop(run_id, kill=kill)

        def take_up() -> None:
            cluster.submitter.take_up(run_id)

        with contextlib.closing(collector):
            with display:
                follow(collector, display, interrupts, tend=tend, stop=stop, take_up=take_up)
            if is_traced(settings):  # its last spans are still on their way
                supervisor.ask_to_stop()
                supervisor.wait(_LAST_SPANS_S)
            supervisor.kill()
            summary = _bring_home(collector, server, interrupts)
            live.unlink(missing_ok=True)
            if not summary["pending_files"]:  # nobody can fetch from here once the server has ended
                local_spool(settings).remove(run_id)
            if is_shown:
                show_end(output, collector, summary)
        return INTERRUPTED if interrupts.count else run_status_exit(summary["status"]), summary


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
        supervisor.may_leave = False  # nobody else is here to carry the run out
        cluster.workers.expect(map(str, Route), capacity.slots)
        supervisor.start()
        try:
            yield cluster, server, supervisor
        finally:
            supervisor.kill()
