"""Evidence of one attempt on its way: streams and files are digested, kept small ones inline, sent on in chunks."""

from __future__ import annotations

import base64
import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from taskexec.plan import evidence_folder

__all__ = ["CHUNK_BYTES", "AttemptEvidence", "EvidenceLimits", "decode_inline"]

CHUNK_BYTES = 65_536
"""Most bytes of one chunk on its way home."""

_FLUSH_AFTER_S = 0.3
_EMPTY = hashlib.sha256().hexdigest()


@dataclass(frozen=True, slots=True)
class EvidenceLimits:
    """How much evidence an attempt may leave."""

    inline_bytes: int = 16_384
    """Streams up to this size travel within the completion, in bytes."""
    total_bytes: int = 64 * 1024 * 1024
    """What goes beyond this is dropped and marked `truncated`, in bytes."""


@dataclass(slots=True)
class _Stream:
    digest: Any = None
    """Made with the first byte: most streams of most tasks stay empty."""
    size_bytes: int = 0
    sent_bytes: int = 0
    dropped_bytes: int = 0
    buffer: bytearray = field(default_factory=bytearray)
    beginning: bytearray | None = None
    """All of it while it is short, for results; None for files, and once it is long."""


class AttemptEvidence:
    """Collects the streams and files of one attempt.

    `send` takes one chunk as `{"f": name, "o": offset, "d": bytes}`; it may block, and may be repeated.
    """

    def __init__(
        self,
        send: Callable[[dict[str, Any]], None],
        limits: EvidenceLimits,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._send = send
        self._limits = limits
        self._clock = clock
        self._streams = {name: _Stream(beginning=bytearray()) for name in ("stdout.log", "stderr.log")}
        self._total = 0
        self._oldest: float | None = None

    def write(self, name: str, data: bytes) -> None:
        """Append bytes to a stream; beyond the attempt's limit they are counted and dropped."""
        stream = self._streams[name]
        room = self._limits.total_bytes - self._total
        if len(data) > room:
            stream.dropped_bytes += len(data) - room
            data = data[:room]
        if not data:
            return
        self._total += len(data)
        stream.size_bytes += len(data)
        if stream.digest is None:
            stream.digest = hashlib.sha256()
        stream.digest.update(data)
        stream.buffer += data
        if stream.beginning is not None:
            stream.beginning += data
            if len(stream.beginning) > CHUNK_BYTES:
                stream.beginning = None
        if self._oldest is None:
            self._oldest = self._clock()
        if len(stream.buffer) > max(CHUNK_BYTES, self._limits.inline_bytes):
            self._flush(name, stream)

    def tick(self) -> None:
        """Send what has waited for longer than some tenths of a second, so that logs can be followed."""
        if self._oldest is not None and self._clock() - self._oldest >= _FLUSH_AFTER_S:
            self.flush()

    def flush(self) -> None:
        """Send all that is buffered."""
        for name, stream in self._streams.items():
            self._flush(name, stream)
        self._oldest = None

    def add_folder(self, folder: Path) -> None:
        """Add every regular file below a folder, by its relative path; links are not followed."""
        for root, folders, names in os.walk(folder):
            folders.sort()
            for name in sorted(names):
                path = Path(root, name)
                if path.is_file() and not path.is_symlink():
                    parts = map(_valid_name, path.relative_to(folder).parts)
                    self._add_file(f"files/{'/'.join(parts)}", path)

    def _add_file(self, name: str, path: Path) -> None:
        stream = self._streams.setdefault(name, _Stream())
        size = path.stat().st_size
        with path.open("rb") as file:
            while self._total < self._limits.total_bytes and (data := file.read(CHUNK_BYTES)):
                self.write(name, data)
                self._flush(name, stream)
        stream.dropped_bytes = max(size - stream.size_bytes, 0)

    def text_of(self, name: str) -> str | None:
        """Return the whole of a stream as text, or None if it is longer than a chunk or was cut."""
        stream = self._streams[name]
        if stream.beginning is None or stream.dropped_bytes:
            return None
        return stream.beginning.decode(errors="replace")

    def close(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the account of all streams and files, and the content of those that travel inline.

        The account is `{name: {"bytes", "sha256"[, "truncated": bytes dropped]}}`; inline contents are text, or
        `{"base64": …}` where they are not UTF-8.
        """
        account, inline = {}, {}
        for name, stream in self._streams.items():
            if not stream.sent_bytes and stream.size_bytes <= self._limits.inline_bytes:
                if stream.buffer or stream.beginning is None:  # a file is there even when nothing is in it
                    inline[name] = _encode_inline(bytes(stream.buffer))
            else:
                self._flush(name, stream)
            digest = _EMPTY if stream.digest is None else stream.digest.hexdigest()
            account[name] = {"bytes": stream.size_bytes, "sha256": digest}
            if stream.dropped_bytes:
                account[name]["truncated"] = stream.dropped_bytes
        return account, inline

    def _flush(self, name: str, stream: _Stream) -> None:
        while stream.buffer:
            chunk = bytes(stream.buffer[:CHUNK_BYTES])
            self._send({"f": name, "o": stream.sent_bytes, "d": chunk})
            stream.sent_bytes += len(chunk)
            del stream.buffer[:CHUNK_BYTES]


def _valid_name(part: str) -> str:
    """Return a file's name, or a readable digest form of one that is not UTF-8 (JSON could not hold it)."""
    try:
        part.encode()
    except UnicodeEncodeError:
        return evidence_folder(part)
    return part


def _encode_inline(data: bytes) -> Any:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def decode_inline(value: Any) -> bytes:
    """Return the bytes of an inline content."""
    return base64.b64decode(value["base64"]) if isinstance(value, dict) else str(value).encode()
