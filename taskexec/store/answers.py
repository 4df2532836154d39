"""What was answered to requests that their callers gave a key, so that the same request again gets the same answer."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from taskexec.store.connection import Connection
from taskexec.store.keys import answer_key

__all__ = ["AnswerStore", "Answered"]


class Answered(NamedTuple):
    """What is known of a key."""

    request: str
    """Digest of the request that it stands for."""
    answer: Any
    """What was answered, as JSON; None while nothing was."""


class AnswerStore:
    """One entry a key; all methods raise `ConnectionLost` when the server does not answer."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def claim(self, key: str, request: str, lifetime_s: int) -> Answered:
        """Return what a key stands for: this request, if it was not used before."""
        mine = orjson.dumps({"request": request, "answer": None})
        while not self._connection.call("SET", answer_key(key), mine, "NX", "EX", lifetime_s):
            stored = self._connection.call("GET", answer_key(key))
            if stored is not None:  # else it was released meanwhile
                return Answered(**orjson.loads(stored))
        return Answered(request, None)

    def answer(self, key: str, request: str, answer: Any, lifetime_s: int) -> None:
        """Keep what was answered to the request of a key."""
        self._connection.call(
            "SET", answer_key(key), orjson.dumps({"request": request, "answer": answer}), "EX", lifetime_s
        )

    def release(self, key: str) -> None:
        """Have a key stand for nothing again: its request was refused, and has changed nothing."""
        self._connection.call("DEL", answer_key(key))
