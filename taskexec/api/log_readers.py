"""The threads that wait for what tasks write: few for all who follow a log, and a limit for these."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from taskexec.api.problems import Problem

__all__ = ["LogReaders"]

T = TypeVar("T")


class LogReaders:
    """Those who follow a log; each read waits in one of the threads for a moment."""

    def __init__(self, *, most: int = 200, threads: int = 32) -> None:
        """Let in at most so many; the threads are started as they are needed."""
        self._most = most
        self._count = 0
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="read log")

    def enter(self) -> Callable[[], None]:
        """Let one more in; return what it calls when it leaves.

        Raises:
            Problem: There are too many (503).
        """
        with self._lock:
            if self._count >= self._most:
                raise Problem(
                    503,
                    "server.logs",
                    f"{self._count} logs are followed already",
                    hint="without `follow` what there is comes at once",
                    headers={"Retry-After": "5"},
                )
            self._count += 1
        return self._leave

    def _leave(self) -> None:
        with self._lock:
            self._count -= 1

    async def read(self, call: Callable[[], T]) -> T:
        """Return what a call gives, which may wait for a moment."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    def close(self) -> None:
        """End the threads once their reads are over."""
        self._threads.shutdown(wait=False, cancel_futures=True)
