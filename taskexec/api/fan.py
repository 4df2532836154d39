"""One writer, many readers: the last messages about a run, each written once and sent to everybody as it is.

Readers hold no queue of their own, only their place among the messages that are kept: one that has fallen behind by
more than these has lost its place, is told so, and is cut.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from itertools import islice
from typing import NamedTuple

__all__ = ["Fan", "Message", "Overtaken"]

_MOST_MESSAGES = 600
"""A minute's worth, at ten a second."""
_MOST_BYTES = 8 * 1024 * 1024


class Overtaken(Exception):  # it steers the reader's way out
    """A reader has fallen behind by more than is kept."""


class Message(NamedTuple):
    """What is sent to readers."""

    after: str
    """Id of the log's entry that it follows on."""
    id: str
    """Id of the log's last entry that it tells of; the same as `after` when it tells of none."""
    data: bytes
    is_last: bool = False
    """Whether readers are to leave after it."""


class Fan:
    """The last messages, numbered without gaps."""

    def __init__(self, *, most_messages: int = _MOST_MESSAGES, most_bytes: int = _MOST_BYTES) -> None:
        """Begin without messages; keep at most so many and so much, but always the last one."""
        self._most_messages, self._most_bytes = most_messages, most_bytes
        self._kept: deque[Message] = deque()
        self._bytes = 0
        self._first = 0
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news: asyncio.Event | None = None

    def publish(self, message: Message) -> None:
        """Add a message, from any thread."""
        with self._lock:
            self._kept.append(message)
            self._bytes += len(message.data)
            while len(self._kept) > self._most_messages or (self._bytes > self._most_bytes and len(self._kept) > 1):
                self._bytes -= len(self._kept.popleft().data)
                self._first += 1
            loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        if self._news is not None:
            self._news.set()
            self._news = None

    @property
    def end(self) -> int:
        """Number of the next message."""
        with self._lock:
            return self._first + len(self._kept)

    def place_after(self, entry: str) -> int | None:
        """Return the number of the message that follows on an entry of the log; None when none is kept that does."""
        with self._lock:
            for at, message in enumerate(self._kept, self._first):
                if message.after == entry:
                    return at
            return self._first + len(self._kept) if self._kept and self._kept[-1].id == entry else None

    def since(self, place: int, *, most_bytes: int) -> list[Message]:
        """Return the messages from a place on, up to a number of bytes but at least one, if there is one.

        Raises:
            Overtaken: The first of them is not kept any more.
        """
        with self._lock:
            if place < self._first:
                raise Overtaken
            found: list[Message] = []
            for message in islice(self._kept, place - self._first, None):
                most_bytes -= len(message.data)
                if found and most_bytes < 0:
                    break
                found.append(message)
            return found

    def clear(self) -> None:
        """Forget all messages: nobody reads them."""
        with self._lock:
            self._first += len(self._kept)
            self._kept.clear()
            self._bytes = 0

    async def wait(self, place: int, timeout_s: float) -> bool:
        """Wait until there is a message at a place; return whether there is. All waiters are on one event loop."""
        self._loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout_s):
                while self.end <= place:
                    if self._news is None:
                        self._news = asyncio.Event()
                    news = self._news
                    if self.end <= place:  # else it came before anybody could be woken
                        await news.wait()
        except TimeoutError:
            return False
        return True
