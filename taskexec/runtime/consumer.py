"""Celery's consumer, which looks for a server that went away more often than Celery does."""

from __future__ import annotations

from functools import partial
from typing import Any

from celery.worker.consumer import Consumer

__all__ = ["PromptConsumer"]

_FIRST_S, _STEP_S, _LONGEST_S = 0.2, 0.2, 2.0
"""Pauses between two tries. Celery's are 2 s at first and 30 later, in which a server that is back has no workers."""


class PromptConsumer(Consumer):
    """The consumer of a worker."""

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, for as long as it takes."""
        pauses = {"interval_start": _FIRST_S, "interval_step": _STEP_S, "interval_max": _LONGEST_S}
        conn.ensure_connection = partial(conn.ensure_connection, **pauses)
        return super().ensure_connected(conn)
