"""Instants as text: one form everywhere, ISO 8601 in UTC with microseconds."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

__all__ = ["iso_time", "seconds_of"]


def iso_time(seconds: float) -> str:
    """Return an instant (seconds since the epoch) as text, such as `2026-01-31T08:15:00.250000Z`."""
    whole, microseconds = divmod(round(seconds * 1e6), 1_000_000)
    return f"{_to_the_second(whole)}.{microseconds:06d}Z"


def seconds_of(instant: str) -> float:
    """Return what `iso_time` wrote as text."""
    return datetime.fromisoformat(instant).timestamp()


@lru_cache(maxsize=8)
def _to_the_second(seconds: int) -> str:
    """Return an instant without its fraction; thousands of attempts a second share one."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
