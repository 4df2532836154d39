"""Building very many small objects at once without the garbage collector walking them again and again."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["collection_paused"]


class _Pauses:
    """How many want the collector to pause, which is one for all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._was_enabled = False

    def begin(self) -> None:
        with self._lock:
            if not self._count:
                self._was_enabled = gc.isenabled()
                gc.disable()
            self._count += 1

    def end(self) -> None:
        with self._lock:
            self._count -= 1
            if not self._count and self._was_enabled:
                gc.enable()


_pauses = _Pauses()


@contextmanager
def collection_paused() -> Iterator[None]:
    """Pause cyclic garbage collection; it was half the time of reading 20,000 rows.

    Drafts have no cycles, so nothing piles up. Other threads only see a later collection: it goes on when the last of
    those that pause it at the time is done. Programs that run without the collector are left as they are.
    """
    _pauses.begin()
    try:
        yield
    finally:
        _pauses.end()
