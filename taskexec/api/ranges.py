"""Parts of files: one range of bytes, with a version, from files that need not be on disk as one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from taskexec.api.packed import has_version
from taskexec.api.problems import Problem

__all__ = ["answer_bytes", "asked_range"]

_BLOCK = 65_536
_RANGE = re.compile(r"bytes=\s*([0-9]{0,18})-([0-9]{0,18})\s*")


def asked_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return beginning and end (exclusive) of what is asked for; None is everything.

    Several ranges, other units and nonsense are passed over, as RFC 9110 wants it.

    Raises:
        Problem: The range lies behind the end (416).
    """
    found = _RANGE.fullmatch(header or "")
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        first, last = max(size - int(found[2]), 0), size
    else:
        first, last = int(found[1]), min(int(found[2]) + 1 if found[2] else size, size)
        if found[2] and int(found[2]) < first:
            return None
    if first >= last:
        raise Problem(
            416,
            "request.range",
            f"bytes from {first:,} on are asked for, and there are {size:,}",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return first, last


def answer_bytes(
    request: Request, files: Sequence[tuple[BinaryIO, int]], *, tag: str, media_type: str, headers: Mapping[str, str]
) -> Response:
    """Return files one behind the other, or the part that is asked for; they are closed at the end.

    Args:
        request: May have `Range`, `If-Range` and `If-None-Match`.
        files: Open files, each with as many bytes of it as count.
        tag: Version of all of them together.
        media_type: What they are.
        headers: Further headers.
    """
    size = sum(count for _, count in files)
    common = {"ETag": tag, "Accept-Ranges": "bytes", "Cache-Control": "private, no-cache", **headers}
    if has_version(request, tag):
        _close(files)
        return Response(status_code=304, headers=common)
    is_current = request.headers.get("if-range") in {None, tag}
    try:
        part = asked_range(request.headers.get("range"), size) if is_current else None
    except Problem:
        _close(files)
        raise
    first, last = part or (0, size)
    common["Content-Length"] = str(last - first)
    if part is not None:
        common["Content-Range"] = f"bytes {first}-{last - 1}/{size}"
        common["Content-Encoding"] = "identity"  # a part of what was compressed is of no use
    status = 200 if part is None else 206
    return StreamingResponse(_blocks(files, first, last), status_code=status, headers=common, media_type=media_type)


def _close(files: Sequence[tuple[BinaryIO, int]]) -> None:
    for file, _ in files:
        file.close()


def _blocks(files: Sequence[tuple[BinaryIO, int]], first: int, last: int) -> Iterator[bytes]:
    try:
        for file, size in files:
            begin, end = max(first, 0), min(last, size)
            if begin < end:
                file.seek(begin)
            while begin < end and (block := file.read(min(_BLOCK, end - begin))):
                begin += len(block)
                yield block
            first, last = first - size, last - size
    finally:
        _close(files)
