"""Reading and writing what lies in a run's folder: plain files only, whoever has put something else there."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

__all__ = ["files_below", "new_plain", "open_plain", "open_to_write", "sha256_of"]


def open_plain(path: Path) -> FileIO:
    """Open a plain file for reading, unbuffered; links are not followed, and nothing else is waited for.

    Raises:
        OSError: It is not there, cannot be read, or is no plain file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(None, "it is no plain file", str(path))
    return open(descriptor, "rb", buffering=0)


def open_to_write(path: Path) -> int:
    """Open a plain file for reading and writing, made if need be; links are not followed. Returns a descriptor.

    Raises:
        OSError: It cannot be opened, or is no plain file.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(None, "it is no plain file", str(path))
    return descriptor


def new_plain(path: Path) -> int:
    """Make an empty file in the place of whatever lies there; a file of another name is not touched.

    Returns a descriptor for writing.

    Raises:
        OSError: It cannot be made.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o644)
    except FileExistsError:
        os.unlink(path)
        return os.open(path, flags, 0o644)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a plain file, in hexadecimal; empty for anything else."""
    try:
        with open_plain(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def files_below(folder: Path) -> Iterator[Path]:
    """Yield everything below a folder that is no folder, links not followed, in one order; nothing without one."""
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            yield from files_below(path)
        else:
            yield path
