"""Addresses of servers: how they are shown to people without their passwords."""

from __future__ import annotations

import re

__all__ = ["mask_url"]


def mask_url(url: str) -> str:
    """Return a server's address with its passwords replaced by `***`; everything else stays as it is.

    Passwords are found where people put them: behind the user, even unescaped or without a scheme, and in the
    query (`?password=…`).
    """
    masked = re.sub(r"^([^:/@]*://[^:/@]*|[^:/@]*):.*@", r"\1:***@", url, flags=re.DOTALL)
    return re.sub(r"([?&]password=)[^&#]*", r"\1***", masked)
