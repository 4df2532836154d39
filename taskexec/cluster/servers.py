"""Servers of our own, for as long as something lasts: with data that is kept, or that goes with them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from taskexec.store.embedded import EmbeddedServer, find_server

if TYPE_CHECKING:
    from taskexec.settings import Settings

__all__ = ["embedded_server", "kept_server"]

_DATA_PREFIX = "tek-server-"
_ABANDONED_S = 86_400


@contextlib.contextmanager
def kept_server(settings: Settings, data_dir: Path, *, port: int | None = None) -> Iterator[EmbeddedServer]:
    """Run a server of our own for as long as the context lasts, on a data folder that is kept.

    Raises:
        ServerMissing: No server program was found.
        ServerFailed: It does not start.
    """
    program = find_server(settings.embedded.server_binary)
    server = EmbeddedServer(program, data_dir, appendfsync=settings.embedded.appendfsync, port=port)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def embedded_server(settings: Settings, *, port: int | None = None) -> Iterator[EmbeddedServer]:
    """Run a server of our own for as long as the context lasts; its data folder is removed afterwards.

    With a `port` it listens there on loopback as well, behind a password.

    Raises:
        ServerMissing: No server program was found.
        ServerFailed: It does not start.
    """
    _remove_abandoned()
    data_dir = Path(tempfile.mkdtemp(prefix=_DATA_PREFIX))
    try:
        with kept_server(settings, data_dir, port=port) as server:
            yield server
    finally:
        shutil.rmtree(data_dir, ignore_errors=True)


def _remove_abandoned() -> None:
    """Remove the data folders of servers whose owners were killed more than a day ago."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_DATA_PREFIX}*"):
        with contextlib.suppress(OSError):
            if folder.stat().st_uid == os.getuid() and time.time() - folder.stat().st_mtime > _ABANDONED_S:
                with (folder / "lock").open("a") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder)
