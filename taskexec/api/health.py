"""`/healthz`: whether the API and its server answer, for whoever watches over the process."""

from __future__ import annotations

import anyio
from anyio import to_thread
from fastapi import APIRouter
from pydantic import BaseModel

from taskexec.api.problems import Problem
from taskexec.api.services import ServicesOf
from taskexec.errors import ConnectionLost

__all__ = ["router"]

_PATIENCE_S = 3.0

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """How the API is."""

    status: str
    """`ok`."""


@router.get("/healthz", summary="Say whether the API works", openapi_extra={"security": []})
async def show_health(services: ServicesOf) -> Health:
    """Return `ok` when the server of the cluster answers."""
    try:
        with anyio.fail_after(_PATIENCE_S):
            await to_thread.run_sync(services.cluster.connection.ping, abandon_on_cancel=True)
    except (ConnectionLost, TimeoutError):  # its address, which the error names, is not for everybody
        raise Problem(
            503, "cluster.connection", "the server of the cluster does not answer", headers={"Retry-After": "5"}
        ) from None
    return Health(status="ok")
