"""The evidence of an attempt that is taken over from another run: whether all of it is at home, and a copy of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from taskexec.completion.names import RESULT, find_evidence

__all__ = ["copy_attempt", "file_not_at_home", "read_record"]


def read_record(folder: Path) -> bytes | None:
    """Return the record in an attempt's folder; None when there is none that could be taken over."""
    path = folder / RESULT
    try:
        raw = path.read_bytes() if _lies_plainly(path, folder) else b""
        record = orjson.loads(raw)
    except (OSError, ValueError):
        return None
    if not isinstance(record, dict) or record.get("status") != "succeeded":
        return None
    files = record.get("files", {})
    is_whole = isinstance(files, dict) and all(isinstance(file, dict) and "bytes" in file for file in files.values())
    return raw if is_whole else None


def file_not_at_home(folder: Path, record: Mapping[str, Any]) -> str | None:
    """Return the first file of a record that is not in its attempt's folder, with its size; None when all are."""
    for name, path in _files(folder, record):
        if path is None or path.stat().st_size != record["files"][name]["bytes"]:
            return name
    return None


def copy_attempt(folder: Path, record: Mapping[str, Any], target: Path) -> None:
    """Copy the record of an attempt and the files that it names, all of them or none.

    Nothing is linked, so that whoever writes into one of both folders cannot change the other.

    Raises:
        OSError: A file is not there any more, or the target cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    for name, path in [(RESULT, folder / RESULT), *_files(folder, record)]:
        if path is None:
            raise FileNotFoundError(None, "evidence to be taken over is not there any more", str(folder / name))
        copy = partial / path.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    partial.rename(target)


def _files(folder: Path, record: Mapping[str, Any]) -> Iterator[tuple[str, Path | None]]:
    """Yield name and place of each file of a record; None for one that is not there as a plain file."""
    for name in record.get("files", {}):
        path = find_evidence(folder, name)
        yield name, path if path is not None and _lies_plainly(path, folder) else None


def _lies_plainly(path: Path, folder: Path) -> bool:
    """Return whether a path is a file that no link below the folder leads to."""
    below = [path, *path.parents][: len(path.relative_to(folder).parts)]
    return path.is_file() and not any(part.is_symlink() for part in below)
