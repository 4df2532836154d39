"""Who calls, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

__all__ = ["Caller", "Role"]


class Role(IntEnum):
    """What a caller may do; each role may do what those below it may."""

    VIEWER = 1
    """Look at everything."""
    SUBMITTER = 2
    """Submit plans, and steer runs of their own."""
    APPROVER = 3
    """Approve what waits for a person."""
    ADMIN = 4
    """Steer every run, workers and tokens."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls."""

    token_id: str
    name: str
    role: Role
    agents: frozenset[str] | None = None
    """Agents that their plans may name; None for all."""
    routes: frozenset[str] | None = None
    """Routes that their plans may name; None for all."""
