"""The supervisor of a worker: starts it as a process of its own, again when it dies, and clears up after it."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import orjson

from taskexec.errors import WorkerFailed
from taskexec.runtime.sweep import end_all

__all__ = ["WorkerSupervisor", "new_worker_name"]

_QUICK_S = 3.0
"""A worker that dies within this time counts as one that does not start."""
_QUICK_LIMIT = 5
_LONG_S = 3600.0
"""A worker that has lived so long earns its supervisor all restarts again."""


def new_worker_name() -> str:
    """Return a new name for a worker: three random bytes and the host, in Celery's form `name@host`."""
    host = re.sub(r"[^A-Za-z0-9.-]", "-", platform.node()) or "localhost"
    return f"tek-{secrets.token_hex(3)}@{host}"


class WorkerSupervisor:
    """Keeps one worker process alive.

    A worker that died is cleared up after before its successor starts: the processes of its attempts are killed, then
    `on_lost` is told its name, so that nothing runs twice at once.
    """

    def __init__(
        self,
        launch: Callable[[str, Path], tuple[list[str], Mapping[str, str]]],
        *,
        on_lost: Callable[[str], None],
        restart_limit: int,
        log_path: Path | None,
    ) -> None:
        """Prepare a supervisor; `start` starts the worker.

        Args:
            launch: Gives arguments and environment of a worker process, from its name and scratch folder.
            on_lost: Called with the name of a worker that died, after its processes were killed.
            restart_limit: Times a worker is started again before this gives up.
            log_path: File for the worker's standard error; None leaves it on ours.
        """
        self._launch = launch
        self._on_lost = on_lost
        self._restart_limit = self._restarts_left = restart_limit
        self._log_path = log_path
        self._process: subprocess.Popen[bytes] | None = None
        self._scratch: Path | None = None
        self._started = 0.0
        self._quick_deaths = 0
        self.name = ""
        """Name of the present worker."""
        self.may_leave = True
        """Whether a worker that ends in order stays away; without it, it is started again like one that died."""
        self.has_left = False
        """Whether the worker was drained: it has left in order, and is not started again."""
        self.restarts = 0
        """Times a worker was started again."""

    @property
    def pid(self) -> int | None:
        """Process id of the present worker's main process."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start a worker.

        Raises:
            WorkerFailed: The process could not be started.
        """
        self.name = new_worker_name()
        self._scratch = Path(tempfile.mkdtemp(prefix="tek-work-"))
        argv, environ = self._launch(self.name, self._scratch)
        self._started = time.monotonic()
        try:
            with contextlib.ExitStack() as stack:
                log = stack.enter_context(self._log_path.open("ab")) if self._log_path else None
                self._process = subprocess.Popen(
                    argv, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
        except OSError as error:
            raise WorkerFailed(f"a worker cannot be started: {error}") from error

    def tend(self) -> bool:
        """Start the worker again if it has died; return whether it had. One that has left in order stays away.

        Raises:
            WorkerFailed: It died too often, or again and again right after its start.
        """
        if self._process is None or self._process.poll() is None:
            return False
        status = self._process.returncode
        if status == 0 and self.may_leave:
            self.has_left = True
            self._clear()
            return False
        if time.monotonic() - self._started > _LONG_S:
            self._restarts_left = self._restart_limit
        self._quick_deaths = self._quick_deaths + 1 if time.monotonic() - self._started < _QUICK_S else 0
        self._clear()
        if self._quick_deaths >= _QUICK_LIMIT or self._restarts_left == 0:
            raise WorkerFailed(
                f"the worker died {self.restarts + 1} times, last with status {status}", hint=self._hint()
            )
        self._on_lost(self.name)
        self._restarts_left -= 1
        self.restarts += 1
        self.start()
        return True

    def wait(self, timeout_s: float) -> int | None:
        """Wait for the worker to end; return its exit status, or None when it has not."""
        if self._process is None:
            return 0
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout_s)
        return None

    def ask_to_stop(self) -> None:
        """Tell the worker to let running attempts finish and end."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the worker with its pool, and everything that its attempts have started."""
        self._clear()

    def _clear(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # the pool shares the worker's group
            process.wait()
            end_all(self.name)
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None

    def _hint(self) -> str:
        if self._log_path is None or not self._log_path.is_file():
            return "see its messages above"
        with self._log_path.open(errors="replace") as log:
            lines = [_said(line.strip()) for line in log.readlines()[-3:]]
        return f"its log {self._log_path} ends with: {' | '.join(lines)}" if lines else f"its log is {self._log_path}"


def _said(line: str) -> str:
    """Return what a line of a worker's log says, without the fields of its form as JSON."""
    try:
        told = orjson.loads(line)
        return " ".join(str(told[name]) for name in ("event", "error", "exception") if told.get(name))
    except (orjson.JSONDecodeError, AttributeError, TypeError):
        return line
