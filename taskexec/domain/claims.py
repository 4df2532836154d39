"""Claims: whose it is to do something that only one of many is to do."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Claim"]


class Claim(StrEnum):
    """Where something stands that one of many is to tell."""

    OURS = "ours"
    """Whoever asked is to tell it, now."""
    OTHERS = "others"
    """Somebody else is at it; should they die, the claim lapses."""
    TOLD = "told"
    """It was told."""
