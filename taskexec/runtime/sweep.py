"""The sweep: finds and kills what dead pool children and dead workers have left running.

Every process of an attempt carries `TEK_WORKER` (its worker) and `TEK_SLOT` (the process id of the pool child that
started it) in its environment, whatever session it has moved to.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator

import psutil

from taskexec.runtime.control_group import remove_groups

__all__ = ["end_all", "end_orphans", "is_alive", "left_by"]


def left_by(worker: str) -> Iterator[tuple[psutil.Process, int]]:
    """Yield the processes of a worker's attempts here, each with the id of the pool child that started it."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError, ValueError):
            environ = process.environ()
            if environ.get("TEK_WORKER") == worker and process.pid != os.getpid():
                yield process, int(environ.get("TEK_SLOT", "0"))


def _kill(worker: str, is_orphan: Callable[[int], bool]) -> int:
    """Kill until nothing is found: a process may fork while it is looked at."""
    killed = 0
    for _ in range(10):
        found = [process for process, slot in left_by(worker) if is_orphan(slot)]
        if not found:
            break
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.kill()
                killed += 1
        _await_ends(found)
    return killed


def _await_ends(processes: list[psutil.Process]) -> None:
    """Wait, at most a second, until processes have ended; one that nobody has collected yet has ended as well."""
    deadline = time.monotonic() + 1.0
    while any(is_alive(process.pid) for process in processes) and time.monotonic() < deadline:
        time.sleep(0.002)


def end_orphans(worker: str) -> int:
    """Kill what pool children of a worker that are gone have left, with its groups; return how many processes."""
    killed = _kill(worker, lambda slot: not is_alive(slot))
    remove_groups(lambda owner, slot: owner == worker and not is_alive(slot))
    return killed


def end_all(worker: str) -> int:
    """Kill everything that a worker's attempts have left, with its groups; for when the worker itself is gone."""
    killed = _kill(worker, lambda _: True)
    remove_groups(lambda owner, _: owner == worker)
    return killed


def is_alive(pid: int) -> bool:
    """Return whether a process runs; one that has ended and was not collected does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
