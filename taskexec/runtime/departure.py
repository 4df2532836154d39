"""The end of a worker whose time is up: what it runs is ended, given back to the cluster, and its process ends.

Its pool children are stopped first. What they run then ends without being told to have failed, and nobody completes or
renews anything behind the back of whoever gives it back.
"""

from __future__ import annotations

import contextlib
import os
import time

import orjson
import psutil

from taskexec.runtime.attempt import lost_record
from taskexec.runtime.sweep import end_all, left_by

__all__ = ["end_running", "given_back_record", "leave"]

_ROUND_S = 0.02


def given_back_record(worker: str) -> bytes:
    """Return the record of attempts that a worker gave back; the scripts know it by `given_back`."""
    record = orjson.loads(lost_record("given back: its worker was shut down before it was done", worker=worker))
    return orjson.dumps(record | {"given_back": True})


def end_running(worker: str, *, grace_s: float) -> None:
    """End everything that the attempts of a worker have started: TERM, and KILL for what is there after `grace_s`.

    Called in the worker's main process, whose pool children stand still from then on.
    """
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            child.suspend()
    for process, _ in left_by(worker):
        with contextlib.suppress(psutil.Error):
            process.terminate()
    deadline = time.monotonic() + grace_s
    while time.monotonic() < deadline and any(True for _ in left_by(worker)):
        time.sleep(_ROUND_S)  # they are grandchildren: there is nothing to wait for but to look
    end_all(worker)


def leave() -> None:
    """Kill the children of this process and end it with 0; nothing is left that could be ended politely."""
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            child.kill()
    os._exit(0)
