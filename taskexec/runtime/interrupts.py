"""Ctrl-C in two steps: the first asks for an orderly end, the second for an end at once."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any

__all__ = ["Interrupts"]


class Interrupts:
    """Counts interrupts while its context lasts; TERM and HUP count as `terminate_counts`."""

    def __init__(self, *, terminate_counts: int = 2) -> None:
        self.count = 0
        self._terminate_counts = terminate_counts
        self._before: dict[int, Any] = {}

    def _take(self, number: int, _: FrameType | None) -> None:
        self.count += 1 if number == signal.SIGINT else self._terminate_counts

    def __enter__(self) -> Interrupts:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup, or a script's background
                self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
