"""The door before the bodies: what somebody sends is read only once it is known who they are.

Routes look at the token of a request as well; those that take a described body would have read it by then.
"""

from __future__ import annotations

from fastapi import Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from taskexec.api.access import Guard, Role, admit
from taskexec.api.edge import SESSION_PATH, send_problem
from taskexec.api.paths import PREFIX
from taskexec.api.problems import Problem, told_problem
from taskexec.errors import TekError

__all__ = ["Door"]


class Door:
    """Wraps an application; answers requests with a body that have no valid token."""

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self._app = app
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or answer it here."""
        if scope["type"] == "http" and _has_body_to_guard(scope):
            try:
                await admit(self._guard, Request(scope), Role.VIEWER)
            except Problem as problem:
                await send_problem(problem, send)
                return
            except TekError as error:
                await send_problem(told_problem(error), send)
                return
        await self._app(scope, receive, send)


def _has_body_to_guard(scope: Scope) -> bool:
    path = scope["path"]
    if not path.startswith(PREFIX) or path == SESSION_PATH:
        return False
    headers = Headers(scope=scope)
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
