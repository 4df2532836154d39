"""Serving a host's spool: a thread of a worker's main process that answers requests for pieces of files.

Now and then it removes what nobody needs any more: files of runs that its server has forgotten, and whatever is older
than a finished run's evidence is kept.
"""

from __future__ import annotations

import logging
import threading
import time

from taskexec.completion.spool import Spool
from taskexec.errors import ConnectionLost
from taskexec.store.connection import Connection
from taskexec.store.files import FileChannel, FileRequest
from taskexec.store.runs import RedisRunStore

__all__ = ["SpoolServer"]

log = logging.getLogger("taskexec.spool")

_WAIT_S = 1.0
_SWEEP_EVERY_S = 30.0
_FORGOTTEN_S = 3600.0
"""So long the files of a run that the server does not know are kept: it may have come back empty, and be told again."""


class SpoolServer:
    """Serves one spool; several workers of a host may serve the same one, each request is answered by one of them."""

    def __init__(
        self, spool: Spool, connection: Connection, *, retention_s: float, forgotten_s: float = _FORGOTTEN_S
    ) -> None:
        """Prepare to serve.

        Args:
            spool: The spool of this host.
            connection: A connection of its own: requests are waited for on it.
            retention_s: Files are removed so long after they were kept, if nothing has removed them before.
            forgotten_s: And so long after that when the server does not know their run.
        """
        self._spool = spool
        self._channel = FileChannel(connection)
        self._store = RedisRunStore(connection)
        self._retention_s = retention_s
        self._forgotten_s = forgotten_s
        self._swept_at = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="tek-spool", daemon=True)

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """End serving; a request that is being answered is."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2 * _WAIT_S)

    def _loop(self) -> None:
        while not self._stop.is_set():
            try:
                self.serve(wait_s=_WAIT_S)
                if time.monotonic() - self._swept_at >= _SWEEP_EVERY_S:
                    self._swept_at = time.monotonic()
                    self.sweep()
            except ConnectionLost:
                self._stop.wait(_WAIT_S)
            except Exception:
                log.exception("serving a file failed; the next request follows")
                self._stop.wait(_WAIT_S)

    def serve(self, *, wait_s: float) -> bool:
        """Answer one request; return whether there was one.

        Raises:
            ConnectionLost: The server did not answer; the reader asks again.
        """
        spool = self._spool.known_id
        if spool is None:  # nothing was ever kept here
            self._stop.wait(wait_s)
            return False
        request = self._channel.next_request(spool, wait_s=wait_s)
        if request is None:
            return False
        try:
            data = self._piece(request)
        except (OSError, ValueError):
            self._channel.answer(request, b"", error="it is not here any more")
            return True
        self._channel.answer(request, data)
        return True

    def _piece(self, request: FileRequest) -> bytes:
        with self._spool.open(request.run_id, request.sha256) as file:
            file.seek(request.offset)
            return file.read(request.length)

    def sweep(self) -> list[str]:
        """Remove the files of runs that the server has forgotten, and those that are too old; return the runs.

        Raises:
            ConnectionLost: The server did not answer.
        """
        removed = self._spool.remove_old(self._retention_s)
        kept = [run_id for run_id, age_s in self._spool.runs() if age_s > self._forgotten_s]
        known = set(self._store.listed()) if kept else set()
        for run_id in kept:
            if run_id not in known and self._spool.remove(run_id):
                removed.append(run_id)
        return removed
