"""`/metrics`: the whole cluster for Prometheus, and where its workers answer it themselves.

Who reads them is the setting `api.metrics`. Neither is part of the specification: their form is Prometheus's.
"""

from __future__ import annotations

import ipaddress

from anyio import to_thread
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from taskexec.api.access import Role
from taskexec.api.problems import Problem
from taskexec.api.services import Services, ServicesOf
from taskexec.errors import ConnectionLost
from taskexec.observability.metrics import CONTENT_TYPE

__all__ = ["router"]

router = APIRouter(include_in_schema=False)

_LOCAL_NAMES = {"localhost", "127.0.0.1", "::1"}
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
"""Headers of proxies: who is behind one that stands on this machine may be anywhere."""


@router.get("/metrics")
async def show_metrics(request: Request, services: ServicesOf) -> Response:
    """Return the figures of the cluster, at most a second old, in Prometheus's text format."""
    await _admit(request, services)
    page = await to_thread.run_sync(services.metrics.page)
    return Response(page, media_type=CONTENT_TYPE)


@router.get("/metrics/targets")
async def show_targets(request: Request, services: ServicesOf) -> Response:
    """Return where workers answer Prometheus, in the form of its discovery over HTTP (`http_sd_configs`)."""
    await _admit(request, services)
    try:
        workers = await to_thread.run_sync(services.cluster.workers.listed)
    except ConnectionLost:  # its address, which the error names, is not for everybody
        raise Problem(
            503, "cluster.connection", "the server of the cluster does not answer", headers={"Retry-After": "5"}
        ) from None
    targets = sorted(str(worker["metrics"]) for worker in workers if worker.get("metrics"))
    return JSONResponse([{"targets": targets, "labels": {}}] if targets else [])


async def _admit(request: Request, services: Services) -> None:
    """Let in whom the setting lets in.

    Raises:
        Problem: They need a token and have none that counts.
    """
    allowed = services.settings.api.metrics
    if allowed == "open" or (allowed == "loopback" and _is_local(request)):
        return
    await services.guard.admit(request, Role.VIEWER)


def _is_local(request: Request) -> bool:
    """Return whether a request was made on this machine, for it, and by nobody on behalf of others.

    A page of another origin that has its name lead here asks for that name.
    """
    if request.client is None or any(name in request.headers for name in _FORWARDED):
        return False
    try:
        address = ipaddress.ip_address(request.client.host)
    except ValueError:
        return False
    return address.is_loopback and (request.url.hostname or "") in _LOCAL_NAMES
