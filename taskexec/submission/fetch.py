"""Fetching what stayed with the workers: large files come home in pieces, go on where they stopped, and are checked."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from taskexec.completion.attempt_folders import PendingFile
from taskexec.completion.home import RunFolder
from taskexec.completion.plain_files import open_to_write
from taskexec.completion.spool import Spool, copy_digested
from taskexec.errors import ConnectionLost
from taskexec.store.connection import Connection
from taskexec.store.files import FileChannel, FileRequest, new_reader
from taskexec.store.workers import WorkerRegistry

__all__ = ["FileFetcher"]

_PIECE_BYTES = 524_288
_WINDOW_BYTES = 4 * _PIECE_BYTES
"""Asked for at once; so much of a file lies in the server's memory."""
_PAUSE_S = 0.2
_WAIT_S = 1.0
_ANSWER_S = 6.0
"""A piece that does not come in this time is asked for again; a slow line may need seconds for one."""
_PATIENCE_S = 30.0
"""Longest pause in a transfer: a worker or server that died is back by then."""


class _Transfer:
    """One file on its way, in the order of its bytes; what lies at home already is gone on with."""

    def __init__(self, channel: FileChannel, run_id: str, file: PendingFile, path: Path) -> None:
        self.file = file
        self._channel = channel
        self._run_id = run_id
        self._descriptor = open_to_write(path)
        self._digest = hashlib.sha256()
        self._position = self._asked = 0
        self._reader = new_reader()
        self._heard_at = time.monotonic()
        if os.fstat(self._descriptor).st_size > file.size_bytes:
            os.ftruncate(self._descriptor, 0)
        while data := os.pread(self._descriptor, _PIECE_BYTES, self._position):
            self._advance(data)
        self._asked = self._position

    @property
    def is_whole(self) -> bool:
        return self._position == self.file.size_bytes

    @property
    def is_right(self) -> bool:
        return self._digest.hexdigest() == self.file.sha256

    def go_on(self) -> bool:
        """Ask for what is missing and take the next piece; return False when none came.

        Raises:
            FileNotFoundError: The spool has the file no more.
            ConnectionLost: The server did not answer.
        """
        while self._asked < min(self.file.size_bytes, self._position + _WINDOW_BYTES):
            length = min(_PIECE_BYTES, self.file.size_bytes - self._asked)
            request = FileRequest(self._run_id, self.file.sha256, self._asked, length, self._reader)
            self._channel.ask(self.file.spool, request)
            self._asked += length
        piece = self._channel.answer_to(self._reader, wait_s=_WAIT_S)
        if piece is None and time.monotonic() - self._heard_at < _ANSWER_S:
            return False
        if piece is None or piece.offset != self._position or not (piece.data or piece.error):
            self.ask_again()
            return False
        self._heard_at = time.monotonic()
        if piece.error:
            raise FileNotFoundError(piece.error)
        view = memoryview(piece.data)
        while view:
            written = os.pwrite(self._descriptor, view, self._position)
            self._advance(view[:written])
            view = view[written:]
        return True

    def _advance(self, data: bytes | memoryview) -> None:
        self._digest.update(data)
        self._position += len(data)

    def ask_again(self) -> None:
        """Forget what was asked for and not answered."""
        self._asked = self._position
        self._reader = new_reader()
        self._heard_at = time.monotonic()

    def start_over(self) -> None:
        """Throw away what was fetched."""
        os.ftruncate(self._descriptor, 0)
        self._digest, self._position = hashlib.sha256(), 0
        self.ask_again()

    def close(self) -> None:
        os.close(self._descriptor)


class FileFetcher:
    """Fetches the pending files of one run into its folder."""

    def __init__(self, run_id: str, connection: Connection, folder: RunFolder, spool: Spool | None) -> None:
        """Prepare to fetch.

        Args:
            run_id: The run.
            connection: The run's server.
            folder: Its folder at home.
            spool: The spool of this machine, whose files are taken directly; None when it has none.
        """
        self._run_id = run_id
        self._channel = FileChannel(connection)
        self._registry = WorkerRegistry(connection)
        self._folder = folder
        self._spool = spool
        self._transfer: _Transfer | None = None
        self._progress_at = time.monotonic()
        self._has_started_over = False
        self._out_of_reach: set[str] = set()

    def take_near(self) -> None:
        """Take the files that lie in the spool of this machine.

        Raises:
            OSError: The folder cannot be written.
        """
        pending = self._folder.pending
        here = self._spool.known_id if self._spool is not None and pending else None
        for file in pending:
            if self._spool is not None and file.spool == here:
                source = self._spool.path_of(self._run_id, file.sha256)
                if source.is_file():
                    _take(source, self._folder.fetching(file))
                    self._folder.settle(file)

    def go_on(self, until: Callable[[], bool]) -> bool:
        """Fetch until all is home, nothing more can be fetched now, or `until` says so; return whether that is all.

        Raises:
            ConnectionLost: The server does not answer, for longer than a transfer waits.
            OSError: The folder cannot be written.
        """
        if self._transfer is None:
            self._progress_at = time.monotonic()
        while not until():
            try:
                if self._transfer is None and not self._begin():
                    return True
                self._step()
            except ConnectionLost:
                if time.monotonic() - self._progress_at > _PATIENCE_S:
                    raise
                time.sleep(_PAUSE_S)
        return False

    def _begin(self) -> bool:
        """Begin the next transfer; return False when there is none that could come now."""
        files = [file for file in self._folder.pending if not file.is_gone and file.spool not in self._out_of_reach]
        if not files:
            return False
        if not self._is_served(files[0].spool):
            self._out_of_reach.add(files[0].spool)
            return self._begin()
        self._transfer = _Transfer(self._channel, self._run_id, files[0], self._folder.fetching(files[0]))
        self._progress_at = time.monotonic()
        self._has_started_over = False
        return True

    def _is_served(self, spool: str) -> bool:
        return any(worker.get("spool") == spool for worker in self._registry.listed())

    def _step(self) -> None:
        transfer = self._transfer
        assert transfer is not None
        if transfer.is_whole:
            self._check(transfer)
            return
        try:
            if transfer.go_on():
                self._progress_at = time.monotonic()
            elif time.monotonic() - self._progress_at > _PATIENCE_S:
                self._out_of_reach.add(transfer.file.spool)
                self._end()
        except FileNotFoundError:
            self._folder.give_up(transfer.file)
            self._end()
        except ConnectionLost:
            transfer.ask_again()
            raise

    def _check(self, transfer: _Transfer) -> None:
        """Put a file that is there as a whole into its place, if it is the right one; else it is fetched once more."""
        if transfer.is_right:
            self._folder.settle(transfer.file)
            self._end()
        elif self._has_started_over:  # what its spool has is no longer what the attempt left
            self._folder.give_up(transfer.file)
            self._end()
        else:
            self._has_started_over = True
            transfer.start_over()

    def _end(self) -> None:
        if self._transfer is not None:
            self._transfer.close()
            self._transfer = None

    def look_again(self) -> None:
        """Try again what could not be reached before."""
        self._out_of_reach.clear()

    def close(self) -> None:
        """End the transfer that goes on; what has come of it stays."""
        self._end()


def _take(source: Path, target: Path) -> None:
    """Give a spooled file a second name at home; on another file system, or where links are refused, copy it."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        with source.open("rb") as file, target.open("xb") as copy:
            copy_digested(file, copy)
