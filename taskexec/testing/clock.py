"""A clock that stands still until it is moved."""

from __future__ import annotations

import threading

__all__ = ["ManualClock"]


class ManualClock:
    """A source of server time, in microseconds since the epoch; safe to share between threads."""

    def __init__(self, now_us: int = 1_700_000_000_000_000) -> None:
        self._now_us = now_us
        self._lock = threading.Lock()

    def __call__(self) -> int:
        """Return the time."""
        with self._lock:
            return self._now_us

    def advance(self, seconds: float) -> None:
        """Move the time forwards; a clock never runs backwards."""
        if seconds < 0:
            raise ValueError(f"a clock cannot be moved by {seconds} s")
        with self._lock:
            self._now_us += round(seconds * 1e6)
