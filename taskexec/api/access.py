"""Who calls, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Protocol

from fastapi import Depends, Request

from taskexec.api.seats import seat_of

__all__ = ["Admin", "Approver", "Caller", "Guard", "Role", "Submitter", "Viewer", "admit"]


class Role(IntEnum):
    """What a caller may do; each role may do what those below it may."""

    VIEWER = 1
    """Look at everything."""
    SUBMITTER = 2
    """Submit plans, and steer runs."""
    APPROVER = 3
    """Approve what waits for a person."""
    ADMIN = 4
    """Steer workers and tokens as well."""


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


class Guard(Protocol):
    """Knows the tokens."""

    async def admit(self, request: Request, role: Role) -> Caller:
        """Return who makes a request.

        Raises:
            Problem: They have no valid token (401), not the role (403), or call too often (429).
        """

    async def still_counts(self, request: Request) -> bool:
        """Return whether what a request was let in with counts still, as long as its answer goes on.

        Raises:
            ConnectionLost: That cannot be told now.
        """


async def admit(guard: Guard, request: Request, role: Role) -> Caller:
    """Return who makes a request, which takes up its place in their name from now on.

    Raises:
        Problem: As `Guard.admit`, or they have all the places that one token may have (429).
    """
    caller = await guard.admit(request, role)
    seat = seat_of(request.scope)
    if seat is not None:
        seat.admit(caller.token_id)
    return caller


def _with(role: Role) -> object:
    async def admitted(request: Request) -> Caller:
        return await admit(request.app.state.services.guard, request, role)

    return Depends(admitted)


Viewer = Annotated[Caller, _with(Role.VIEWER)]
Submitter = Annotated[Caller, _with(Role.SUBMITTER)]
Approver = Annotated[Caller, _with(Role.APPROVER)]
Admin = Annotated[Caller, _with(Role.ADMIN)]
"""Parameters of routes: the caller, who has at least this role."""
