"""Places for requests that are answered at once, and who may have how many of them.

Whoever shows no token shares a tenth of all places with everybody of the same address who shows none. One token may
have half of the places, and so may all of one address whose tokens are not looked up yet. Streams, which go on for
long, have three quarters. So neither a stranger nor one reader takes all, and a stranger keeps nobody of the same
address out.
"""

from __future__ import annotations

from collections import Counter

from starlette.types import Scope

from taskexec.api.problems import Problem

__all__ = ["Seat", "Seats", "seat_of"]

_FEWEST = 5
"""Places that those of an address who show no token may have in any case."""
_COME_BACK = {"Retry-After": "1", "Connection": "close"}


class Seats:
    """All places of one process; used from its event loop only."""

    def __init__(self, most: int) -> None:
        """Have `most` places, at least 10."""
        self.most = most
        self.of_strangers_most = max(most // 10, _FEWEST)
        self.of_one_most = most // 2
        self.streams_most = most * 3 // 4
        self.taken = 0
        self.streams = 0
        self.strangers: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        self.admitted: Counter[str] = Counter()

    def take(self, address: str, *, shows_token: bool) -> Seat:
        """Give a request a place; `shows_token` says whether it has a token or a session, be it a wrong one.

        Raises:
            Problem: All are taken (503), or all that such requests of this address may have (429).
        """
        if self.taken >= self.most:
            detail = "more requests are being answered than the server takes at once"
            raise Problem(503, "server.busy", detail, hint="try again in a moment", headers=_COME_BACK)
        most = self.of_one_most if shows_token else self.of_strangers_most
        owners = self.unknown if shows_token else self.strangers
        if owners[address] >= most:
            raise _too_many("this address has", most, "requests without a valid token")
        return Seat(self, owners, address)


class Seat:
    """The place of one request."""

    def __init__(self, seats: Seats, owners: Counter[str], owner: str) -> None:
        self._seats = seats
        self._owners, self._owner = owners, owner
        self._is_stream = False
        seats.taken += 1
        owners[owner] += 1

    def admit(self, token_id: str) -> None:
        """Count the request for a token from now on; nothing for one that is counted so already.

        Raises:
            Problem: The token has all that one may have (429).
        """
        seats = self._seats
        if self._owners is seats.admitted:
            return
        if seats.admitted[token_id] >= seats.of_one_most:
            raise _too_many("this token has", seats.of_one_most, "requests")
        _drop(self._owners, self._owner)
        self._owners, self._owner = seats.admitted, token_id
        self._owners[token_id] += 1

    def begin_stream(self) -> None:
        """Count the request as one that goes on for long.

        Raises:
            Problem: There are as many as may be (503).
        """
        if self._seats.streams >= self._seats.streams_most:
            detail = "more streams are open than the server keeps at once"
            hint = "close one, or ask again from time to time instead"
            raise Problem(503, "server.busy", detail, hint=hint, headers=_COME_BACK)
        self._is_stream = True
        self._seats.streams += 1

    def leave(self) -> None:
        """Give the place back; called once."""
        self._seats.taken -= 1
        self._seats.streams -= self._is_stream
        _drop(self._owners, self._owner)


def seat_of(scope: Scope) -> Seat | None:
    """Return the place of a request; None where nobody counts them."""
    seat = scope.get("state", {}).get("seat")
    return seat if isinstance(seat, Seat) else None


def _drop(counter: Counter[str], name: str) -> None:
    counter[name] -= 1
    if not counter[name]:
        del counter[name]


def _too_many(who: str, most: int, what: str) -> Problem:
    detail = f"{who} {most:,} {what} that are being answered, and may have no more at once"
    return Problem(429, "rate.at_once", detail, hint="wait until some are answered", headers=_COME_BACK)
