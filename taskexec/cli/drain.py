"""`tek drain`, `cordon` and `uncordon`: what is wished of a worker while runs go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from taskexec.cli.options import SettingsRequest, output_option, settings_options
from taskexec.cli.output import Output, emit
from taskexec.cli.where import broker_option, open_cluster
from taskexec.cli.workers import find_worker
from taskexec.errors import ClusterError

if TYPE_CHECKING:
    from taskexec.cluster import Cluster

__all__ = ["cordon", "drain", "uncordon"]

_ROUND_S = 0.2


@click.command()
@click.argument("worker")
@click.option("--wait", "is_waited", is_flag=True, help="Wait until it has left.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(0), metavar="SECONDS", help="Longest wait, with --wait.")
@broker_option
@settings_options
@output_option
def drain(
    worker: str,
    is_waited: bool,
    timeout_s: float | None,
    broker: str | None,
    settings_request: SettingsRequest,
    output: Output,
) -> None:
    """Have a worker take nothing more, finish what it runs, and leave.

    What was placed on it and has not started goes to other workers at once. WORKER is a name, or its beginning. Until
    it has left, `tek uncordon` takes this back.
    """
    cluster = open_cluster(settings_request.load(), broker)
    name = _wish(cluster, worker, "draining")
    if is_waited:
        _await_end(cluster, name, timeout_s)
    _tell(output, name, "left" if is_waited else "draining")


@click.command()
@click.argument("worker")
@broker_option
@settings_options
@output_option
def cordon(worker: str, broker: str | None, settings_request: SettingsRequest, output: Output) -> None:
    """Have a worker take nothing new; it finishes what it has, and stays. WORKER is a name, or its beginning."""
    name = _wish(open_cluster(settings_request.load(), broker), worker, "cordoned")
    _tell(output, name, "cordoned")


@click.command()
@click.argument("worker")
@broker_option
@settings_options
@output_option
def uncordon(worker: str, broker: str | None, settings_request: SettingsRequest, output: Output) -> None:
    """Have a worker that was cordoned, or drains, take tasks again. WORKER is a name, or its beginning."""
    name = _wish(open_cluster(settings_request.load(), broker), worker, "ready")
    _tell(output, name, "ready")


def _wish(cluster: Cluster, name: str, state: str) -> str:
    """Wish a state of the worker that a name stands for; return its whole name."""
    found: dict[str, Any] = find_worker(cluster.workers.listed(), name)
    cluster.workers.wish(found["name"], state)
    return str(found["name"])


def _await_end(cluster: Cluster, name: str, timeout_s: float | None) -> None:
    """Wait until a worker is not registered any more.

    Raises:
        ClusterError: It was still there after `timeout_s`; it goes on draining.
    """
    import time

    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    while any(row["name"] == name for row in cluster.workers.listed()):
        if deadline is not None and time.monotonic() > deadline:
            raise ClusterError(f"worker `{name}` still runs tasks", hint="it goes on draining; `tek workers` shows it")
        time.sleep(_ROUND_S)  # between two looks at the registry, which tells nobody


def _tell(output: Output, name: str, state: str) -> None:
    emit(output, table=lambda: [f"{name} {state}"], data={"name": name, "state": state}, quiet=[name])
