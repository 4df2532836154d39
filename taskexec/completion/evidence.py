"""Evidence of one attempt on its way: small streams and files travel inline, longer ones in chunks; large files are
spooled where they are and fetched later. What is kept is digested, what is not is counted. Secrets are not kept."""

from __future__ import annotations

import base64
import hashlib
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from taskexec.completion.spool import KeptFile
from taskexec.domain.secrets import RedactedStream, Redactor
from taskexec.plan import evidence_folder

__all__ = ["CHUNK_BYTES", "AttemptEvidence", "EvidenceLimits", "FileKeeper", "decode_inline"]

CHUNK_BYTES = 65_536
"""Most bytes of one chunk on its way home."""

_FLUSH_AFTER_S = 0.1
"""How old output may get before it is sent on; what ends sooner travels with the end of its attempt."""
_INLINE_FILES = 4
"""So many times the limit of one inline file all of an attempt may take together: records stay small."""
_EMPTY = hashlib.sha256().hexdigest()


@dataclass(frozen=True, slots=True)
class EvidenceLimits:
    """How much evidence an attempt may leave."""

    inline_bytes: int = 16_384
    """Streams up to this size travel within the completion, in bytes."""
    total_bytes: int = 64 * 1024 * 1024
    """What goes beyond this is dropped and marked `truncated`, in bytes; spooled files are not counted."""
    spool_above_bytes: int = 8 * 1024 * 1024
    """Files above this size are spooled, in bytes."""
    file_bytes: int = 100 * 1024**3
    """What spooled files of an attempt take together beyond this is dropped and marked, in bytes."""


class FileKeeper(Protocol):
    """Keeps large files where the attempt was, until they are fetched: a spool, for one run."""

    @property
    def id(self) -> str:
        """Who keeps them; the record names it."""

    def keep(self, source: Path, *, is_ours: bool, limit_bytes: int) -> KeptFile:
        """Keep a file (moved if it `is_ours`, else copied), at most `limit_bytes` of it.

        Raises:
            OSError: It cannot be read or kept.
        """


@dataclass(slots=True)
class _Stream:
    digest: Any = None
    """Of what was sent; made with the first chunk: most streams of most tasks travel inline."""
    sent_bytes: int = 0
    dropped_bytes: int = 0
    is_cut: bool = False
    """The run has no room for more: what follows is dropped, so that what is kept is a beginning."""
    buffer: bytearray = field(default_factory=bytearray)
    beginning: bytearray | None = None
    """All of it while it is short, for results; None for files, and once it is long."""

    @property
    def size_bytes(self) -> int:
        return self.sent_bytes + len(self.buffer)


