"""Warm helper processes: started at first use, asked again and again, replaced when they die or are ended."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from resource import struct_rusage
from typing import Any

import orjson

from taskexec.agents import Exit
from taskexec.runtime.process import Enclosure, Guard, Limits, OutputSink, Watched, kill_group, spawn

__all__ = ["WarmHelper"]

_LENGTH_BYTES = 4
_REQUESTS, _ANSWERS = 198, 199
"""Descriptors in the helper; high, so that they cannot collide with ours."""


class WarmHelper:
    """One helper process and its four pipes: requests, answers, standard output, standard error."""

    def __init__(
        self,
        argv: Sequence[str],
        environ: Mapping[str, str],
        cwd: str | None = None,
        *,
        enclosure: Enclosure | None = None,
    ) -> None:
        request_read, self._requests = os.pipe()
        self._answers, answer_write = os.pipe()
        self._stdout, out_write = os.pipe()
        self._stderr, err_write = os.pipe()
        theirs = (request_read, answer_write, out_write, err_write)
        ours = (self._requests, self._answers, self._stdout, self._stderr)
        try:
            self.pid = spawn(
                [*argv, str(_REQUESTS), str(_ANSWERS)],
                environ,
                output=(out_write, err_write),
                cwd=cwd,
                descriptors={_REQUESTS: request_read, _ANSWERS: answer_write},
                enclosure=enclosure,
            )
        except BaseException:
            for descriptor in ours:
                os.close(descriptor)
            raise
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        for descriptor in (self._answers, self._stdout, self._stderr):
            os.set_blocking(descriptor, False)
        self._watched = Watched(self.pid, self._stdout, self._stderr, self._answers)
        self._frame = bytearray()
        self._cpu_s = 0.0
        self._is_open = True

    @property
    def used(self) -> struct_rusage | None:
        """What it has used; known when it has ended."""
        return self._watched.used

    def take_cpu_s(self) -> float:
        """Return the CPU time in seconds that it has used itself since this was asked last; 0 where none can tell."""
        used = self.used
        if used is not None:
            now_s = used.ru_utime + used.ru_stime
        else:
            try:
                now_s = time.clock_gettime((~self.pid << 3) | 2)  # the clock of a process: clock_getcpuclockid(3)
            except OSError:
                return 0.0
        taken, self._cpu_s = now_s - self._cpu_s, now_s
        return max(taken, 0.0)

    @property
    def is_alive(self) -> bool:
        """Whether it can be asked; one that died between two requests is collected here."""
        if self._is_open and os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            self.end()
        return self._is_open

    def ask(
        self,
        request: Mapping[str, Any],
        *,
        sink: OutputSink,
        limits: Limits,
        on_watched: Callable[[Watched | None], None],
        guard: Guard | None = None,
    ) -> Exit:
        """Send a request, await its answer; a helper that dies or is ended on the way gives an exit without a reply."""
        started = time.monotonic()
        frame = orjson.dumps(request)
        self._frame.clear()
        on_watched(self._watched)
        try:
            with contextlib.suppress(BrokenPipeError):
                _write_all(self._requests, len(frame).to_bytes(_LENGTH_BYTES, "big") + frame)
            exit_ = self._watched.wait(sink, limits, self._read_answer, guard=guard)
        except BaseException:
            self.end()  # its answer would be taken for that of the next request
            raise
        finally:
            on_watched(None)
        if exit_ is not None:
            self._close()
            return exit_
        if self._watched.ended_by is not None:  # told to end, and answered all the same: too late
            self.end()
            return Exit(None, None, time.monotonic() - started, ended_by=self._watched.ended_by)
        return Exit(0, None, time.monotonic() - started, reply=bytes(self._frame[_LENGTH_BYTES:]))

    def _read_answer(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._answers, 65_536):
                self._frame += data
                if len(self._frame) >= _LENGTH_BYTES:
                    length = int.from_bytes(self._frame[:_LENGTH_BYTES], "big")
                    if len(self._frame) - _LENGTH_BYTES >= length:
                        return True
        return False

    def end(self) -> None:
        """Kill the helper and its group, and collect it."""
        if self._is_open:
            kill_group(self.pid, signal.SIGKILL)
            _, _, self._watched.used = os.wait4(self.pid, 0)
            self._close()

    def _close(self) -> None:
        self._watched.close()
        self._is_open = False
        for descriptor in (self._requests, self._answers, self._stdout, self._stderr):
            os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
