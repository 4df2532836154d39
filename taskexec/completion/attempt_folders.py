"""The folders of a run's attempts at home: put together beside their place and renamed into it, as often as needed.

Every step may be repeated, in a folder that an earlier time has left half done or complete, and gives the same
content. What is to be remembered between two times stands in `HomeState`.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson

from taskexec.completion.evidence import decode_inline
from taskexec.completion.ledger import LATE_RESULT, split_record
from taskexec.completion.names import RESULT, evidence_path, find_evidence, path_beside
from taskexec.completion.plain_files import new_plain, open_to_write
from taskexec.domain.events import Transition, TransitionKind

__all__ = ["ENDS_ATTEMPT", "AttemptFolders", "HomeState", "PendingFile"]

ENDS_ATTEMPT = {TransitionKind.SUCCEEDED, TransitionKind.FAILED, TransitionKind.TRIED, TransitionKind.LOST}
"""Transitions that end an attempt; those that have a record complete its folder."""

_ALWAYS = ("stdout.log", "stderr.log")
_MOST_ATTEMPTS = 1 << 31
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FOLDER = re.compile(r"attempt-([1-9][0-9]*)|\.attempt-([1-9][0-9]*)\.partial")
"""An attempt's folder, finished or not; `attempt-0` was taken over from another run."""


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

    def __post_init__(self) -> None:
        """Refuse what no spool could have: its digest becomes a file name, and its record may be anybody's.

        Raises:
            ValueError: Digest, size, spool or attempt is none.
        """
        texts = self.name, self.spool, self.host, self.sha256
        if not all(isinstance(text, str) for text in texts) or not _DIGEST.fullmatch(self.sha256):
            raise ValueError("no file that a spool could have")
        if type(self.size_bytes) is not int or self.size_bytes < 0 or self.attempt < 0:
            raise ValueError("no file that an attempt could have left")


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
        self._ended = array("q", bytes(8 * len(folders)))
        self._late: set[tuple[int, int]] = set()
        self.state = state

    def _is_one(self, index: int, attempt: int) -> bool:
        """Return whether there can be such an attempt, whatever the server says."""
        return 0 <= index < len(self._folders) and 1 <= attempt < _MOST_ATTEMPTS

    def note(self, transition: Transition) -> None:
        """Take in, of a ledger that is taken up, which attempts have ended: their folders are as they are to be."""
        index, attempt, kind = transition.index, transition.attempt, transition.kind
        if not self._is_one(index, attempt):
            return
        if kind is TransitionKind.REFUSED:
            self._late.add((index, attempt))
        is_stopped = kind is TransitionKind.CANCELLED and self.final(index, attempt).is_dir()
        if is_stopped or (kind in ENDS_ATTEMPT and transition.detail):
            self._ended[index] = max(self._ended[index], attempt)

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
        """Write one chunk of evidence; one of an attempt that has ended, or that cannot be, is dropped.

        Raises:
            OSError: It cannot be written, or something that is no plain file lies in its place.
        """
        try:
            index, attempt, offset, name, data = *(int(fields[key]) for key in "iao"), fields["f"], fields["d"]
        except (KeyError, ValueError):
            return
        if not self._is_one(index, attempt) or offset < 0 or attempt <= self._ended[index]:
            return
        folder, _ = self._begun(index, attempt)
        descriptor = open_to_write(_made_place(folder, name.decode(errors="surrogateescape")))
        try:
            _write_all(descriptor, data, offset)
        finally:
            os.close(descriptor)

    def finish(self, transition: Transition) -> None:
        """Complete the folder of an attempt that has ended with a record."""
        if self._is_one(transition.index, transition.attempt):
            self._complete(transition, RESULT)
            self.note(transition)

    def keep_late(self, transition: Transition) -> None:
        """Keep the record of a late result, and what of its evidence is not there yet."""
        if self._is_one(transition.index, transition.attempt):
            self._complete(transition, LATE_RESULT)
            self.note(transition)

    def _complete(self, transition: Transition, record_name: str) -> None:
        which = index, attempt = transition.index, transition.attempt
        record, inline = split_record(transition.detail)
        is_late = record_name == LATE_RESULT
        folder, is_new = self._begun(index, attempt)
        settled = _recorded_names(folder) if is_late else frozenset()
        for name, value in inline.items():
            if name in settled:
                continue
            path = _made_place(folder, name)
            if not is_late or not _has_content(path):
                _write_file(path, decode_inline(value))
        for name in _ALWAYS:
            if name not in inline and (is_new or not (folder / name).exists()):
                _write_file(folder / name, b"")
        _write_file(folder / record_name, record)
        if b'"spool":"' in record:
            self._await_files(which, orjson.loads(record), folder, settled)
        final = self.final(index, attempt)
        if folder != final:
            folder.rename(final)
            self.state.open.discard(which)

    def _await_files(
        self, which: tuple[int, int], record: Mapping[str, Any], folder: Path, settled: Collection[str]
    ) -> None:
        """Remember the files of an attempt that stayed with its worker, unless they are there by now."""
        host = str(record.get("host", ""))
        for name, file in record.get("files", {}).items():
            if "spool" not in file or name in settled:
                continue
            try:
                pending = PendingFile(*which, name, file["spool"], host, file["sha256"], file["bytes"])
            except (KeyError, ValueError):
                continue  # nobody has it: verification says that it is missing
            there = find_evidence(folder, name)
            if there is None or there.stat().st_size != pending.size_bytes:
                self.state.pending[(*which, name)] = pending

    def close_open(self) -> None:
        """Give their names to folders of attempts that were stopped and of which nothing more is heard."""
        for index, attempt in sorted(self.state.open):
            begun, final = self._begun(index, attempt)[0], self.final(index, attempt)
            if begun != final:
                begun.rename(final)
            self._ended[index] = max(self._ended[index], attempt)
        self.state.open.clear()

    def begin_life(self, started: Sequence[int]) -> None:
        """Remove what the ledger does not know: nobody will speak of it again, and its names are used again.

        That is what attempts left of which the ledger does not even know that they were started, and records of the
        others that it does not hold.

        Args:
            started: The last attempt of each task that the ledger knows, by index.

        Raises:
            OSError: It cannot be removed.
        """
        for index, attempt, path in list(self._all_there()):
            if attempt > max(started[index], self._ended[index]):
                _remove(path)
                continue
            if path.name.startswith("."):
                self.state.open.add((index, attempt))
            if attempt > self._ended[index]:
                (path / RESULT).unlink(missing_ok=True)
            if (index, attempt) not in self._late:
                (path / LATE_RESULT).unlink(missing_ok=True)
        self.state.open = {which for which in self.state.open if which[1] <= started[which[0]]}
        self.state.pending = {
            key: file for key, file in self.state.pending.items() if self._is_sealed(file.index, file.attempt)
        }

    def _is_sealed(self, index: int, attempt: int) -> bool:
        """Return whether the ledger holds a record of an attempt."""
        return attempt <= self._ended[index] or (index, attempt) in self._late

    def _all_there(self) -> Iterator[tuple[int, int, Path]]:
        """Yield index, attempt and path of every folder of an attempt, finished or not."""
        there: set[str] = set()
        for tasks in {folder.parent for folder in self._folders[:1]}:
            with os.scandir(tasks) as entries:
                there = {entry.name for entry in entries if entry.is_dir(follow_symlinks=False)}
        for index, folder in enumerate(self._folders if there else ()):
            if folder.name in there:
                for path in folder.iterdir():
                    match = _FOLDER.fullmatch(path.name)
                    if match is not None and not path.is_symlink():
                        yield index, int(match[1] or match[2]), path

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


def _recorded_names(folder: Path) -> frozenset[str]:
    """Return the names of the files that the record in an attempt's folder speaks of; none without a record."""
    with contextlib.suppress(OSError, ValueError, AttributeError, TypeError):
        return frozenset(orjson.loads((folder / RESULT).read_bytes()).get("files", {}))
    return frozenset()


def _remove(path: Path) -> None:
    """Remove a folder, or what lies in its place."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


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
    """Write a small file anew; a third of the time of `Path.write_bytes`, which counts at thousands a second."""
    descriptor = new_plain(path)
    try:
        _write_all(descriptor, data, 0)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written
