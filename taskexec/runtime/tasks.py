"""The two Celery tasks: `tek.attempt` performs one attempt, `tek.batch` several short ones."""

from __future__ import annotations

from typing import Any

from celery import Celery
from celery.exceptions import Ignore

from taskexec.broker import ATTEMPT_TASK, BATCH_TASK
from taskexec.runtime.attendant import AttemptFailed, Attendant, celery_meta

__all__ = ["register_tasks"]


def register_tasks(app: Celery, attendant: Attendant) -> None:
    """Register both tasks on an app; they hand their requests to the attendant."""

    @app.task(name=ATTEMPT_TASK, bind=True, throws=(AttemptFailed,))
    def attempt(self: Any) -> Any:
        performed = attendant.attempt(self.request)
        if performed is None:
            raise Ignore  # a duplicate, cancelled or superseded message, or the lease was lost
        if not performed.outcome.succeeded:
            raise AttemptFailed(performed.outcome.error)
        return _short(performed.outcome.result)

    @app.task(name=BATCH_TASK, bind=True, ignore_result=True)
    def batch(self: Any) -> None:
        attendant.batch(self.request, celery_meta)


def _short(result: Any) -> Any:
    """Return what Flower shows as a task's result: the result itself if it is small."""
    if isinstance(result, str) and len(result) > 200:
        return result[:200] + "…"
    return result if isinstance(result, str | int | float | bool | None) else type(result).__name__
