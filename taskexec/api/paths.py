"""Ids in paths: any text may be one, percent-encoded, and a slash that is part of an id does not part the path.

Servers decode a path before it is matched, after which `a%2Fb` and `a/b` are the same. So for the routes below
`PREFIX` the path is made anew from what came in: everything is decoded but slashes and percent signs, which the
parameters here decode.
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote, unquote

from fastapi import Path
from pydantic import AfterValidator
from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = [
    "AttemptNumber",
    "EncodedPaths",
    "FileName",
    "OtherRunId",
    "QualifiedTask",
    "RunId",
    "TaskId",
    "WorkerName",
    "link_to",
]

PREFIX = "/api/v1/"


class EncodedPaths:
    """Has encoded slashes and percent signs of a path stay encoded until their parameter is read."""

    def __init__(self, app: ASGIApp) -> None:
        """Stand before an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "http" and scope["path"].startswith(PREFIX) and b"%" in scope.get("raw_path", b""):
            raw = scope["raw_path"].partition(b"?")[0].decode("ascii", "replace")
            scope = {**scope, "path": "/".join(map(_partly_decoded, raw.split("/")))}
        await self._app(scope, receive, send)


def _partly_decoded(segment: str) -> str:
    return unquote(segment).replace("%", "%25").replace("/", "%2F")


def _decoded(text: str) -> str:
    return text.replace("%2F", "/").replace("%25", "%")


_Decoded = AfterValidator(_decoded)

RunId = Annotated[str, Path(alias="run", description="Id of a run."), _Decoded]
OtherRunId = Annotated[str, Path(alias="other", description="Id of another run."), _Decoded]
TaskId = Annotated[str, Path(alias="task", description="Id of a task in its run, percent-encoded."), _Decoded]
QualifiedTask = Annotated[
    str, Path(alias="id", description="`run:task`: the ids of a run and of a task of it, percent-encoded."), _Decoded
]
AttemptNumber = Annotated[int, Path(alias="attempt", description="Number of an attempt, from 1.", ge=0, le=2**31 - 1)]
WorkerName = Annotated[str, Path(alias="name", description="Name of a worker, percent-encoded."), _Decoded]
FileName = Annotated[str, Path(alias="name", description="Name of a file of evidence, percent-encoded."), _Decoded]


def link_to(*parts: object) -> str:
    """Return the path of something below `/api/v1`: each part is encoded as a whole."""
    return PREFIX + "/".join(quote(str(part), safe="~") for part in parts)
