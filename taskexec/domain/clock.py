"""Instants as text: one form everywhere, ISO 8601 in UTC with microseconds."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["iso_time"]


def iso_time(seconds: float) -> str:
    """Return an instant (seconds since the epoch) as text, such as `2026-01-31T08:15:00.250000Z`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
