"""A worker that faults may be done to: processes that are known by id and start time, and never by a name."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field

import psutil

from taskexec.chaos.wire import Wire
from taskexec.runtime.sweep import left_by

__all__ = ["ContinueGuard", "Target"]


@dataclass(frozen=True, slots=True)
class Target:
    """One worker on this machine. Nothing is ever sent to a process that only has got its id since."""

    name: str
    """As it is registered."""
    pid: int
    """Its main process, which leads the group of its pool."""
    created: float
    """When that process was started, as the system tells it."""
    wire: Wire | None = field(default=None, compare=False)
    """What connects it with the server, if it can be cut."""

    @classmethod
    def of(cls, name: str, pid: int, *, wire: Wire | None = None) -> Target | None:
        """Return the worker of a process of this user; None when there is none that lives."""
        try:
            process = psutil.Process(pid)
            if process.uids().real != os.getuid() or process.status() == psutil.STATUS_ZOMBIE:
                return None
            return cls(name, pid, process.create_time(), wire)
        except psutil.Error:
            return None

    @property
    def is_alive(self) -> bool:
        """Whether it is the process that it was, and has not ended."""
        return Target.of(self.name, self.pid) == self

    def signal(self, number: int) -> bool:
        """Send a signal to the main process and the whole pool; return whether there was anybody to get it."""
        if not self.is_alive:
            return False
        with contextlib.suppress(ProcessLookupError):
            if os.getpgid(self.pid) == self.pid:
                os.killpg(self.pid, number)
            else:
                os.kill(self.pid, number)
            return True
        return False

    def children(self) -> list[int]:
        """Return the process ids of its pool, those with an attempt's process at work first."""
        if not self.is_alive:
            return []
        with contextlib.suppress(psutil.Error):
            pool = [child.pid for child in psutil.Process(self.pid).children() if _group_of(child.pid) == self.pid]
            busy = {slot for _, slot in left_by(self.name)}
            return sorted(pool, key=lambda pid: (pid not in busy, pid))
        return []

    def attempts(self, run_id: str) -> Iterator[tuple[psutil.Process, str]]:
        """Yield the leading processes of a run's attempts on it, each with its task's id."""
        for process, _ in left_by(self.name):
            with contextlib.suppress(psutil.Error, OSError):
                environ = process.environ()
                if environ.get("TEK_RUN") == run_id and "TEK_TASK" in environ and os.getsid(process.pid) == process.pid:
                    yield process, environ["TEK_TASK"]


def _group_of(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


class ContinueGuard:
    """Has a stopped worker go on when this process dies before it could say so."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._waiter = subprocess.Popen(
            ["/bin/sh", "-c", 'read -r _; kill -s CONT -- "-$0"', str(target.pid)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def release(self) -> None:
        """Have it go on now."""
        self._target.signal(signal.SIGCONT)
        self._waiter.kill()  # before its input ends: by then the group's number may be another's
        assert self._waiter.stdin is not None
        self._waiter.stdin.close()
        self._waiter.wait()
