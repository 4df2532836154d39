"""The Celery tasks: `tek.attempt` performs one attempt, `tek.batch` several short ones, `tek.rank` a rank above 0."""

from __future__ import annotations

from typing import Any

from celery import Celery
from celery.exceptions import Ignore

from taskexec.broker import ATTEMPT_TASK, BATCH_TASK, RANK_TASK
from taskexec.runtime.attendant import AttemptFailed, Attendant, celery_meta, short_result

__all__ = ["register_tasks"]


def register_tasks(app: Celery, attendant: Attendant) -> None:
    """Register the tasks on an app; they hand their requests to the attendant."""

    @app.task(name=ATTEMPT_TASK, bind=True, throws=(AttemptFailed,))
    def attempt(self: Any) -> Any:
        performed = attendant.attempt(self.request)
        if performed is None:
            raise Ignore  # a duplicate, cancelled or superseded message, or the lease was lost
        if not performed.outcome.succeeded:
            raise AttemptFailed(performed.outcome.error)
        return short_result(performed.outcome.result)

    @app.task(name=BATCH_TASK, bind=True, ignore_result=True)
    def batch(self: Any) -> None:
        attendant.batch(self.request, celery_meta)

    @app.task(name=RANK_TASK, bind=True, ignore_result=True)
    def rank(self: Any) -> None:
        attendant.rank(self.request)
