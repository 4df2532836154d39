"""`tek flower`: Flower on a cluster, behind credentials, on loopback."""

from __future__ import annotations

import secrets
from pathlib import Path

import click

from taskexec.cli.options import SettingsRequest, output_option, settings_options
from taskexec.cli.output import Output, emit, say
from taskexec.cli.where import broker_option, open_cluster
from taskexec.errors import ClusterError, UsageError

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
@click.option(
    "--password-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Take the password from its first line, and do not print it.",
)
@click.option("--writable", is_flag=True, help="Allow what changes workers and tasks; read-only otherwise.")
def flower(
    broker: str | None,
    settings_request: SettingsRequest,
    output: Output,
    host: str | None,
    port: int | None,
    user: str,
    password_file: Path | None,
    writable: bool,
) -> None:
    """Start Flower, the monitor, until Ctrl-C; address and password are printed.

    It shows the tasks of all runs one by one, also those of batches and of runs that began before it. The password is a
    new one each time, unless a file holds one; nothing is answered without it, /metrics and /healthcheck included.
    """

    from taskexec.broker import FlowerAccess
    from taskexec.cluster import run_flower

    settings = settings_request.load({"flower.host": host, "flower.port": port})
    cluster = open_cluster(settings, broker)
    password = secrets.token_urlsafe(12) if password_file is None else _first_line(password_file)
    shown = password if password_file is None else None
    if ":" in user:
        raise UsageError(f"user `{user}` should have no colon: it ends the name where people log in")
    access = FlowerAccess(
        settings.flower.host,
        settings.flower.port or 0,
        user,
        password,
        is_read_only=not writable,
        max_tasks=settings.flower.max_tasks,
    )

    def show(bound: int) -> None:
        url = f"http://{access.host}:{bound}"
        emit(
            output,
            table=lambda: [url, f"user {user}, password {shown or f'as in {password_file}'}"],
            data={"url": url, "user": user, "password": shown},
            quiet=[url],
        )
        if output is Output.TABLE:
            say("Ctrl-C ends it")

    try:
        run_flower(cluster.url, access, settings, show)
    except OSError as error:
        raise ClusterError(
            f"Flower cannot listen on {access.host}:{access.port or 'a free port'}: {error.strerror or error}",
            hint="give another address with --host and --port",
        ) from error


def _first_line(path: Path) -> str:
    try:
        line = path.read_text(encoding="utf-8").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        why = (error.strerror or error) if isinstance(error, OSError) else "it is no text"
        raise UsageError(f"the password in `{path}` cannot be read: {why}") from error
    if not line:
        raise UsageError(f"the first line of `{path}` is empty", hint="a password stands there")
    return line
