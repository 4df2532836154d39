"""Celery's consumer, which looks for a server that went away more often than Celery does."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from celery.worker.consumer import Consumer

from taskexec.broker import HEADER
from taskexec.domain.protocol import understands, version_of

__all__ = ["PromptConsumer"]

_FIRST_S, _STEP_S, _LONGEST_S = 0.2, 0.2, 2.0
"""Pauses between two tries. Celery's are 2 s at first and 30 later, in which a server that is back has no workers."""

_FOREIGN_S = 1.0
"""So long a message of a version that is not understood is kept before it is put back for others."""

log = logging.getLogger("taskexec.consumer")


class PromptConsumer(Consumer):
    """The consumer of a worker."""

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, for as long as it takes."""
        pauses = {"interval_start": _FIRST_S, "interval_step": _STEP_S, "interval_max": _LONGEST_S}
        presence, ensure_connection = getattr(self.app, "presence", None), conn.ensure_connection

        def ensure(*arguments: Any, callback: Callable[[], None], **options: Any) -> Any:
            def look() -> None:
                if presence is not None:
                    presence.tick_apart()
                callback()

            return ensure_connection(*arguments, callback=look, **options, **pauses)

        conn.ensure_connection = ensure
        return super().ensure_connected(conn)

    def on_ready(self) -> None:
        """Have the worker's presence tick in this loop: Celery forgets all timers when it loses its connection."""
        super().on_ready()
        presence = getattr(self.app, "presence", None)
        if presence is not None:
            presence.attach(self)

    def create_task_handler(self, *arguments: Any, **options: Any) -> Callable[[Any], None]:
        """Put back messages of versions that are not understood, unread, for workers that understand them."""
        own: Any = self
        receive: Callable[[Any], None] = super().create_task_handler(*arguments, **options)

        def receive_known(message: Any) -> None:
            header = (message.headers or {}).get(HEADER)
            version = version_of(header.get("v")) if isinstance(header, dict) else None
            if version is None or understands(version):
                receive(message)
                return
            own.app.meet(version)
            # not at once: where nobody else is there, it would come back at once as well
            put_back = partial(message.reject_log_error, log, own.connection_errors, requeue=True)
            self.timer.call_after(_FOREIGN_S, put_back)

        return receive_known
