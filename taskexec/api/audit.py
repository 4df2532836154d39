"""The records: one entry for each request that would change something, written before it is answered.

Kept in Redis (`store/audit.py`), read at `GET /api/v1/audit`. Requests without a valid token are not in them, so that
nobody can push entries out from outside; logins, and what a caller may not do, are in a shorter one of their own, so
that nobody does who may only look.
"""

from __future__ import annotations

import logging
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from taskexec.api.access import Admin, Caller, Role
from taskexec.api.edge import SESSION_PATH, request_id_of
from taskexec.api.problems import Problem
from taskexec.api.services import Services, ServicesOf
from taskexec.domain.clock import iso_time
from taskexec.errors import ConnectionLost
from taskexec.store.audit import AuditKind, AuditLog

__all__ = ["AuditTrail", "router"]

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_PATH_SHOWN = 500
_log = logging.getLogger(__name__)


class AuditTrail:
    """Wraps an application; says in the record what it was asked to change."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._record = AuditLog(services.cluster.connection)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] != "http" or scope["method"] in _SAFE_METHODS:
            await self._app(scope, receive, send)
            return

        async def send_after_entry(message: Message) -> None:
            if message["type"] == "http.response.start":
                await self._write(scope, message["status"])
            await send(message)

        await self._app(scope, receive, send_after_entry)

    async def _write(self, scope: Scope, status: int) -> None:
        caller = scope.get("state", {}).get("caller")
        if caller is None:
            return
        entry = {
            "token": caller.token_id,
            "name": caller.name,
            "role": caller.role.name.lower(),
            "method": scope["method"],
            "path": scope["path"][:_PATH_SHOWN],
            "subject": str(scope["state"].get("subject", "")),
            "status": str(status),
            "request_id": request_id_of(scope),
            "address": scope["client"][0] if scope.get("client") else "local",
        }
        plain = {name: value.encode("utf-8", "backslashreplace").decode() for name, value in entry.items()}
        try:
            await to_thread.run_sync(self._record.append, plain, _kind(caller, scope["path"], status))
        except ConnectionLost as error:  # what was done is done: its caller must learn of it all the same
            _log.error("audit entry lost: %s (%s)", plain, error)


def _kind(caller: Caller, path: str, status: int) -> AuditKind:
    """Return the record for a request."""
    return "access" if status == 403 or path == SESSION_PATH or caller.role is Role.VIEWER else "changes"


class AuditEntry(BaseModel):
    """One request that would change something."""

    id: str
    at: str = Field(description="When, in ISO 8601.")
    token: str = Field(description="Id of the token.")
    name: str = Field(description="Whom the token stands for.")
    role: str
    method: str
    path: str
    subject: str = Field(description="What it was about, such as the id of the run that was made; may be empty.")
    status: int = Field(description="HTTP status of the answer.")
    request_id: str
    address: str


class AuditPage(BaseModel):
    """Entries, the newest first."""

    entries: list[AuditEntry]
    next: str | None = Field(description="Cursor of the page after this one; null on the last.")


router = APIRouter(prefix="/api/v1", tags=["access"])


@router.get("/audit", summary="List what was asked to be changed, by whom, and what came of it")
def list_audit(
    caller: Admin,
    services: ServicesOf,
    kind: Annotated[
        AuditKind, Query(description="`changes`, or `access`: logins, and what callers may not do.")
    ] = "changes",
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    cursor: Annotated[str | None, Query(max_length=50, description="`next` of the page before.")] = None,
) -> AuditPage:
    """Return entries, the newest first."""
    before = _checked(cursor)
    if before is not None and not before.strip("0-"):  # nothing is older, and Redis takes it for no id
        return AuditPage(entries=[], next=None)
    rows = AuditLog(services.cluster.connection).latest(limit, kind=kind, before=before)
    entries = [_entry(entry_id, fields) for entry_id, fields in rows]
    return AuditPage(entries=entries, next=rows[-1][0] if len(rows) == limit else None)


def _checked(cursor: str | None) -> str | None:
    if cursor is None:
        return None
    parts = cursor.split("-")
    if len(parts) == 2 and all(part.isascii() and part.isdigit() and len(part) <= 19 for part in parts):
        return cursor
    raise Problem(422, "request.cursor", f"`{cursor}` is not a cursor", hint="take `next` of the page before")


def _entry(entry_id: str, fields: dict[str, Any]) -> AuditEntry:
    return AuditEntry(id=entry_id, at=iso_time(int(entry_id.partition("-")[0]) / 1_000), **fields)
