"""`tek worker`, `workers`, `up` and `down`: starting nodes, seeing them, ending them."""

from __future__ import annotations

import click

from taskexec.cli.options import SettingsRequest, output_option, settings_options
from taskexec.cli.output import Output, build_table, emit, say
from taskexec.cli.where import broker_option, open_cluster

__all__ = ["down", "up", "worker", "workers"]

_CLASSES = ("cpu", "gpu", "distributed")


@click.command()
@click.option(
    "--class",
    "--profile",
    "classes",
    multiple=True,
    type=click.Choice(_CLASSES),
    help="Queue to serve; may be repeated; default: cpu.",
)
@click.option("--concurrency", type=click.IntRange(1, 4096), metavar="N", help="Tasks at once; default: one a core.")
@broker_option
@settings_options
def worker(
    classes: tuple[str, ...], concurrency: int | None, broker: str | None, settings_request: SettingsRequest
) -> int:
    """Start one worker on a cluster, and start it again when it dies.

    Ctrl-C (or TERM) lets running tasks finish, a second one kills them; nothing is left behind either way.
    """
    from taskexec.cluster import serve_worker, worker_supervisor
    from taskexec.domain.resources import Route
    from taskexec.placement import measure_capacity
    from taskexec.runtime.interrupts import Interrupts

    settings = settings_request.load({"worker.concurrency": concurrency})
    cluster = open_cluster(settings, broker)
    capacity = measure_capacity(slots=settings.worker.concurrency)
    routes = [Route(name) for name in classes or ("cpu",)]
    with Interrupts(terminate_counts=1) as interrupts:
        supervisor = worker_supervisor(cluster, routes=routes, capacity=capacity, log_path=None)
        served = ", ".join(routes)
        say(f"worker for {served}, tasks at once: {capacity.slots}; Ctrl-C lets running tasks finish")
        return serve_worker(supervisor, interrupts)


@click.command()
@broker_option
@settings_options
@output_option
def workers(broker: str | None, settings_request: SettingsRequest, output: Output) -> None:
    """List the workers of a cluster with what they have."""
    cluster = open_cluster(settings_request.load(), broker)
    rows = cluster.workers.listed()
    emit(
        output,
        table=lambda: build_table(
            ["name", "host", "pid", "classes", "cpus", "memory MiB", "gpus", "slots", "agents"],
            (
                [
                    row["name"],
                    row["host"],
                    str(row["pid"]),
                    ", ".join(row["classes"]),
                    *(f"{row['capacity'][name]:g}" for name in ("cpus", "memory_mib", "gpus", "slots")),
                    ", ".join(row["agents"]),
                ]
                for row in rows
            ),
            right={"pid", "cpus", "memory MiB", "gpus", "slots"},
            keep={"name"},
        ),
        data={"workers": rows},
        quiet=lambda: (row["name"] for row in rows),
    )


@click.command()
@click.option("--workers", "count", type=click.IntRange(0, 64), default=1, show_default=True, metavar="N")
@click.option("--concurrency", type=click.IntRange(1, 4096), metavar="N", help="Tasks at once a worker.")
@click.option("--port", type=click.IntRange(1, 65_535), help="Let workers in on this loopback port, with a password.")
@click.option("--flower", "with_flower", is_flag=True, help="Start Flower as well.")
@click.option("--foreground", is_flag=True, help="Stay here until Ctrl-C instead of going to the background.")
@settings_options
@output_option
def up(
    count: int,
    concurrency: int | None,
    port: int | None,
    with_flower: bool,
    foreground: bool,
    settings_request: SettingsRequest,
    output: Output,
) -> None:
    """Start a server and workers on this machine, which stay until `tek down`.

    Commands such as `tek submit` find them by themselves. Data is kept from one time to the next.
    """
    from taskexec.cli.node import NodeOptions, serve_node, start_node

    settings = settings_request.load({"worker.concurrency": concurrency})
    options = NodeOptions(count, port, with_flower)
    if foreground:
        serve_node(settings, options)
        return
    state = start_node(settings, settings_request, options, concurrency)
    emit(
        output,
        table=lambda: [
            f"server {state['redis_url']}"
            if not port
            else f"server on 127.0.0.1:{port} (address with password: --output json)",
            f"workers: {', '.join(state['workers']) or 'none'}",
            *(
                [f"Flower {flower['url']}, user {flower['user']}, password {flower['password']}"]
                if (flower := state["flower"])
                else []
            ),
            "`tek submit PLAN --wait` uses them, `tek down` ends them",
        ],
        data=state,
        quiet=[state["redis_url"]],
    )


@click.command()
@settings_options
def down(settings_request: SettingsRequest) -> None:
    """Stop what `tek up` started: running tasks may finish for some seconds, then everything ends."""
    from taskexec.cli.node import stop_node

    settings = settings_request.load()
    say("stopped" if stop_node(settings) else "nothing was up")
