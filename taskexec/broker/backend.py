"""The result backend: Celery's own for Redis, except that our messages complete through the latch."""

from __future__ import annotations

from typing import Any, Protocol

from celery import states
from celery.backends.redis import RedisBackend

from taskexec.broker.messages import HEADER

__all__ = ["Latch", "LatchBackend"]


class Latch(Protocol):
    """Where attempts complete; the runtime's, passed in as `app.latch`."""

    def complete(self, request: Any, *, key: str, result: bytes, retry: bytes) -> None:
        """Complete the attempt that a request performed, with its Celery result and the one for a retry."""

    def lose(self, request: Any, error: BaseException) -> None:
        """End the attempts of a request whose process died, or which failed before it performed anything."""

    def revoke(self, task_id: str) -> bool:
        """Undo that Celery revoked a task, which is not how runs are stopped; return whether it was one of ours."""


class LatchBackend(RedisBackend):
    """Stores results as Celery does; for our messages the latch does it, atomically with what follows from them.

    Celery builds it as `cls(app, url)`; the latch is found on the app.
    """

    # both are there at run time and missing in celery-types
    app: Any
    _get_result_meta: Any

    def mark_as_done(
        self,
        task_id: str,
        result: Any,
        request: Any = None,
        store_result: bool = True,
        state: str = states.SUCCESS,
    ) -> None:
        """Complete an attempt that succeeded; batches have completed their members already."""
        if not _is_ours(request):
            super().mark_as_done(task_id, result, request=request, store_result=store_result, state=state)
        elif getattr(request, "tek_performed", None) is not None:
            done = self._encoded(task_id, result, state, None, request)
            self.app.latch.complete(request, key=self._key(task_id), result=done, retry=b"")

    def mark_as_failure(
        self,
        task_id: str,
        exc: Exception,
        traceback: Any = None,
        request: Any = None,
        store_result: bool = True,
        call_errbacks: bool = True,
        state: str = states.FAILURE,
    ) -> None:
        """Complete an attempt that failed, or end those whose process is gone."""
        if not _is_ours(request):
            super().mark_as_failure(
                task_id,
                exc,
                traceback=traceback,
                request=request,
                store_result=store_result,
                call_errbacks=call_errbacks,
                state=state,
            )
        elif getattr(request, "tek_performed", None) is None:
            self.app.latch.lose(request, exc)
        else:
            shown = self.prepare_exception(exc)
            failed = self._encoded(task_id, shown, states.FAILURE, traceback, request)
            # one Celery id serves all attempts: FAILURE is only for the last one
            again = self._encoded(task_id, shown, states.RETRY, traceback, request)
            self.app.latch.complete(request, key=self._key(task_id), result=failed, retry=again)

    def mark_as_revoked(
        self,
        task_id: str,
        reason: str = "",
        request: Any = None,
        store_result: bool = True,
        state: str = states.REVOKED,
    ) -> None:
        """Store nothing for a task of ours, which the latch puts back; its id says whose it is, with no request."""
        if self.app.latch is None or not self.app.latch.revoke(task_id):
            super().mark_as_revoked(task_id, reason, request=request, store_result=store_result, state=state)

    def _encoded(self, task_id: str, result: Any, state: str, traceback: Any, request: Any) -> bytes:
        meta = self._get_result_meta(result=result, state=state, traceback=traceback, request=request)
        meta["task_id"] = task_id
        encoded = self.encode(meta)
        return encoded if isinstance(encoded, bytes) else encoded.encode()

    def _key(self, task_id: str) -> str:
        key = self.get_key_for_task(task_id)
        return key.decode() if isinstance(key, bytes) else str(key)


def _is_ours(request: Any) -> bool:
    return request is not None and getattr(request, HEADER, None) is not None
