"""Bells in Redis: words to one delivery of a rank, from the scripts and from the other ranks of its gang."""

from __future__ import annotations

from collections.abc import Iterable

from taskexec.store.connection import Connection
from taskexec.store.keys import bell_key
from taskexec.store.streams import stream_rows

__all__ = ["RedisBells"]

_LIFETIME_S = 3600


class RedisBells:
    """Words stay until the bell is closed, in the order in which they were sent: a lost answer takes none along."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def ring(self, tokens: Iterable[str], word: str) -> None:
        """Send a word to some deliveries, in one round trip; may be repeated, they hear it again."""
        commands: list[tuple[object, ...]] = []
        for token in tokens:
            commands += [("XADD", bell_key(token), "*", "w", word), ("EXPIRE", bell_key(token), _LIFETIME_S)]
        if commands:
            self._connection.pipeline(commands)

    def listen(self, token: str, after: str = "0", *, wait_s: float) -> list[tuple[str, str]]:
        """Wait for words to a delivery behind the one with an id; return them with theirs, none when none came."""
        wait_ms = max(int(wait_s * 1000), 1)
        reply = self._connection.call("XREAD", "BLOCK", wait_ms, "STREAMS", bell_key(token), after)
        return [(id_, fields["w"].decode(errors="replace")) for id_, fields in stream_rows(reply)]

    def close(self, token: str) -> None:
        """Forget what nobody will listen to."""
        self._connection.call("DEL", bell_key(token))
