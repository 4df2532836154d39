"""Whether the system has killed processes because it ran out of memory, as the kernel counts it."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

__all__ = ["OutOfMemoryKills"]

_KILLS = re.compile(rb"^oom_kill (\d+)$", re.MULTILINE)
_SIZE_BYTES = 65_536


class OutOfMemoryKills:
    """The kernel's count of processes that it killed for lack of memory (`oom_kill`, of this machine or container).

    The kernel says nowhere which process it was. One that was ended by KILL, and not by us, while the count rose is
    taken for it.
    """

    def __init__(self, source: Path = Path("/proc/vmstat")) -> None:
        try:
            self._descriptor: int | None = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # not Linux, or hidden: then nobody can tell
            self._descriptor = None
        self._count, self._looked = self._read(), time.monotonic()

    def look(self, *, old_s: float = 0.0) -> None:
        """Note the count before a process starts (12 µs, a fiftieth of that), unless it is younger than `old_s`."""
        now = time.monotonic()
        if now - self._looked >= old_s:
            self._count, self._looked = self._read(), now

    def has_risen(self) -> bool:
        """Return whether there were further kills since the last look."""
        return self._read() > self._count

    def _read(self) -> int:
        if self._descriptor is None:
            return 0
        found = _KILLS.search(os.pread(self._descriptor, _SIZE_BYTES, 0))
        return int(found[1]) if found else 0

    def close(self) -> None:
        """Give the file up."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
