"""The files that attempts left."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request, Response

from taskexec.api.access import Viewer
from taskexec.api.paths import AttemptNumber, FileName, RunId, TaskId
from taskexec.api.ranges import answer_bytes
from taskexec.api.routes.tasks import reader_of
from taskexec.api.services import ServicesOf

__all__ = ["router"]

router = APIRouter(prefix="/api/v1", tags=["evidence"])

_BYTES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}},
    206: {"description": "The range that was asked for."},
    304: {"description": "You have this version already."},
    416: {"description": "The range lies behind the end."},
}


@router.get("/runs/{run}/tasks/{task}/attempts/{attempt}/files/{name}", response_class=Response, responses=_BYTES)
def file(
    request: Request,
    run: RunId,
    task: TaskId,
    attempt: AttemptNumber,
    name: FileName,
    services: ServicesOf,
    _caller: Viewer,
) -> Response:
    """Return a file that an attempt left, or a range of it; its tag is its SHA-256."""
    found = reader_of(services, services.live.run(run), task).open(attempt, name)
    headers = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name.rpartition('/')[2] or 'file', safe='')}",
        "X-Content-Type-Options": "nosniff",
        "Content-Encoding": "identity",
    }
    return answer_bytes(
        request,
        [(found.file, found.size)],
        tag=f'"{found.sha256}"',
        media_type="application/octet-stream",
        headers=headers,
    )
