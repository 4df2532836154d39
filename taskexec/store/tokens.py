"""Tokens of the API and the sessions of browsers, in Redis."""

from __future__ import annotations

from typing import Any

import orjson

from taskexec.domain.api_token import ApiToken
from taskexec.store.connection import Connection
from taskexec.store.keys import TOKENS, session_key

__all__ = ["TokenStore"]


class TokenStore:
    """Knows whom each token stands for; all methods raise `ConnectionLost` when the server does not answer."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, token: ApiToken) -> None:
        """Keep a new token."""
        self._connection.call("HSET", TOKENS, token.token_id, orjson.dumps(token.to_json()))

    def find(self, token_id: str) -> ApiToken | None:
        """Return the token of an id, or None."""
        stored = self._connection.call("HGET", TOKENS, token_id)
        return None if stored is None else ApiToken.from_json(token_id, orjson.loads(stored))

    def listed(self) -> list[ApiToken]:
        """Return all tokens, the oldest first."""
        reply: Any = self._connection.call("HGETALL", TOKENS)
        pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
        found = [ApiToken.from_json(token_id.decode(), orjson.loads(stored)) for token_id, stored in pairs]
        return sorted(found, key=lambda token: (token.created_at, token.token_id))

    def remove(self, token_id: str) -> bool:
        """Have a token count no more, nor the sessions that were begun with it; return whether there was one."""
        return bool(self._connection.call("HDEL", TOKENS, token_id))

    def begin_session(self, secret: str, token_id: str, lifetime_s: int) -> None:
        """Have a secret stand for a token for some time."""
        self._connection.call("SET", session_key(secret), token_id, "EX", lifetime_s)

    def session(self, secret: str) -> ApiToken | None:
        """Return the token that the secret of a session stands for, or None."""
        token_id = self._connection.call("GET", session_key(secret))
        return None if token_id is None else self.find(token_id.decode())

    def end_session(self, secret: str) -> None:
        """Have a secret stand for nothing any more."""
        self._connection.call("DEL", session_key(secret))
