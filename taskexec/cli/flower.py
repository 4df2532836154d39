"""`tek flower`: Flower on a cluster, behind credentials, on loopback."""

from __future__ import annotations

import secrets

import click

from taskexec.cli.options import SettingsRequest, output_option, settings_options
from taskexec.cli.output import Output, emit, say
from taskexec.cli.where import broker_option, open_cluster
from taskexec.errors import ClusterError

__all__ = ["flower"]


@click.command()
@broker_option
@settings_options
@output_option
@click.option("--host", help="Address to listen on; default: flower.host (loopback).")
@click.option(
    "--port", type=click.IntRange(1, 65_535), help="Port to listen on; default: flower.port, else a free one."
)
@click.option("--user", default="tek", show_default=True, help="Name to log in with.")
@click.option("--writable", is_flag=True, help="Allow what changes workers and tasks; read-only otherwise.")
def flower(
    broker: str | None,
    settings_request: SettingsRequest,
    output: Output,
    host: str | None,
    port: int | None,
    user: str,
    writable: bool,
) -> None:
    """Start Flower, the monitor, until Ctrl-C; address and password are printed.

    The password is a new one each time. Flower's /metrics and /healthcheck are
    open to whoever reaches the address.
    """

    from taskexec.broker import FlowerAccess
    from taskexec.cluster import run_flower

    settings = settings_request.load({"flower.host": host, "flower.port": port})
    cluster = open_cluster(settings, broker)
    password = secrets.token_urlsafe(12)
    access = FlowerAccess(settings.flower.host, settings.flower.port or 0, user, password, is_read_only=not writable)

    def show(bound: int) -> None:
        url = f"http://{access.host}:{bound}"
        emit(
            output,
            table=lambda: [url, f"user {user}, password {password}"],
            data={"url": url, "user": user, "password": password},
            quiet=[url],
        )
        if output is Output.TABLE:
            say("Ctrl-C ends it")

    try:
        run_flower(cluster.url, access, show)
    except OSError as error:
        raise ClusterError(
            f"Flower cannot listen on {access.host}:{access.port or 'a free port'}: {error.strerror or error}",
            hint="give another address with --host and --port",
        ) from error
