"""Bells in Redis: words to one delivery of a rank, from the scripts and from the other ranks of its gang."""

from __future__ import annotations

from collections.abc import Iterable

from taskexec.store.connection import Connection
from taskexec.store.keys import bell_key

__all__ = ["RedisBells"]

_LIFETIME_S = 3600


class RedisBells:
    """Each word is heard once, in the order in which they were sent."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def ring(self, tokens: Iterable[str], word: str) -> None:
        """Send a word to some deliveries, in one round trip; may be repeated, they hear it again."""
        commands: list[tuple[object, ...]] = []
        for token in tokens:
            commands += [("LPUSH", bell_key(token), word), ("EXPIRE", bell_key(token), _LIFETIME_S)]
        if commands:
            self._connection.pipeline(commands)

    def listen(self, token: str, *, wait_s: float) -> str | None:
        """Wait for the next word to a delivery; None when there was none for so long."""
        found = self._connection.call("BRPOP", bell_key(token), wait_s)
        return None if found is None else str(found[1].decode(errors="replace"))

    def close(self, token: str) -> None:
        """Forget what nobody will listen to."""
        self._connection.call("DEL", bell_key(token))
