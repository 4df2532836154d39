"""`tek api`: the API and its pages on a cluster, on loopback unless asked otherwise."""

from __future__ import annotations

import importlib.util
import ipaddress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from taskexec.cli.options import SettingsRequest, output_option, settings_options
from taskexec.cli.output import Output, emit, say
from taskexec.cli.where import broker_option, open_cluster
from taskexec.errors import ServerMissing, UsageError

if TYPE_CHECKING:
    from taskexec.settings import ApiSettings
    from taskexec.store.connection import Connection

__all__ = ["api", "login_url", "make_admin_token", "require_packages"]

_PACKAGES = ("fastapi", "uvicorn", "limits", "multipart", "sse_starlette")
_FIRST = "first"


@click.command()
@click.option("--host", help="Address to listen on; default: api.host (loopback).")
@click.option("--port", type=click.IntRange(0, 65_535), help="Port to listen on; default: api.port, else 8750.")
@click.option("--tls-cert", type=click.Path(path_type=Path), metavar="FILE", help="Certificate (PEM, with its chain).")
@click.option("--tls-key", type=click.Path(path_type=Path), metavar="FILE", help="Its private key (PEM).")
@click.option("--insecure", is_flag=True, help="Listen beyond loopback without TLS, as behind a proxy that has it.")
@click.option("--no-token", is_flag=True, help="Make no first token, as where what is printed is kept in a log.")
@broker_option
@settings_options
@output_option
def api(
    host: str | None,
    port: int | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    insecure: bool,
    no_token: bool,
    broker: str | None,
    settings_request: SettingsRequest,
    output: Output,
) -> None:
    """Serve the API and its pages until Ctrl-C; the address is printed.

    Whoever calls needs a token (`tek token new`). While there is none at all, one for an admin is made and printed,
    once. `/api/v1/openapi.json` describes the API.
    """
    require_packages()
    given = {"api.host": host, "api.port": port, "api.tls_cert": tls_cert, "api.tls_key": tls_key}
    settings = settings_request.load(given)
    _check_reach(settings.api, is_insecure=insecure)
    cluster = open_cluster(settings, broker)
    cluster.identity  # noqa: B018  # what is submitted is signed with it: its faults belong to the beginning

    from taskexec.api.serving import bind, make_services, serve

    services = make_services(cluster, settings)  # before the token, which is shown once
    bound = bind(settings.api)
    token = None if no_token else _first_token(cluster.connection)
    url = settings.api.public_url or bound.url

    def show() -> None:
        login = None if token is None else login_url(url, token)
        emit(
            output,
            table=lambda: [bound.url, *([] if token is None else [f"token {token}", f"log in: {login}"])],
            data={"url": bound.url, "token": token, "login_url": login},
            quiet=[bound.url],
        )
        if output is Output.TABLE:
            if token is not None:
                say("the token is for an admin and is not shown again; `tek token new` makes others")
            say("Ctrl-C ends it")

    serve(services, bound, show)


def require_packages() -> None:
    """Refuse where the packages of the extra `api` are not installed.

    Raises:
        ServerMissing: Some are not there.
    """
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ServerMissing(
            f"the API needs packages that are not installed: {', '.join(missing)}",
            hint="install them: pip install 'taskexec[api]'",
        )


def _check_reach(settings: ApiSettings, *, is_insecure: bool) -> None:
    """Refuse to send tokens over a network in clear, unless asked to."""
    if not is_insecure and settings.tls_cert is None and not _is_loopback(settings.host):
        raise UsageError(
            f"`{settings.host}` can be reached from other machines, and tokens would cross the network in clear",
            hint="give --tls-cert and --tls-key, or --insecure behind a proxy that has TLS",
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _first_token(connection: Connection) -> str | None:
    """Return the text of a new token for an admin where there is none at all."""
    from taskexec.store.tokens import TokenStore

    return None if TokenStore(connection).listed() else make_admin_token(connection, _FIRST)[1]


def make_admin_token(connection: Connection, name: str) -> tuple[str, str]:
    """Make a token for an admin; return its id and its text."""
    import time

    from taskexec.domain.api_token import new_token
    from taskexec.store.tokens import TokenStore

    made, text = new_token(name, "admin", now=time.time())
    TokenStore(connection).add(made)
    return made.token_id, text


def login_url(url: str, token: str) -> str:
    """Return the page that logs a browser in; what stands behind `#` is sent to nobody."""
    return f"{url}/login#token={token}"
