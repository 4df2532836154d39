"""The version of what workers and submitters say to each other through the server, and which ones go together."""

from __future__ import annotations

__all__ = ["FIRST_PROTOCOL", "PROTOCOL", "understands", "version_of"]

PROTOCOL = 1
"""Version of messages, scripts and keys; raised when older ones would be misunderstood."""
FIRST_PROTOCOL = 1
"""The version of what names none."""


def version_of(told: object) -> int:
    """Return the version that a message, a key or a registration names; the first where it names none.

    What is no number at all is a version that nobody understands: 0.
    """
    if told is None:
        return FIRST_PROTOCOL
    text = told.decode(errors="replace") if isinstance(told, bytes) else str(told)
    return int(text) if text.isascii() and text.isdigit() else 0


def understands(version: int, *, own: int = PROTOCOL) -> bool:
    """Return whether a version is understood: one's own and its neighbours, so that a cluster can be upgraded live."""
    return version > 0 and abs(version - own) <= 1
