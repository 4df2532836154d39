"""Which cores attempts are kept on, so that those at once on a worker get cores of their own where they fit."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

__all__ = ["CoreShares", "choose_cores"]


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

    What a child that is gone has taken is free again.
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
            entries = json.loads(os.pread(descriptor, os.fstat(descriptor).st_size, 0) or b"[]")
            yield entries
            text = json.dumps(entries).encode()
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, text, 0)
        finally:
            os.close(descriptor)
