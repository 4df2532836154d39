"""Fetching files through Redis: pieces are asked for by their place, and answered by whoever serves their spool.

Requests wait in one list a spool, answers in one list a reader. Both expire: what nobody takes is gone in a minute, so
nothing is left by a side that dies. Few pieces are asked for at once, which bounds what the server holds.
"""

from __future__ import annotations

import re
import secrets
from typing import NamedTuple

import orjson

from taskexec.store.connection import Connection
from taskexec.store.keys import fetch_key, fetched_key

__all__ = ["MOST_BYTES", "FileChannel", "FilePiece", "FileRequest", "new_reader"]

MOST_BYTES = 1_048_576
"""Most bytes of one piece."""
_LIFETIME_S = 60
_MOST_WAITING = 1000
_READER = re.compile(r"[0-9a-f]{32}")


class FileRequest(NamedTuple):
    """A piece that is asked for."""

    run_id: str
    sha256: str
    """Digest of the file, which names it."""
    offset: int
    length: int
    """Bytes, at most `MOST_BYTES`."""
    reader: str
    """Who asks (`new_reader`)."""


class FilePiece(NamedTuple):
    """An answer."""

    offset: int
    data: bytes
    error: str = ""
    """Why there is no data; empty when there is."""


def new_reader() -> str:
    """Return a name for one that reads a file; answers to earlier names are not seen by it."""
    return secrets.token_hex(16)


class FileChannel:
    """Both sides of fetching; every call may raise `ConnectionLost` and may be repeated."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def ask(self, spool: str, request: FileRequest) -> None:
        """Ask a spool for a piece."""
        key = fetch_key(spool)
        self._connection.pipeline(
            [
                ("RPUSH", key, orjson.dumps(request._asdict())),
                ("LTRIM", key, -_MOST_WAITING, -1),
                ("EXPIRE", key, _LIFETIME_S),
            ]
        )

    def answer_to(self, reader: str, *, wait_s: float) -> FilePiece | None:
        """Return the next piece for a reader; None when none comes within `wait_s`."""
        found = self._connection.call("BLPOP", fetched_key(reader), max(wait_s, 0.001))
        if found is None:
            return None
        head, _, data = bytes(found[1]).partition(b"\n")
        offset, _, error = head.decode().partition(" ")
        return FilePiece(int(offset), data, error)

    def next_request(self, spool: str, *, wait_s: float) -> FileRequest | None:
        """Return the next request to a spool; None when none comes within `wait_s`, or it is none that makes sense."""
        found = self._connection.call("BLPOP", fetch_key(spool), wait_s)
        if found is None:
            return None
        try:
            body = orjson.loads(found[1])
            request = FileRequest(
                str(body["run_id"]),
                str(body["sha256"]),
                int(body["offset"]),
                int(body["length"]),
                str(body["reader"]),
            )
        except (ValueError, KeyError, TypeError):
            return None
        is_sensible = request.offset >= 0 and 0 < request.length <= MOST_BYTES and _READER.fullmatch(request.reader)
        return request if is_sensible else None

    def answer(self, request: FileRequest, data: bytes, *, error: str = "") -> None:
        """Answer a request: with data, or with why there is none."""
        key = fetched_key(request.reader)
        head = f"{request.offset} {error}".strip().replace("\n", " ").encode()
        self._connection.pipeline([("RPUSH", key, head + b"\n" + data), ("EXPIRE", key, _LIFETIME_S)])
