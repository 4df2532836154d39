"""Answers with a version: sent once, and not again to who has it already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import Request, Response

from taskexec.api.live_run import Packed

__all__ = ["answer_json", "answer_packed", "has_version"]


def has_version(request: Request, tag: str) -> bool:
    """Return whether who asks has this version (`If-None-Match`)."""
    wanted = request.headers.get("if-none-match", "")
    listed = {one.strip().removeprefix("W/") for one in wanted.split(",")}
    return "*" in listed or tag.removeprefix("W/") in listed


def _headers(tag: str) -> dict[str, str]:
    return {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Accept-Encoding"}


def answer_packed(request: Request, packed: Packed, media_type: str = "application/json") -> Response:
    """Return an answer that is kept: compressed once for all who take it so."""
    headers = _headers(packed.tag)
    if has_version(request, packed.tag):
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", "") and len(packed.data) > 1000:
        headers["Content-Encoding"] = "gzip"
        return Response(packed.gzipped, headers=headers, media_type=media_type)
    return Response(packed.data, headers=headers, media_type=media_type)


def answer_json(request: Request, body: Mapping[str, Any] | bytes, tag: str) -> Response:
    """Return an answer of some version."""
    if has_version(request, tag):
        return Response(status_code=304, headers=_headers(tag))
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    return Response(data, headers=_headers(tag), media_type="application/json")
