"""The spool of a host: large files that attempts left, kept beside their worker until somebody has fetched them.

```text
<spool>/id                   who this spool is, for good
<spool>/<run>/.origin        digest of the database that knows the run, whoever its user is
<spool>/<run>/<sha256>       one file, by its digest
```
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

__all__ = ["KeptFile", "RunSpool", "Spool", "copy_digested", "server_origin"]

_BLOCK_BYTES = 1_048_576
"""Read and hashed at once; so much memory a file takes, whatever its size."""
_ORIGIN = ".origin"
_PORT = 6379
"""Port of an address that names none."""
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class KeptFile(NamedTuple):
    """What became of a file that was given to the spool."""

    size_bytes: int
    sha256: str
    """Of what was kept."""
    dropped_bytes: int
    """What lay beyond the limit."""


def server_origin(url: str) -> str:
    """Return a name for the database at an address: the same for all its users and ways of writing the address.

    It tells nothing of user and password, since they do not go into it.
    """
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    if parts.scheme == "unix":
        where, number = unquote(parts.path), ""
    else:
        where, number = f"{(parts.hostname or '').rstrip('.')}:{parts.port or _PORT}", parts.path.strip("/")
    number = options.get("db", number)
    database = int(number) if number.isascii() and number.isdigit() else 0  # as its client reads it
    return hashlib.sha256(f"{where}/{database}".encode()).hexdigest()[:32]


class Spool:
    """One folder of spooled files; any number of workers and collectors of a host share it."""

    def __init__(self, folder: Path, *, origin: str = "") -> None:
        """Open a spool; nothing is made before the first file is kept.

        Args:
            folder: Where it is; private to this user.
            origin: `server_origin` of the server whose runs are kept from now on.
        """
        self.folder = folder
        self._origin = origin

    @property
    def id(self) -> str:
        """Who this spool is; made when it is asked for the first time.

        Raises:
            OSError: The folder cannot be made.
        """
        path = self.folder / "id"
        with contextlib.suppress(FileNotFoundError):
            return path.read_text().strip()
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = self.folder / f".id.{secrets.token_hex(8)}"
        temporary.write_text(secrets.token_hex(16))
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)  # the first one counts
        temporary.unlink()
        return path.read_text().strip()

    @property
    def known_id(self) -> str | None:
        """Who this spool is; None when there is none here yet."""
        try:
            return (self.folder / "id").read_text().strip() or None
        except OSError:
            return None

    def path_of(self, run_id: str, sha256: str) -> Path:
        """Return where a file of a run lies, or would lie.

        Raises:
            ValueError: Run or digest is none; whatever is asked for, nothing outside the spool is ever named.
        """
        if not _RUN.fullmatch(run_id) or not _DIGEST.fullmatch(sha256):
            raise ValueError("no such file")
        return self.folder / run_id / sha256

    def open(self, run_id: str, sha256: str) -> BinaryIO:
        """Open a kept file.

        Raises:
            ValueError, OSError: There is none.
        """
        descriptor = os.open(self.path_of(run_id, sha256), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        file = os.fdopen(descriptor, "rb", buffering=0)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            file.close()
            raise ValueError("no such file")
        return file

    def keep(self, run_id: str, source: Path, *, is_ours: bool, limit_bytes: int) -> KeptFile:
        """Keep a file for a run, with bounded memory.

        Args:
            run_id: Its run.
            source: The file; links are followed.
            is_ours: It may be moved; else it is copied and left alone.
            limit_bytes: What lies behind so many bytes is dropped.

        Raises:
            OSError: It cannot be read, or not be kept (disk full); nothing of it is left in the spool.
        """
        folder = self.path_of(run_id, "0" * 64).parent
        self._make_run(folder)
        temporary = folder / f".{secrets.token_hex(8)}.part"
        size = source.stat().st_size
        try:
            if is_ours and size <= limit_bytes and _moved(source, temporary):
                with temporary.open("rb") as file:
                    kept, digest = _digest_of(file)
            else:
                with source.open("rb") as file, temporary.open("xb") as target:
                    kept, digest = copy_digested(file, target, limit_bytes)
            temporary.chmod(0o644)
            temporary.replace(folder / digest)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return KeptFile(kept, digest, max(size - kept, 0))

    def _make_run(self, folder: Path) -> None:
        if folder.is_dir():
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(exist_ok=True)
        (folder / _ORIGIN).write_text(self._origin)

    def runs(self) -> Iterator[tuple[str, float]]:
        """Yield each run of this origin with the age of its newest file, in seconds."""
        yield from ((name, age_s) for name, origin, age_s in self._all_runs() if origin == self._origin)

    def remove_old(self, age_s: float) -> list[str]:
        """Remove the files of all runs, wherever they are from, that got nothing for so long; return their ids."""
        old = [name for name, _, age in self._all_runs() if age > age_s]
        for run_id in old:
            self.remove(run_id)
        return old

    def _all_runs(self) -> Iterator[tuple[str, str, float]]:
        with contextlib.suppress(OSError):
            for folder in sorted(self.folder.iterdir()):
                with contextlib.suppress(OSError):
                    if folder.is_dir():
                        origin = (folder / _ORIGIN).read_text() if (folder / _ORIGIN).is_file() else ""
                        yield folder.name, origin, time.time() - folder.stat().st_mtime

    def remove(self, run_id: str) -> bool:
        """Remove the files of a run; return whether there were any."""
        folder = self.path_of(run_id, "0" * 64).parent
        if not folder.is_dir():
            return False
        shutil.rmtree(folder, ignore_errors=True)
        return True


class RunSpool(NamedTuple):
    """The spool as the attempts of one run use it."""

    spool: Spool
    run_id: str

    @property
    def id(self) -> str:
        """Who the spool is."""
        return self.spool.id

    def keep(self, source: Path, *, is_ours: bool, limit_bytes: int) -> KeptFile:
        """Keep a file; see `Spool.keep`."""
        return self.spool.keep(self.run_id, source, is_ours=is_ours, limit_bytes=limit_bytes)


def _moved(source: Path, target: Path) -> bool:
    """Rename a file; return False when it lies on another file system, or somebody may change it by another name."""
    if source.is_symlink() or source.stat().st_nlink > 1:
        return False
    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return False
    return True


def copy_digested(source: BinaryIO, target: BinaryIO | None, limit_bytes: int | None = None) -> tuple[int, str]:
    """Copy what is left of a file, at most a limit; return how many bytes, and their SHA-256 in hexadecimal."""
    digest, copied = hashlib.sha256(), 0
    block = memoryview(bytearray(_BLOCK_BYTES))
    while limit_bytes is None or copied < limit_bytes:
        room = block if limit_bytes is None else block[: limit_bytes - copied]
        count = source.readinto(room)  # type: ignore[attr-defined]  # binary files have it, the type does not say so
        if not count:
            break
        digest.update(room[:count])
        if target is not None:
            target.write(room[:count])
        copied += count
    return copied, digest.hexdigest()


def _digest_of(file: BinaryIO) -> tuple[int, str]:
    return copy_digested(file, None)
