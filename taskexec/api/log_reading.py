"""What tasks write: from the folder at home, or from the server while they do."""

from __future__ import annotations

import codecs
import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from taskexec.api.evidence_reading import new_file
from taskexec.api.live_run import LiveRun
from taskexec.api.sse import event
from taskexec.cluster.live_log import STREAMS, LiveLog, LogPiece
from taskexec.completion.outline import attempt_folder
from taskexec.store.runs import RedisRunStore

__all__ = ["LogEvents", "attempts_at_home", "home_pieces", "open_logs"]

_PIECE = 65_536
_EVENT_ID = re.compile(r"([0-9]{1,9})\.([0-9]{1,18})\.([0-9]{1,18})")


def _home(folder: Path, task_id: str, attempt: int) -> Path | None:
    """Return the folder of a finished attempt at home; None when it is not there."""
    base = attempt_folder(folder, task_id, attempt)
    return base if base.is_dir() and not base.is_symlink() and not folder.is_symlink() else None


def attempts_at_home(folder: Path, task_id: str, attempts: Sequence[int]) -> list[int]:
    """Return which attempts are at home."""
    return [attempt for attempt in attempts if _home(folder, task_id, attempt) is not None]


def _open(path: Path) -> BinaryIO:
    try:
        return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")
    except OSError:
        return new_file()


def open_logs(
    run: LiveRun, index: int, attempt: int, streams: Sequence[str], *, folder: Path, store: RedisRunStore
) -> list[tuple[BinaryIO, int]]:
    """Return what an attempt has written so far, a file a stream with its size in bytes.

    Raises:
        ConnectionLost: The server did not answer.
    """
    base = _home(folder, run.timeline.ids[index], attempt)
    if base is not None or run.is_at_home:
        files = [_open(base / name) if base is not None else new_file() for name in streams]
        return [(file, file.seek(0, os.SEEK_END)) for file in files]
    written = {name: new_file() for name in streams}
    log = LiveLog(store, run.run_id, index, first=attempt, last=attempt)
    while not log.has_ended:
        for piece in log.read():
            if piece.stream in written:
                written[piece.stream].write(piece.data)
        if log.is_up_to_date:
            break
    return [(file, file.tell()) for file in written.values()]


def home_pieces(folder: Path, task_id: str, attempt: int) -> Iterator[LogPiece]:
    """Yield what an attempt wrote that is at home."""
    base = _home(folder, task_id, attempt)
    for name in STREAMS if base is not None else ():
        assert base is not None
        with contextlib.closing(_open(base / name)) as file:
            offset = 0
            while data := file.read(_PIECE):
                yield LogPiece(attempt, name, offset, data)
                offset += len(data)


class LogEvents:
    """Makes events of what is read, each byte once: characters that came in part wait for their rest."""

    def __init__(self, streams: Sequence[str], known: tuple[int, int, int]) -> None:
        """Tell of some streams; `known` are an attempt and how many bytes of stdout and stderr the reader has."""
        self._streams = streams
        self.first, *told = known
        self._told = {(self.first, name): count for name, count in zip(STREAMS, told, strict=True)}
        self._decoders: dict[tuple[int, str], codecs.IncrementalDecoder] = {}

    @staticmethod
    def known_of(text: str | None) -> tuple[int, int, int] | None:
        """Return what an event's id says: attempt, bytes of stdout and stderr; None for nothing.

        Raises:
            ValueError: It is no such id.
        """
        if not text:
            return None
        found = _EVENT_ID.fullmatch(text)
        if found is None:
            raise ValueError("should be an attempt and two numbers of bytes")
        return int(found[1]), int(found[2]), int(found[3])

    def take(self, pieces: Iterator[LogPiece]) -> bytes:
        """Return the events of some pieces: what follows on each other in one stream is told together."""
        told: list[bytes] = []
        run: list[bytes] = []
        current: tuple[int, str] | None = None
        for piece in pieces:
            key = piece.attempt, piece.stream
            data = self._new(piece)
            if piece.stream not in self._streams or not data:
                continue
            if key != current or sum(map(len, run)) > _PIECE:
                told.append(self._tell(current, b"".join(run)))
                current, run = key, []
            run.append(data)
        told.append(self._tell(current, b"".join(run)))
        return b"".join(told)

    def _new(self, piece: LogPiece) -> bytes:
        """Return what of a piece was not told."""
        told = self._told.get((piece.attempt, piece.stream), 0) + self._held(piece.attempt, piece.stream)
        return piece.data[max(told - piece.offset, 0) :]

    def _held(self, attempt: int, stream: str) -> int:
        decoder = self._decoders.get((attempt, stream))
        return 0 if decoder is None else len(decoder.getstate()[0])

    def _tell(self, key: tuple[int, str] | None, data: bytes, *, is_last: bool = False) -> bytes:
        if key is None or not (data or is_last):
            return b""
        decoder = self._decoders.get(key)
        if decoder is None:
            decoder = self._decoders[key] = codecs.getincrementaldecoder("utf-8")("replace")
        offset, held = self._told.get(key, 0), self._held(*key)
        text = decoder.decode(data, final=is_last)
        if not text:
            return b""
        self._told[key] = offset + held + len(data) - self._held(*key)
        attempt, stream = key
        known = ".".join(str(self._told.get((attempt, name), 0)) for name in STREAMS)
        body = {"attempt": attempt, "stream": stream.removesuffix(".log"), "offset": offset, "text": text}
        return event("log", body, id_=f"{attempt}.{known}")

    def end(self) -> bytes:
        """Return what is left of characters that never became whole."""
        return b"".join(self._tell(key, b"", is_last=True) for key in list(self._decoders))
