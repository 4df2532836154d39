"""The routes that read: runs, tasks, evidence, charts, events, workers and queues."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from anyio import to_thread

from taskexec.api.routes.charts import router as charts
from taskexec.api.routes.cluster import router as cluster
from taskexec.api.routes.events import router as events
from taskexec.api.routes.evidence import router as evidence
from taskexec.api.routes.logs import router as logs
from taskexec.api.routes.progress import router as progress
from taskexec.api.routes.runs import router as runs
from taskexec.api.routes.tasks import router as tasks
from taskexec.api.services import Services

__all__ = ["READING", "watch_runs"]

READING = (runs, tasks, evidence, logs, charts, events, progress, cluster)
"""Every group of routes that read."""


@contextlib.asynccontextmanager
async def watch_runs(services: Services) -> AsyncIterator[None]:
    """Have nothing follow a run any more once the application ends."""
    try:
        yield
    finally:
        await to_thread.run_sync(services.live.close)
