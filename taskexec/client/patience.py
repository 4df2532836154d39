"""How long a cluster is waited for that is away for a while, and in which steps it is asked again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from taskexec.errors import ConnectionLost, TekError

__all__ = ["Away", "Patience", "retry_after_s"]

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0
_PATIENCE_S = 60.0

T = TypeVar("T")


class Away(Exception):
    """Something that may pass: nobody answers, or what answers asks to be asked again.

    It is a signal of the client's own, which becomes the error that it holds when nobody waits.
    """

    def __init__(self, error: TekError, *, is_there: bool = False, wait_s: float = 0.0) -> None:
        """Say what happened.

        Args:
            error: What it is for people.
            is_there: Whether something answered at all.
            wait_s: For how long it asked to be left alone.
        """
        super().__init__(error.message)
        self.error = error
        self.is_there = is_there
        self.wait_s = wait_s


class Patience:
    """Waits for a cluster that was there before: for a minute from when it went away, or until an instant."""

    def __init__(self, *, until: float | None = None, was_there: bool = False) -> None:
        """Begin.

        Args:
            until: Instant of the monotonic clock after which nobody waits any more; None for none.
            was_there: Whether it has answered before; one that never did is not waited for.
        """
        self.until = until
        self._was_there = was_there
        self._away_since: float | None = None
        self._pause_s = _FIRST_PAUSE_S

    @property
    def is_over(self) -> bool:
        """Whether the instant has come."""
        return self.until is not None and time.monotonic() >= self.until

    def left_s(self, longest_s: float) -> float:
        """Return the seconds until the instant, from 0 to `longest_s`."""
        return longest_s if self.until is None else min(longest_s, max(self.until - time.monotonic(), 0.0))

    def answered(self) -> None:
        """Note that it is there: the next minute begins when it goes away again."""
        self._was_there, self._away_since = True, None

    def went_on(self) -> None:
        """Note that it is there and there was something new: the next pause is a short one."""
        self.answered()
        self._pause_s = _FIRST_PAUSE_S

    def pause(self, wait_s: float = 0.0) -> None:
        """Wait for the next step, and for `wait_s` at least; no longer than until the instant."""
        pause_s = max(self._pause_s, wait_s)
        self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)
        time.sleep(self.left_s(pause_s))  # whoever is asked again needs the time

    def bear(self, away: Away) -> None:
        """Wait for it to come back.

        Raises:
            TekError: What it is for people: it never was there, was waited for long enough, or asks for longer.
        """
        now = time.monotonic()
        self._was_there = self._was_there or away.is_there
        self._away_since = now if self._away_since is None else self._away_since
        if not self._was_there or now - self._away_since + away.wait_s > _PATIENCE_S:
            raise away.error from away.__cause__
        self.pause(away.wait_s)

    def call(self, function: Callable[[], T]) -> T:
        """Return what a function returns, called again as long as it finds the cluster away.

        Raises:
            TekError: It stays away, also at the instant.
        """
        while True:
            try:
                found = function()
            except (Away, ConnectionLost) as error:
                away = error if isinstance(error, Away) else Away(error)
                if self.is_over:
                    raise away.error from away.__cause__
                self.bear(away)
            else:
                self.answered()
                return found


def retry_after_s(headers: Mapping[str, str]) -> float:
    """Return for how long an answer asks to be left alone, in seconds; 0 when it does not say it, or not clearly."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    return max((at - datetime.now(UTC)).total_seconds(), 0.0) if at.tzinfo is not None else 0.0
