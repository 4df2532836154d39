"""Who tells what of runs, and what was told: so that of many who bring runs home one tells it."""

from __future__ import annotations

from math import ceil
from secrets import token_hex

from taskexec.domain.claims import Claim
from taskexec.store.connection import Connection
from taskexec.store.keys import told_key

__all__ = ["ToldStore"]

_TOLD = b"told"


class ToldStore:
    """One entry for each thing that is told to one target; all methods raise `ConnectionLost` without an answer."""

    def __init__(self, connection: Connection, lifetime_s: int) -> None:
        """Claim for one process; what was told is known for `lifetime_s` seconds."""
        self._connection = connection
        self._lifetime_s = lifetime_s
        self._owner = token_hex(8).encode()

    def claim(self, key: str, lease_s: float) -> Claim:
        """Return whose it is to tell something; ours lapses `lease_s` seconds (whole ones, 1 or more)
        after the last call, unless it is told.

        It takes one round trip where nobody has claimed it.
        """
        name, lasts_s = told_key(key), ceil(lease_s)
        while True:
            if self._connection.call("SET", name, self._owner, "NX", "EX", lasts_s):
                return Claim.OURS
            holder = self._connection.call("GET", name)
            if holder == _TOLD:
                return Claim.TOLD
            if holder == self._owner:
                self._connection.call("EXPIRE", name, lasts_s)
                return Claim.OURS
            if holder is not None:  # else it has lapsed meanwhile
                return Claim.OTHERS

    def told(self, key: str) -> None:
        """Note that something was told."""
        self._connection.call("SET", told_key(key), _TOLD, "EX", self._lifetime_s)
