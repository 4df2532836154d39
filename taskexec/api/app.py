"""The application: every route, what lives beside them, and how errors are told.

A group of routes is an `APIRouter` in `ROUTERS`. What works beside the requests for as long as the application lives,
such as what follows live runs, is in `COMPANIONS`.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack

from fastapi import APIRouter, FastAPI
from fastapi.middleware.gzip import GZipMiddleware
from starlette.middleware.cors import CORSMiddleware

from taskexec.api.audit import AuditTrail
from taskexec.api.audit import router as audit_router
from taskexec.api.changes import CHANGING
from taskexec.api.door import Door
from taskexec.api.edge import Edge
from taskexec.api.health import router as health_router
from taskexec.api.metrics import router as metrics_router
from taskexec.api.pages import router as pages_router
from taskexec.api.paths import EncodedPaths
from taskexec.api.problems import handle_problems
from taskexec.api.routes import READING, watch_runs
from taskexec.api.routes.use import router as use_router
from taskexec.api.services import Services
from taskexec.api.specification import specify

__all__ = ["COMPANIONS", "ROUTERS", "make_app"]

ROUTERS: tuple[APIRouter, ...] = (
    *CHANGING,
    *READING,
    use_router,
    audit_router,
    health_router,
    metrics_router,
    pages_router,
)
"""Every group of routes, in the order of the specification."""

COMPANIONS: tuple[Callable[[Services], AbstractAsyncContextManager[None]], ...] = (watch_runs,)
"""What is begun before the first request and ended after the last, the first begun ended last."""


def make_app(services: Services) -> FastAPI:
    """Return the application for a cluster."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for begin in COMPANIONS:
                await stack.enter_async_context(begin(services))
            yield

    app = FastAPI(
        title="taskexec",
        version="1",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.services = services
    handle_problems(app)
    app.add_middleware(EncodedPaths)
    app.add_middleware(GZipMiddleware, minimum_size=1000, compresslevel=4)  # leaves streams of events alone
    app.add_middleware(Door, guard=services.guard)
    app.add_middleware(AuditTrail, services=services)
    _let_origins_in(app, services.settings.api.origin_list())
    app.add_middleware(Edge, settings=services.settings.api)  # the outermost: what it refuses, nobody else sees
    for router in ROUTERS:
        app.include_router(router)
    specify(app)
    return app


def _let_origins_in(app: FastAPI, origins: Sequence[str]) -> None:
    """Let pages of other origins call the API, with a token: a session counts for our own pages only."""
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "HEAD", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID", "X-Request-Id"],
            expose_headers=["ETag", "Idempotency-Replayed", "Location", "Retry-After", "X-Request-Id"],
            max_age=600,
        )
