"""Whether the system has killed processes because it ran out of memory, as the kernel counts it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["OutOfMemoryKills"]

_STALE_S = 1.0


class OutOfMemoryKills:
    """The kernel's count of processes that it killed for lack of memory (`oom_kill`, of this machine or container).

    The kernel says nowhere which process it was. One that was ended by KILL, and not by us, while the count rose is
    taken for it.
    """

    def __init__(self, source: Path = Path("/proc/vmstat"), *, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock
        self._count = self._read()
        self._looked = clock()

    def look(self) -> None:
        """Note the count before a process starts; one that is a second old will do."""
        if self._clock() - self._looked > _STALE_S:
            self._count, self._looked = self._read(), self._clock()

    def has_risen(self) -> bool:
        """Return whether there were further kills since the last look, and look."""
        before = self._count
        self._count, self._looked = self._read(), self._clock()
        return self._count > before

    def _read(self) -> int:
        try:
            lines = self._source.read_text().splitlines()
        except OSError:  # not Linux, or hidden: then nobody can tell
            return 0
        return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
