"""The application: every route, and how errors are told."""

from __future__ import annotations

from fastapi import FastAPI

from taskexec.api.services import Services

__all__ = ["make_app"]

ROUTERS: tuple[object, ...] = ()
"""Every group of routes, in the order of the specification."""


def make_app(services: Services) -> FastAPI:
    """Return the application for a cluster."""
    app = FastAPI(title="taskexec", version="1", openapi_url="/api/v1/openapi.json", docs_url=None, redoc_url=None)
    app.state.services = services
    return app
