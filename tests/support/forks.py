"""Processes of `tek` that are forked from a warm one: started in a tenth of the time, used like `subprocess.Popen`."""

from __future__ import annotations

import atexit
import functools
import json
import os
import select
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["Fork", "Nursery", "nursery"]

_PROGRAM = Path(__file__).with_name("warm_tek.py")


class Fork:
    """One process: what the tests use of `subprocess.Popen`, by the same names."""

    def __init__(self, argv: Sequence[str], told: int, stdout: int, stderr: int | None) -> None:
        self._argv = list(argv)
        self._told = os.fdopen(told, "rb", buffering=0)
        self._words = b""
        self.stdout = os.fdopen(stdout, encoding="utf-8")
        self.stderr = None if stderr is None else os.fdopen(stderr, encoding="utf-8")
        self.returncode: int | None = None
        self._hear(1, None)
        self.pid = int(self._words.split(b"\n")[0])

    def _hear(self, lines: int, timeout_s: float | None) -> bool:
        """Hear what is told until there are so many lines; return whether there are."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while self._words.count(b"\n") < lines:
            left_s = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            if not select.select([self._told], [], [], left_s)[0]:
                return False
            data = self._told.read(64)
            assert data, "the process from which others are forked has ended"
            self._words += data
        return True

    def poll(self) -> int | None:
        """Return how it ended, None if it has not."""
        if self.returncode is None and self._hear(2, 0.0):
            self.returncode = int(self._words.split(b"\n")[1])
            self._told.close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return how it ended, once it has.

        Raises:
            subprocess.TimeoutExpired: It has not ended.
        """
        if self.returncode is None and not self._hear(2, timeout):
            raise subprocess.TimeoutExpired(self._argv, timeout or 0.0)
        status = self.poll()
        assert status is not None
        return status

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Read what it writes until nobody holds its streams any more; return it when it has ended.

        Raises:
            subprocess.TimeoutExpired: It has not ended.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        texts = {stream: b"" for stream in (self.stdout, self.stderr) if stream is not None}
        with selectors.DefaultSelector() as selector:
            for stream in texts:
                selector.register(stream, selectors.EVENT_READ)
            while selector.get_map():
                left_s = None if deadline is None else deadline - time.monotonic()
                if left_s is not None and left_s <= 0:
                    raise subprocess.TimeoutExpired(self._argv, timeout or 0.0)
                for key, _ in selector.select(left_s):
                    data = os.read(key.fd, 1 << 16)
                    texts[key.fileobj] += data  # type: ignore[index]  # only these were registered
                    if not data:
                        selector.unregister(key.fileobj)
        self.wait(None if deadline is None else max(deadline - time.monotonic(), 0.0))
        for stream in texts:
            stream.close()
        found = [text.decode().replace("\r\n", "\n") for text in texts.values()]
        return found[0], "".join(found[1:])

    def send_signal(self, number: int) -> None:
        """Signal it, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send TERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send KILL."""
        self.send_signal(signal.SIGKILL)


class Nursery:
    """A process of `warm_tek.py`."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._requests = ours
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(_PROGRAM), str(theirs.fileno())],
                cwd="/",
                env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def fork(self, argv: Sequence[str], *, cwd: Path, environ: Mapping[str, str], stderr: int | None = None) -> Fork:
        """Start a process with its output in pipes, or its errors where they are wanted.

        `argv[0]` is what it is told of its own name.
        """
        told, stdout = os.pipe(), os.pipe()
        errors = os.pipe() if stderr is None else None
        theirs = stderr if errors is None else errors[1]
        request = {"arguments": list(argv), "cwd": str(cwd), "environ": dict(environ)}
        try:
            socket.send_fds(self._requests, [json.dumps(request).encode()], [told[1], stdout[1], theirs])  # type: ignore[list-item]
        finally:
            for pipe in (told, stdout, errors):
                if pipe is not None:
                    os.close(pipe[1])
        return Fork(argv, told[0], stdout[0], None if errors is None else errors[0])

    def close(self) -> None:
        """End it; what was forked from it lives on."""
        self._requests.close()
        self._process.wait()


@functools.cache
def nursery() -> Nursery:
    """Return the one of this process, started at first use and ended with it."""
    found = Nursery()
    atexit.register(found.close)
    return found
