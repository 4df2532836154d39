"""Which cores attempts are kept on, so that those at once on a worker get cores of their own where they fit."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

__all__ = ["CoreShares", "choose_cores"]

log = logging.getLogger("taskexec.cores")


def choose_cores(cores: Collection[int], taken: Sequence[tuple[Collection[int], int]], cpus: int) -> frozenset[int]:
    """Return the cores of an attempt.

    Args:
        cores: Those of the worker.
        taken: What others have: their cores, and thousandths of a core in all.
        cpus: Thousandths of a core that it was given. A fraction of one shares a core with others where that fits.
    """
    load = dict.fromkeys(sorted(cores), 0)
    for theirs, amount in taken:
        for core in theirs:
            if core in load:
                load[core] += amount // max(len(theirs), 1)
    if cpus < 1000:
        fitting = [core for core in load if load[core] + cpus <= 1000]
        if fitting:
            return frozenset([max(fitting, key=lambda core: load[core])])
    count = min(max(-(-cpus // 1000), 1), len(load))
    return frozenset(sorted(load, key=lambda core: (load[core], core))[:count])


@dataclass(frozen=True, slots=True)
class CoreShares:
    """Who of a worker's pool children uses which cores: a file that all of them lock.

    What a child that is gone has taken is free again. A file that cannot be read is copied beside it, as `*.damaged`,
    and begun anew: attempts under way then count no more, and may have to share their cores until they end.
    """

    path: Path
    """The file."""
    is_alive: Callable[[int], bool] = psutil.pid_exists
    """Whether a process still runs."""

    def take(self, key: str, cpus: int) -> frozenset[int]:
        """Return the cores for an attempt of this process, and note that they are taken."""
        with self._entries() as entries:
            alive = [entry for entry in entries if self.is_alive(entry[0])]
            taken = [(cores, amount) for _, _, cores, amount in alive]
            chosen = choose_cores(os.sched_getaffinity(0), taken, cpus)
            entries[:] = [*alive, [os.getpid(), key, sorted(chosen), cpus]]
            return chosen

    def give_back(self, key: str) -> None:
        """Note that they are free again."""
        with self._entries() as entries:
            entries[:] = [entry for entry in entries if entry[:2] != [os.getpid(), key]]

    @contextlib.contextmanager
    def _entries(self) -> Iterator[list[list[Any]]]:
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # given up with the descriptor, however its process ends
            found = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
            entries = _read(found)
            if entries is None:
                self._set_aside(found)
                entries = []
            yield entries
            text = json.dumps(entries).encode()
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, text, 0)
        finally:
            os.close(descriptor)

    def _set_aside(self, found: bytes) -> None:
        """Keep what was found for who looks into it; the file itself stays, since its lock is what all wait for."""
        aside = self.path.with_name(f"{self.path.name}.damaged")
        with contextlib.suppress(OSError):  # without room for the copy, work goes on all the same
            aside.write_bytes(found)
        log.warning("who uses which cores cannot be read and is begun anew", extra={"file": str(aside)})


def _read(text: bytes) -> list[list[Any]] | None:
    """Return the entries (process, key, cores, thousandths of a core each); None when the text is damaged."""
    try:
        entries = json.loads(text or b"[]")
    except (ValueError, RecursionError):
        return None
    is_sound = isinstance(entries, list) and all(map(_is_entry, entries))
    return entries if is_sound else None


def _is_entry(entry: Any) -> bool:
    match entry:
        case [int(), str(), [*cores], int()]:
            return all(isinstance(core, int) for core in cores)
    return False
