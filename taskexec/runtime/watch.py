"""The watch of an executing process: a thread that renews leases and keeps batches from holding things up.

It lives in the process that executes, so that a lease cannot outlive its work.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable

from taskexec.agents import Outcome
from taskexec.domain.states import Reason
from taskexec.errors import ConnectionLost
from taskexec.runtime.attempt import Performed
from taskexec.runtime.carrier import Carrier

__all__ = ["Watch"]

log = logging.getLogger("taskexec.watch")

_AWAKE_S = 1.0

Encode = Callable[[Performed], tuple[str, bytes, bytes]]


class Watch:
    """Tends the carrier at work, if any; started with the first one."""

    def __init__(self, *, lease_s: float, patience_s: float, grace_s: float, worker: str) -> None:
        self._renew_every_s = lease_s / 4
        self._patience_s = patience_s
        self._margin_s = grace_s + 1.0
        self._worker = worker
        self._changed = threading.Condition()
        self._carrier: Carrier | None = None
        self._encode: Encode | None = None
        self._is_batch = False
        self._is_asleep = False
        self._thread: threading.Thread | None = None

    def begin(self, carrier: Carrier, encode: Encode, *, is_batch: bool) -> None:
        """Watch a carrier from now on."""
        with self._changed:
            self._carrier, self._encode, self._is_batch = carrier, encode, is_batch
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="tek-watch", daemon=True)
                self._thread.start()
            elif is_batch and self._is_asleep:
                self._changed.notify()

    def end(self) -> None:
        """Watch nothing until the next `begin`."""
        with self._changed:
            self._carrier = None

    def _loop(self) -> None:
        renewed = last_batch = time.monotonic()
        while True:
            with self._changed:
                if self._carrier is not None and self._is_batch:
                    last_batch = time.monotonic()
                # a thread that is woken for every batch would cost each of them a switch
                self._is_asleep = time.monotonic() - last_batch > _AWAKE_S
                self._changed.wait(self._renew_every_s if self._is_asleep else self._patience_s)
                carrier, encode, is_batch = self._carrier, self._encode, self._is_batch
            if carrier is None or encode is None:
                continue
            try:
                if is_batch:
                    carrier.tend(encode)
                if time.monotonic() - renewed >= self._renew_every_s * 0.9:
                    renewed = time.monotonic()
                    carrier.renew()
            except ConnectionLost:
                continue
            except Exception:
                log.exception("watching failed; it goes on")  # without it every lease of this process would lapse
                continue
            self._end_overdue(carrier, encode)

    def _end_overdue(self, carrier: Carrier, encode: Encode) -> None:
        """End this process when an agent that works in it ignores its time limit; its attempt is completed first."""
        work = carrier.overdue(self._margin_s)
        if work is None or work.started is None:
            return
        outcome = Outcome(succeeded=False, reason=Reason.TIMEOUT, error="the agent did not keep its time limit")
        span = (carrier.server_time_of(work.started), carrier.server_now())
        carrier.complete([work.account(outcome, span, self._worker)], encode)
        os.kill(os.getpid(), signal.SIGKILL)
