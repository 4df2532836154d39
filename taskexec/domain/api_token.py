"""Tokens of the API: their text, and what is kept of them."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["ROLES", "ApiToken", "new_token", "parts_of"]

ROLES = ("viewer", "submitter", "approver", "admin")
"""What a token may be for; each may do what those before it may."""

_FORM = re.compile(r"tek_(?P<id>[0-9a-f]{12})_(?P<secret>[A-Za-z0-9_-]{43})", re.ASCII)


@dataclass(frozen=True, slots=True)
class ApiToken:
    """What is known of a token; its secret is not, only a digest of it."""

    token_id: str
    """12 hexadecimal digits, the public part of its text."""
    name: str
    """Whom or what it was given to."""
    role: str
    """One of `ROLES`."""
    digest: str
    """SHA-256 of the secret, which has 256 bits, so that nothing slower is needed."""
    created_at: float
    """Seconds since the epoch."""
    expires_at: float | None = None
    """Seconds since the epoch from which it counts no more; None never."""
    agents: tuple[str, ...] | None = None
    """Agents that plans of its holder may name; None for all."""
    routes: tuple[str, ...] | None = None
    """Routes that they may name; None for all."""

    def has_secret(self, secret: str) -> bool:
        """Return whether a secret is that of the token, in a time that says nothing about it."""
        return hmac.compare_digest(_digest(secret), self.digest)

    def to_json(self) -> dict[str, Any]:
        """Return all that is kept, the digest included."""
        return {
            "name": self.name,
            "role": self.role,
            "digest": self.digest,
            "created_at": self.created_at,
            "expires_at": self.expires_at,
            "agents": None if self.agents is None else list(self.agents),
            "routes": None if self.routes is None else list(self.routes),
        }

    @classmethod
    def from_json(cls, token_id: str, data: Mapping[str, Any]) -> ApiToken:
        """Return the token that `to_json` wrote."""
        agents, routes = data["agents"], data["routes"]
        return cls(
            token_id,
            data["name"],
            data["role"],
            data["digest"],
            data["created_at"],
            data["expires_at"],
            None if agents is None else tuple(agents),
            None if routes is None else tuple(routes),
        )


def new_token(
    name: str,
    role: str,
    *,
    now: float,
    lifetime_s: float | None = None,
    agents: tuple[str, ...] | None = None,
    routes: tuple[str, ...] | None = None,
) -> tuple[ApiToken, str]:
    """Return a new token and its text, `tek_<id>_<secret>`, which is not kept anywhere.

    Args:
        name: Whom or what it is for.
        role: One of `ROLES`.
        now: Seconds since the epoch.
        lifetime_s: After so many seconds it counts no more; None never.
        agents: See `ApiToken`.
        routes: See `ApiToken`.
    """
    assert role in ROLES, role
    token_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    expires_at = None if lifetime_s is None else now + lifetime_s
    return ApiToken(token_id, name, role, _digest(secret), now, expires_at, agents, routes), f"tek_{token_id}_{secret}"


def parts_of(text: str) -> tuple[str, str] | None:
    """Return the id and the secret of a token's text; None where it is none."""
    found = _FORM.fullmatch(text)
    return (found["id"], found["secret"]) if found else None


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
