"""Keys of callers: the same request with the same key has its effect once, and gets the same answer each time.

A key counts for the token that it came with, for as long as runs are kept. The same key with another request is refused
(422). A request that was refused leaves its key free; one of which nobody knows what came of it, since the server was
lost meanwhile, keeps it, and is completed when it comes again. Two that come at the same time become one run: the key
is that of the submission as well (`Submitter.submit`).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Annotated, Any

import orjson
from anyio import to_thread
from fastapi import Header, Request, Response
from fastapi.responses import JSONResponse

from taskexec.api.access import Caller
from taskexec.api.problems import Problem
from taskexec.api.services import Services
from taskexec.errors import ConnectionLost
from taskexec.store.answers import AnswerStore

__all__ = ["IdempotencyKey", "answer_once", "request_digest"]

_FORM = re.compile(r"[\x21-\x7e]{1,200}")

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="Any text of 1 to 200 visible ASCII characters; the same request with it again is answered as "
        "before, with `Idempotency-Replayed: true`.",
        max_length=200,
    ),
]
"""Parameter of a route that has its effect once for each key."""


def request_digest(*parts: bytes | str | Iterable[object] | None) -> str:
    """Return the digest of what makes a request; two that differ in any part have different ones."""
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else orjson.dumps(part, default=str)
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()


async def answer_once(
    request: Request,
    caller: Caller,
    key: str | None,
    digest: str,
    make: Callable[[str | None], Awaitable[dict[str, Any]]],
) -> Response:
    """Answer a request that makes a run, 201, or repeat what was answered before.

    Args:
        request: The request; the run becomes its subject in the record of changes.
        caller: Whose key it is.
        key: The key, or None, with which every request is a new one.
        digest: `request_digest` of the request.
        make: Gives the answer; it receives the key of the submission.

    Raises:
        Problem: The key is none, or stands for another request (422).
    """
    services: Services = request.app.state.services
    if key is None:
        return _created(request, await make(None))
    if not _FORM.fullmatch(key):
        hint = "take 1 to 200 visible ASCII characters, such as a UUID"
        raise Problem(422, "idempotency.key", "`Idempotency-Key` is empty or has other characters", hint=hint)
    whole = f"{caller.token_id}:{key}"
    lock = services.key_locks.setdefault(whole, asyncio.Lock())
    async with lock:
        answer, is_replayed = await _answer(services, whole, digest, make)
    return _created(request, answer, is_replayed=is_replayed)


async def _answer(
    services: Services, key: str, digest: str, make: Callable[[str | None], Awaitable[dict[str, Any]]]
) -> tuple[dict[str, Any], bool]:
    """Return the answer to a request with a key, and whether it was given before."""
    store, lifetime_s = AnswerStore(services.cluster.connection), services.settings.evidence.retention_s
    known = await to_thread.run_sync(store.claim, key, digest, lifetime_s)
    if known.request != digest:
        raise Problem(
            422,
            "idempotency.mismatch",
            "this `Idempotency-Key` was used for another request",
            hint="give a changed request another key",
        )
    if known.answer is not None:
        return known.answer, True
    try:
        answer = await make(f"api:{key}")
    except ConnectionLost:  # the run may be there
        raise
    except Exception:
        with contextlib.suppress(ConnectionLost):
            await to_thread.run_sync(store.release, key)
        raise
    await to_thread.run_sync(store.answer, key, digest, answer, lifetime_s)
    return answer, False


def _created(request: Request, answer: dict[str, Any], *, is_replayed: bool = False) -> Response:
    request.state.subject = answer["run_id"]
    replayed = {"Idempotency-Replayed": "true"} if is_replayed else {}
    return JSONResponse(answer, 201, {"Location": answer["links"]["self"], **replayed})
