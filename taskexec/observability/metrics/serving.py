"""A small HTTP server for Prometheus: one page, few connections at once, and an end for those that say nothing."""

from __future__ import annotations

import errno
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["CONTENT_TYPE", "ScrapeServer", "listen"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Type of the page."""
_CONNECTIONS = 8
"""Connections that are answered at once; the others are closed, and come again with the next scrape."""
_SILENCE_S = 5.0
"""So long a connection may say nothing."""
_LASTS_S = 1.0
"""So long a page is good for: however often it is asked for, it is made once in that time."""


class ScrapeServer:
    """Answers `GET /metrics` with what `page` returns, from a thread, until it is stopped."""

    def __init__(self, host: str, port: int, page: Callable[[], bytes], *, lasts_s: float = _LASTS_S) -> None:
        """Listen, and begin to answer.

        Args:
            host: Address to listen on.
            port: TCP port; 0 takes a free one.
            page: Makes the page; called by one thread at a time.
            lasts_s: How long a page is good for, in seconds.

        Raises:
            OSError: The address cannot be listened on.
        """
        self._page = page
        self._lasts_s = lasts_s
        self._made_at = float("-inf")
        self._made = b""
        self._lock = threading.Lock()
        self._server = _Server(host, port, self._current)
        self._thread = threading.Thread(target=self._server.serve_forever, name="tek-metrics", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])

    def stop(self) -> None:
        """End answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=_SILENCE_S)

    def _current(self) -> bytes:
        with self._lock:
            now = time.monotonic()
            if now - self._made_at >= self._lasts_s:
                self._made = self._page()
                self._made_at = time.monotonic()
            return self._made


def listen(host: str, port: int, page: Callable[[], bytes], *, ports: int = 1) -> ScrapeServer:
    """Listen on a port or, where it is taken, on the next of so many.

    Raises:
        OSError: None of them can be listened on.
    """
    for number in range(port, min(port + ports, 65_536)):
        try:
            return ScrapeServer(host, number, page)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            taken = error
    raise taken


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 32

    def __init__(self, host: str, port: int, current: Callable[[], bytes]) -> None:
        self.current = current
        self._free = threading.BoundedSemaphore(_CONNECTIONS)
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Bind without asking for the name of the address, which may take long and is not needed."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own, if so many are not at work."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and make room for the next."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: whoever asked has gone, and asks again."""


class _Handler(BaseHTTPRequestHandler):
    timeout = _SILENCE_S
    server: _Server
    server_version, sys_version = "taskexec", ""

    def do_GET(self) -> None:
        """Answer with the page."""
        if self.path.partition("?")[0] not in {"/", "/metrics"}:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        body = self.server.current()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as it is called there
        """Keep no log of scrapes."""
