"""Declared files of a task: which ones its patterns mean in the project folder, and the digests of what it reads."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from taskexec.completion.spool import copy_digested

__all__ = ["DeclaredMissing", "digests_of", "find_declared"]


class DeclaredMissing(Exception):
    """Tells that declared files are not there, or cannot be meant; the text says which."""


def find_declared(patterns: Iterable[str], what: str) -> list[str]:
    """Return the files that patterns mean, as sorted paths relative to the current folder, which is the project's.

    A folder means all files below it. Links to files are followed, links to folders below a folder are not.

    Args:
        patterns: Relative paths, with `*`, `?`, `[…]` and `**`.
        what: `input` or `output`, for the message.

    Raises:
        DeclaredMissing: A pattern means no file, or leads out of the project folder.
    """
    found: set[str] = set()
    missing = []
    for pattern in patterns:
        if os.path.isabs(pattern) or ".." in Path(pattern).parts:
            raise DeclaredMissing(f"declared {what} `{pattern}` is not a path below the project folder")
        files = set(_files(pattern))
        if not files:
            missing.append(f"`{pattern}`")
        found |= files
    if missing:
        raise DeclaredMissing(f"declared {what} {', '.join(missing)} is not there: no such file in {Path.cwd()}")
    return sorted(found)


def _files(pattern: str) -> Iterator[str]:
    matches = [pattern] if os.path.lexists(pattern) else glob.iglob(pattern, recursive=True, include_hidden=True)
    for match in matches:
        if os.path.isfile(match):
            yield os.path.normpath(match)
        elif os.path.isdir(match):
            for root, _, names in os.walk(match):
                paths = (os.path.join(root, name) for name in names)
                yield from (os.path.normpath(path) for path in paths if os.path.isfile(path))


def digests_of(paths: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 of files by their paths, in hexadecimal, with bounded memory.

    Raises:
        OSError: One cannot be read.
    """
    digests = {}
    for path in paths:
        with open(path, "rb", buffering=0) as file:
            digests[path] = copy_digested(file, None)[1]
    return digests
