"""The process that serves the API: its server, how it begins and how it ends."""

from __future__ import annotations

import contextlib
import logging
import resource
import signal
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import uvicorn
from anyio import to_thread

from taskexec.api.app import make_app
from taskexec.api.guard import TokenGuard
from taskexec.api.services import Services
from taskexec.api.wire import protocol
from taskexec.cluster import Cluster
from taskexec.cluster.expected import expected_cluster
from taskexec.cluster.keeper_process import keeper_process
from taskexec.errors import ClusterError, UsageError
from taskexec.settings import ApiSettings, Settings
from taskexec.store.tokens import TokenStore

__all__ = ["DEFAULT_PORT", "Bound", "bind", "make_services", "serve"]

DEFAULT_PORT = 8750
"""The port where none is set, if it is free."""

_LINGER_S = 3
"""So long requests that are being answered may take when the process ends; streams are cut before."""
_HEAD_MAX_BYTES = 64 * 1024
_FILES_WANTED = 65_536


def make_services(cluster: Cluster, settings: Settings) -> Services:
    """Return what the application for a cluster works with.

    Raises:
        UsageError, SettingsRejected: A file that the settings name cannot be used.
    """
    expected_cluster(settings)  # read again where it is needed; its faults belong to the beginning
    return Services(cluster, settings, TokenGuard(TokenStore(cluster.connection), settings.api))


@dataclass(frozen=True, slots=True)
class Bound:
    """Where the API listens."""

    listener: socket.socket
    url: str
    """`http://…` or `https://…`, without a slash at its end."""


def bind(settings: ApiSettings) -> Bound:
    """Listen where the settings say.

    Raises:
        ClusterError: The address cannot be listened on.
        UsageError: Only one of certificate and key is there.
    """
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise UsageError("a certificate needs its key, and a key its certificate", hint="give --tls-cert and --tls-key")
    listener = _listen(settings)
    scheme = "http" if settings.tls_cert is None else "https"
    host = settings.host
    shown = f"[{host}]" if ":" in host else host
    return Bound(listener, f"{scheme}://{shown}:{listener.getsockname()[1]}")


def _listen(settings: ApiSettings) -> socket.socket:
    ports = (DEFAULT_PORT, 0) if settings.port is None else (settings.port,)
    for port in ports:
        try:
            found = socket.getaddrinfo(settings.host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            family, kind, number, _, address = found[0]
            listener = socket.socket(family, kind, number)
            try:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(address)
                listener.listen(1024)
                listener.setblocking(False)
            except OSError:
                listener.close()
                raise
        except OSError as error:
            failure = error
            continue
        return listener
    raise ClusterError(
        f"the API cannot listen on {settings.host}:{settings.port or 'a free port'}: {failure.strerror or failure}",
        hint="give another address with --host and --port",
    ) from failure


def serve(services: Services, bound: Bound, on_ready: Callable[[], None]) -> None:
    """Serve until INT or TERM; then what is being answered may finish for some seconds, a second signal ends at once.

    Args:
        services: What the application works with.
        bound: Where it listens; closed at the end.
        on_ready: Called once requests are answered.

    Raises:
        UsageError: The certificate or its key cannot be used.
    """
    settings = services.settings.api
    _allow_files()
    config = uvicorn.Config(
        make_app(services),
        http=protocol(head_s=settings.idle_s, connections_max=2 * settings.connections),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=max(int(settings.idle_s), 1),
        timeout_graceful_shutdown=_LINGER_S,
        h11_max_incomplete_event_size=_HEAD_MAX_BYTES,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
        proxy_headers=bool(settings.proxies),
        forwarded_allow_ips=settings.proxies,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        path = settings.tls_cert or Path()
        hint = "both are PEM files, the certificate with its chain"
        raise UsageError(f"certificate `{path}` or its key cannot be used: {error}", hint=hint) from error
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    with keeper_process(services.cluster) if settings.collect else contextlib.nullcontext():
        _Server(config, on_ready, services).run(sockets=[bound.listener])


class _Server(uvicorn.Server):
    """uvicorn, which says when it answers, and ends as `tek` does."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None], services: Services) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._services = services

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin, and say so."""
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End; readers of events are told first, since nothing else ends their streams."""
        await to_thread.run_sync(self._services.live.close)
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]  # uvicorn's, whose type is a generator's
        """Take INT and TERM while serving; uvicorn's own way raises them again at the end."""
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End; at once when asked again."""
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True


def _allow_files() -> None:
    """Let the process have as many connections open as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES_WANTED if hard == resource.RLIM_INFINITY else min(hard, _FILES_WANTED)
    if soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
