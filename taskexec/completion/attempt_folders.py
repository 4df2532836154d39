"""The folders of a run's attempts at home: put together beside their place and renamed into it, as often as needed.

Every step may be repeated, in a folder that an earlier time has left half done or complete, and gives the same
content. What is to be remembered between two times stands in `HomeState`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson

from taskexec.completion.evidence import decode_inline
from taskexec.completion.ledger import LATE_RESULT, split_record
from taskexec.completion.names import RESULT, evidence_path, find_evidence, path_beside
from taskexec.domain.events import Transition

__all__ = ["AttemptFolders", "HomeState", "PendingFile"]

_ALWAYS = ("stdout.log", "stderr.log")


@dataclass(frozen=True, slots=True)
class PendingFile:
    """A file of evidence that is still where its attempt was."""

    index: int
    attempt: int
    name: str
    spool: str
    """Id of the spool that keeps it."""
    host: str
    """Name of the spool's host, for people."""
    sha256: str
    size_bytes: int
    is_gone: bool = False
    """Its spool was asked and has it no more: it will never come."""


@dataclass(slots=True)
class HomeState:
    """What bringing a run home has to remember from one time to the next."""

    output_to: str = "0"
    """Id of the last chunk of evidence that was written."""
    open: set[tuple[int, int]] = field(default_factory=set)
    """Index and attempt of folders that are being put together."""
    pending: dict[tuple[int, int, str], PendingFile] = field(default_factory=dict)

    def encode(self) -> bytes:
        """Return it as JSON."""
        body = {"output_to": self.output_to, "open": sorted(self.open), "pending": list(self.pending.values())}
        return orjson.dumps(body)

    @classmethod
    def decode(cls, data: bytes) -> HomeState:
        """Return what `encode` wrote.

        Raises:
            ValueError: It is something else.
        """
        try:
            body = orjson.loads(data)
            pending = [PendingFile(**values) for values in body["pending"]]
            return cls(
                str(body["output_to"]),
                {(int(index), int(attempt)) for index, attempt in body["open"]},
                {(file.index, file.attempt, file.name): file for file in pending},
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"no state of a run's folder: {error}") from error


class AttemptFolders:
    """Writes the folders of one run's attempts."""

    def __init__(self, folders: Sequence[Path], state: HomeState) -> None:
        """Work on the folders of tasks, by index."""
        self._folders = folders
        self.state = state

    def final(self, index: int, attempt: int) -> Path:
        """Return the folder of an attempt that has ended."""
        return self._folders[index] / f"attempt-{attempt}"

    def _begun(self, index: int, attempt: int) -> tuple[Path, bool]:
        """Return where an attempt's folder is now, and whether it was made by this call.

        What was begun earlier is gone on with: beside its place, or in it once the attempt had ended.
        """
        partial, final = self._folders[index] / f".attempt-{attempt}.partial", self.final(index, attempt)
        parent_is_new, is_new = _make_folder(partial, is_first=attempt == 1)
        if is_new and not parent_is_new and final.is_dir():
            partial.rmdir()
            return final, False
        self.state.open.add((index, attempt))
        return partial, is_new

    def take_output(self, fields: Mapping[str, bytes]) -> None:
        """Write one chunk of evidence; one that comes after its attempt was given up lies with what came before."""
        index, attempt = int(fields["i"]), int(fields["a"])
        folder, _ = self._begun(index, attempt)
        path = _made_place(folder, fields["f"].decode(errors="surrogateescape"))
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            _write_all(descriptor, fields["d"], int(fields["o"]))
        finally:
            os.close(descriptor)

    def finish(self, transition: Transition) -> None:
        """Complete the folder of an attempt that has ended with a record."""
        self._complete(transition, RESULT)

    def keep_late(self, transition: Transition) -> None:
        """Keep the record of a late result, and what of its evidence is not there yet."""
        self._complete(transition, LATE_RESULT)

    def _complete(self, transition: Transition, record_name: str) -> None:
        which = index, attempt = transition.index, transition.attempt
        record, inline = split_record(transition.detail)
        is_late = record_name == LATE_RESULT
        folder, is_new = self._begun(index, attempt)
        for name, value in inline.items():
            path = _made_place(folder, name)
            if not is_late or not _has_content(path):
                _write_file(path, decode_inline(value))
        for name in _ALWAYS:
            if name not in inline and (is_new or not (folder / name).exists()):
                _write_file(folder / name, b"")
        _write_file(folder / record_name, record)
        if b'"spool":"' in record:
            self._await_files(which, orjson.loads(record), folder)
        final = self.final(index, attempt)
        if folder != final:
            folder.rename(final)
            self.state.open.discard(which)

    def _await_files(self, which: tuple[int, int], record: Mapping[str, Any], folder: Path) -> None:
        """Remember the files of an attempt that stayed with its worker, unless they are there by now."""
        for name, file in record.get("files", {}).items():
            if "spool" not in file:
                continue
            there = find_evidence(folder, name)
            if there is None or there.stat().st_size != file["bytes"]:
                host = str(record.get("host", ""))
                self.state.pending[(*which, name)] = PendingFile(
                    *which, name, file["spool"], host, file["sha256"], file["bytes"]
                )

    def close_open(self) -> None:
        """Give their names to folders of attempts that were stopped and of which nothing more is heard."""
        for index, attempt in sorted(self.state.open):
            begun, final = self._begun(index, attempt)[0], self.final(index, attempt)
            if begun != final:
                begun.rename(final)
        self.state.open.clear()

    def fetching(self, file: PendingFile) -> Path:
        """Return where a pending file is put together; what lies there is its beginning."""
        folder = self.final(file.index, file.attempt)
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f".fetch-{file.sha256}"

    def settle(self, file: PendingFile) -> None:
        """Put a file that was fetched into its place; it is pending no more."""
        self.fetching(file).replace(_made_place(self.final(file.index, file.attempt), file.name))
        del self.state.pending[file.index, file.attempt, file.name]

    def give_up(self, file: PendingFile) -> None:
        """Note that a file will never come."""
        self.state.pending[file.index, file.attempt, file.name] = replace(file, is_gone=True)


def _made_place(folder: Path, name: str) -> Path:
    """Return where a file is to be written, with the folders above it; a place that is taken leads to another."""
    path = evidence_path(folder, name)
    try:
        if path.parent != folder:
            path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):  # a file has the name of its folder
        return path_beside(folder, name)
    return path_beside(folder, name) if path.is_dir() else path


def _has_content(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _make_folder(path: Path, *, is_first: bool) -> tuple[bool, bool]:
    """Make a folder and, at need, its parent; return for the parent and for the folder whether it was made.

    `is_first` says that the parent is probably missing: a call that fails costs as much as one that does not.
    """
    parent_is_new = is_first and _is_made(path.parent)
    try:
        return parent_is_new, _is_made(path)
    except FileNotFoundError:
        os.mkdir(path.parent)
        os.mkdir(path)
        return True, True


def _is_made(path: Path) -> bool:
    """Make a folder; return False when it is there already."""
    try:
        os.mkdir(path)
    except FileExistsError:
        return False
    return True


def _write_file(path: Path, data: bytes) -> None:
    """Write a small file; a third of the time of `Path.write_bytes`, which counts at thousands a second."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        _write_all(descriptor, data, 0)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written