class AttemptEvidence:
    """Collects the streams and files of one attempt.

    `send` takes one chunk as `{"f": name, "o": offset, "d": bytes}` and returns False when the run may leave no more;
    it may block, and may be repeated.
    """

    def __init__(
        self,
        send: Callable[[dict[str, Any]], bool | None],
        limits: EvidenceLimits,
        *,
        keeper: FileKeeper | None = None,
        redactor: Redactor | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._send = send
        self._limits = limits
        self._keeper = keeper
        self._clock = clock
        self._streams = {name: _Stream(beginning=bytearray()) for name in ("stdout.log", "stderr.log")}
        self._redactor = redactor
        self._redacted = {} if redactor is None else {name: redactor.stream() for name in self._streams}
        self._spooled: dict[str, dict[str, Any]] = {}
        self._spooled_bytes = 0
        self._total = 0
        self._inline_left = _INLINE_FILES * limits.inline_bytes
        self._oldest: float | None = None

    def write(self, name: str, data: bytes) -> None:
        """Append bytes to a stream, without secrets; beyond the limits they are counted and dropped."""
        redacted = self._redacted.get(name)
        self._append(name, data if redacted is None else redacted.feed(data))

    def _append(self, name: str, data: bytes) -> None:
        stream = self._streams[name]
        room = 0 if stream.is_cut else self._limits.total_bytes - self._total
        if len(data) > room:
            stream.dropped_bytes += len(data) - room
            data = data[:room]
        if not data:
            return
        self._total += len(data)
        stream.buffer += data
        if stream.beginning is not None:
            stream.beginning += data
            if len(stream.beginning) > CHUNK_BYTES:
                stream.beginning = None
        if self._oldest is None:
            self._oldest = self._clock()
        if len(stream.buffer) > max(CHUNK_BYTES, self._limits.inline_bytes):
            self._flush(name, stream)

    def tick(self) -> float | None:
        """Send what has waited for some tenths of a second, so that logs can be followed.

        Returns:
            Seconds until it wants to be called again; None when nothing waits.
        """
        if self._oldest is None:
            return None
        left = self._oldest + _FLUSH_AFTER_S - self._clock()
        if left > 0:
            return left
        self.flush()
        return None

    def flush(self) -> None:
        """Send all that is buffered."""
        for name, stream in self._streams.items():
            self._flush(name, stream)
        self._oldest = None

    def add_folder(self, folder: Path) -> None:
        """Add every regular file below a folder, by its relative path; links are not followed, large files are moved.

        A link in the place of the folder itself is none of ours: what it leads to is left alone.

        Raises:
            OSError: A file cannot be read, or not be kept.
        """
        if folder.is_symlink():
            return
        for root, folders, names in os.walk(folder):
            folders.sort()
            for name in sorted(names):
                path = Path(root, name)
                if path.is_file() and not path.is_symlink():
                    parts = map(_valid_name, path.relative_to(folder).parts)
                    self._add_file(f"files/{'/'.join(parts)}", path, is_ours=True)

    def add_outputs(self, paths: Iterable[str]) -> None:
        """Add declared outputs, by their path relative to the current folder; they stay where they are.

        Raises:
            OSError: A file cannot be read, or not be kept.
        """
        for path in paths:
            name = "/".join(map(_valid_name, path.split("/")))
            self._add_file(f"outputs/{name}", Path(path), is_ours=False)

    def _add_file(self, name: str, path: Path, *, is_ours: bool) -> None:
        size = path.stat().st_size
        if self._keeper is not None and size > self._limits.spool_above_bytes:
            self._spool(name, path, is_ours=is_ours)
            return
        stream = self._streams.setdefault(name, _Stream())
        redacted = self._redacted_file(name)
        with path.open("rb") as file:
            while not stream.is_cut and self._total < self._limits.total_bytes and (data := file.read(CHUNK_BYTES)):
                self.write(name, data)
                if size > min(self._limits.inline_bytes, self._inline_left):
                    self._flush(name, stream)
        if redacted is not None:
            self._append(name, redacted.close())
        self._inline_left -= len(stream.buffer)
        stream.dropped_bytes = max(size - stream.size_bytes, 0)

    def _redacted_file(self, name: str) -> RedactedStream | None:
        """Return what masks the known secrets in a file; its size stays, and what only looks like a secret."""
        if self._redactor is None or not self._redactor.has_values:
            return None
        redacted = self._redacted[name] = self._redactor.values_only().stream(keep_length=True)
        return redacted

    def _spool(self, name: str, path: Path, *, is_ours: bool) -> None:
        assert self._keeper is not None
        kept = self._keeper.keep(path, is_ours=is_ours, limit_bytes=self._limits.file_bytes - self._spooled_bytes)
        self._spooled_bytes += kept.size_bytes
        self._spooled[name] = {"bytes": kept.size_bytes, "sha256": kept.sha256, "spool": self._keeper.id}
        if kept.dropped_bytes:
            self._spooled[name]["truncated"] = kept.dropped_bytes

    def text_of(self, name: str) -> str | None:
        """Return the whole of a stream as text, or None if it is longer than a chunk or was cut."""
        stream = self._streams[name]
        if stream.beginning is None or stream.dropped_bytes:
            return None
        held = self._redacted[name].peek() if name in self._redacted else b""
        return bytes(stream.beginning + held).decode(errors="replace")

    def close(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the account of all streams and files, and the content of those that travel inline.

        The account is `{name: {"bytes", "sha256"[, "truncated": bytes dropped][, "redacted": secrets masked][, "spool":
        who keeps it]}}`; inline contents are text, or `{"base64": …}` where they are not UTF-8.
        """
        account, inline = {}, {}
        for name in ("stdout.log", "stderr.log") if self._redacted else ():
            self._append(name, self._redacted[name].close())
        for name, stream in self._streams.items():
            if stream.sent_bytes or stream.size_bytes > self._limits.inline_bytes:
                self._flush(name, stream)
            digest = _EMPTY
            if stream.digest is not None:
                digest = stream.digest.hexdigest()
            elif stream.buffer or stream.beginning is None:  # a file is there even when nothing is in it
                inline[name] = _encode_inline(bytes(stream.buffer))
                digest = hashlib.sha256(stream.buffer).hexdigest()
            account[name] = {"bytes": stream.size_bytes, "sha256": digest}
            if stream.dropped_bytes:
                account[name]["truncated"] = stream.dropped_bytes
            if name in self._redacted and self._redacted[name].found:
                account[name]["redacted"] = self._redacted[name].found
        return account | self._spooled, inline

    def _flush(self, name: str, stream: _Stream) -> None:
        while stream.buffer:
            chunk = bytes(stream.buffer[:CHUNK_BYTES])
            if self._send({"f": name, "o": stream.sent_bytes, "d": chunk}) is False:
                stream.is_cut = True
                stream.dropped_bytes += len(stream.buffer)
                self._total -= len(stream.buffer)
                stream.buffer.clear()
                return
            if stream.digest is None:
                stream.digest = hashlib.sha256()
            stream.digest.update(chunk)
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
