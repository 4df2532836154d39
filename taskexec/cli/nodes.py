"""`tek worker`, `up` and `down`: starting nodes and ending them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from taskexec.cli.joining import join_option
from taskexec.cli.options import SettingsRequest, output_option, settings_options
from taskexec.cli.output import Output, emit, say
from taskexec.cli.where import broker_option, open_cluster
from taskexec.errors import UsageError

if TYPE_CHECKING:
    from taskexec.domain.resources import Route
    from taskexec.placement import Offer

__all__ = ["down", "up", "worker"]

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
@click.option("--slots", "slots_range", metavar="MIN-MAX", help="Widen and narrow between so many tasks at once.")
@click.option(
    "--shutdown-timeout",
    "shutdown_s",
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="Time that running tasks have after Ctrl-C or TERM; then they are given back.",
)
@click.option("--cpus", type=float, metavar="N", help="Cores to offer, there or not; default: those measured.")
@click.option("--memory", metavar="SIZE", help="Memory to offer, there or not, as `64G`; default: that measured.")
@click.option("--disk", metavar="SIZE", help="Disk to offer, there or not; default: what is free for temporary files.")
@click.option(
    "--gpus",
    metavar="GPUS",
    help="GPUs to offer: `none`, UUIDs or indices (`0,1`; one alone as `0,`). A bare number, as `16` or `16:24G`, "
    "DECLARES that many without hardware: a virtual worker for trying plans out. Default: all, with class cpu none.",
)
@click.option("--label", "labels", multiple=True, metavar="LABEL", help="Label of the worker; may be repeated.")
@broker_option
@join_option
@settings_options
def worker(
    classes: tuple[str, ...], broker: str | None, join: str | None, settings_request: SettingsRequest, **given: Any
) -> int:
    """Start one worker on a cluster, and start it again when it dies.

    It offers what the machine has, as far as control groups and affinity allow. What is given by options is offered
    as it is: such a declared worker may have what the machine has not.

    Ctrl-C (or TERM) lets running tasks finish for as long as `--shutdown-timeout` says, and then gives them back to
    the cluster; a second one kills them. Nothing is left behind either way. `tek drain` ends it from elsewhere.
    """
    from taskexec.cluster import serve_worker, worker_supervisor
    from taskexec.domain.resources import Route
    from taskexec.placement import measure_offer
    from taskexec.runtime.interrupts import Interrupts

    given["labels"] = given["labels"] or None
    given["min_slots"], given["max_slots"] = _read_range(given.pop("slots_range"))
    settings = settings_request.load({f"worker.{name}": value for name, value in given.items()})
    cluster = open_cluster(settings, broker, join=join)
    routes = [Route(name) for name in classes or ("cpu",)]
    offer = measure_offer(settings.worker, routes)
    with Interrupts(terminate_counts=1) as interrupts:
        supervisor = worker_supervisor(cluster, routes=routes, capacity=offer, log_path=None)
        _tell(routes, offer)
        return serve_worker(supervisor, interrupts)


def _read_range(text: str | None) -> tuple[int | None, int | None]:
    """Return the two limits of `MIN-MAX`, or of one number that is both.

    Raises:
        UsageError: It is no such thing.
    """
    if text is None:
        return None, None
    least, dash, most = text.partition("-")
    parts = (least, most) if dash else (least, least)
    if not all(part.isascii() and part.isdigit() for part in parts) or not 1 <= int(parts[0]) <= int(parts[1]) <= 4096:
        raise UsageError(f"slots `{text}` should be two numbers like `2-8`, from 1 to 4096")
    return int(parts[0]), int(parts[1])


def _tell(routes: Sequence[Route], offer: Offer) -> None:
    from taskexec.domain.sizes import show_mib

    has = offer.capacity
    parts = [f"cpus: {has.cpus:g}", f"memory: {show_mib(has.memory_mib)}", f"gpus: {len(has.gpus)}"]
    say(f"worker for {', '.join(routes)}, tasks at once: {has.slots}, {', '.join(parts)}")
    for note in offer.notes:
        say(f"note: {note}")
    say("Ctrl-C lets running tasks finish")


@click.command()
@click.option("--workers", "count", type=click.IntRange(0, 64), default=1, show_default=True, metavar="N")
@click.option("--concurrency", type=click.IntRange(1, 4096), metavar="N", help="Tasks at once a worker.")
@click.option("--port", type=click.IntRange(1, 65_535), help="Let workers in on this loopback port, with a password.")
@click.option("--flower", "with_flower", is_flag=True, help="Start Flower as well.")
@click.option("--api", "with_api", is_flag=True, help="Serve the API and its pages as well.")
@click.option("--foreground", is_flag=True, help="Stay here until Ctrl-C instead of going to the background.")
@settings_options
@output_option
def up(
    count: int,
    concurrency: int | None,
    port: int | None,
    with_flower: bool,
    with_api: bool,
    foreground: bool,
    settings_request: SettingsRequest,
    output: Output,
) -> None:
    """Start a server and workers on this machine, which stay until `tek down`.

    Commands such as `tek submit` find them by themselves. Data is kept from one time to the next.
    """
    from taskexec.cli.node import NodeOptions, serve_node, settings_arguments, start_node

    settings = settings_request.load({"worker.concurrency": concurrency})
    if with_api:
        from taskexec.cli.api import require_packages

        require_packages()
    options = NodeOptions(count, port, with_flower, with_api, tuple(settings_arguments(settings_request)))
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
            *([f"API {api['url']}, log in: {api['login_url']}"] if (api := state["api"]) else []),
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
