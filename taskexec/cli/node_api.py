"""The API of `tek up`: a process beside the node, started again when it dies, with a token that ends with the node."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from taskexec.cli.api import login_url, make_admin_token
from taskexec.errors import ClusterError, ConnectionLost

if TYPE_CHECKING:
    from taskexec.store.connection import Connection
    from taskexec.store.tokens import TokenStore

__all__ = ["NodeApi", "main"]

_END_S = 6.0
_NAME = "tek up"
_PR_SET_PDEATHSIG = 1


class NodeApi:
    """Serves while its context lasts."""

    def __init__(self, connection: Connection, settings_arguments: Sequence[str]) -> None:
        self._connection = connection
        self._arguments = settings_arguments
        self._process: subprocess.Popen[bytes] | None = None
        self._token_id = ""
        self.state: dict[str, str] = {}
        """Where it is, and how it is entered: `url`, `token`, `login_url`."""

    def __enter__(self) -> NodeApi:
        """Start it; it answers when this returns."""
        self._revoke_former()
        self._token_id, token = make_admin_token(self._connection, _NAME)
        try:
            url = self._start(())
        except BaseException:
            self._end()
            raise
        self.state = {"url": url, "token": token, "login_url": login_url(url, token)}
        return self

    def __exit__(self, *_: object) -> None:
        """End it, and its token."""
        self._end()

    def tend(self) -> None:
        """Start it again, at the same place, if it has died."""
        if self._process is not None and self._process.poll() is not None:
            port = urlsplit(self.state["url"]).port
            with contextlib.suppress(ClusterError):  # the next round tries again
                self._start(("--port", str(port)))

    def _start(self, arguments: Sequence[str]) -> str:
        """Start the process; return its address.

        Raises:
            ClusterError: It ended before it listened; what it said is in the log of the node.
        """
        program = (sys.executable, "-c", "from taskexec.cli.node_api import main; main()")
        self._process = subprocess.Popen(
            [*program, "api", "--output", "json", *arguments, *self._arguments],
            env={**os.environ, "TEK_REDIS_URL": self._connection.url},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        lines = []
        for line in self._process.stdout:
            lines.append(line)
            if line.startswith(b"}"):
                url: str = json.loads(b"".join(lines))["url"]
                return url
        self._process.wait()
        raise ClusterError("the API did not start", hint="the log of the node says why")

    def _end(self) -> None:
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_S)
            self._process.kill()
            self._process.wait()
        with contextlib.suppress(ConnectionLost):
            self._tokens().remove(self._token_id)

    def _revoke_former(self) -> None:
        """Revoke what a node that was killed has left: its data outlives it."""
        for token in self._tokens().listed():
            if token.name == _NAME:
                self._tokens().remove(token.token_id)

    def _tokens(self) -> TokenStore:
        from taskexec.store.tokens import TokenStore

        return TokenStore(self._connection)


def main() -> None:
    """Be `tek` until the node that started this process ends, however it does."""
    from taskexec.cli.main import main

    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    main()
