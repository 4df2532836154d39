"""Processes of attempts: each in a session of its own, output read as it comes, ended with its whole group."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import select
import shlex
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from taskexec.agents import Exit
from taskexec.domain.states import Reason

__all__ = ["Enclosure", "Guard", "Limits", "OutputSink", "Watched", "kill_group", "spawn"]

_READ_BYTES = 65_536
"""Capacity of a pipe (Linux's default), so that one read empties it."""
_LONGEST_WAIT_S = 0.5
_RESET = [
    number
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP, signal.SIGPIPE, signal.SIGUSR1)
    if sys.platform != "win32"
]


class OutputSink(Protocol):
    """What takes the output of processes."""

    def write(self, name: str, data: bytes) -> None:
        """Take bytes of `stdout.log` or `stderr.log`."""

    def tick(self) -> float | None:
        """Use the pause: called at least twice a second while a process runs.

        Returns:
            Seconds until it wants to be called again; None leaves it at that.
        """


class Guard(Protocol):
    """What looks after a process while it runs, beside the clock."""

    def look(self, pid: int) -> tuple[Reason | None, float]:
        """Look at the session that a process leads; called after every pause, however short.

        Returns:
            Why everything in it is to be killed now (None: it may go on), and seconds until the next look.
        """

    def kill(self) -> None:
        """Kill what it knows of beyond the process group."""


@dataclass(frozen=True, slots=True)
class Enclosure:
    """What a process is put into before it begins: none of it can be taken off again."""

    entries: Sequence[str] = ()
    """Files in which it enters its control groups."""
    open_files: int = 0
    """Descriptors at once; 0 leaves it as it is, as in all that follow."""
    processes: int = 0
    """Processes of its user at once."""
    file_size_mib: int = 0
    """Size of the files that it writes."""
    address_space_mib: int = 0
    """Address space of each process."""
    nice: int = 0
    """Added to its niceness; above 0, it stands behind others."""
    cores: frozenset[int] = frozenset()
    """Cores that it may use."""

    def script(self) -> str:
        """Return the commands of a shell that put itself into it, and then begin with what is to be executed."""
        lines = [f"echo 0 > {shlex.quote(entry)} || exit 125" for entry in self.entries]
        lines += [f"ulimit -n {_allowed(resource.RLIMIT_NOFILE, self.open_files)}"] if self.open_files else []
        lines += [f"ulimit -f {self.file_size_mib * 2048}"] if self.file_size_mib else []  # blocks of 512 bytes
        if self.processes:  # the letter is not the same in all shells
            count = _allowed(resource.RLIMIT_NPROC, self.processes)
            lines.append(f"ulimit -u {count} 2>/dev/null || ulimit -p {count}")
        lines += [f"ulimit -v {self.address_space_mib * 1024}"] if self.address_space_mib else []
        return "".join(f"{line}\n" for line in lines)

    def program(self) -> str:
        """Return how the shell replaces itself with what it was given."""
        return f'exec nice -n {self.nice} "$@"' if self.nice else 'exec "$@"'


def _allowed(kind: int, wanted: int) -> int:
    """Return a limit that may be set: no more than the hard one that we have ourselves."""
    hard = resource.getrlimit(kind)[1]
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


@dataclass(frozen=True, slots=True)
class Limits:
    """When and how a process is ended."""

    deadline: float | None
    """Monotonic time at which it is told to end; None never."""
    grace_s: float
    """Seconds between TERM and KILL."""


def spawn(
    argv: Sequence[str],
    environ: Mapping[str, str],
    *,
    output: tuple[int, int],
    cwd: str | None = None,
    descriptors: Mapping[int, int] | None = None,
    enclosure: Enclosure | None = None,
) -> int:
    """Start a process as the leader of a new session; return its process id.

    `posix_spawn` takes 0.5 ms where a fork of this process takes 1.7; it can neither change the folder nor limit
    anything, so `cwd` and an enclosure go through `/bin/sh`, which replaces itself.

    Args:
        argv: Program (looked up on PATH) and arguments.
        environ: The whole environment.
        output: Descriptors for standard output and standard error.
        cwd: Folder to start in; None for this process's.
        descriptors: Further descriptors to pass on, ours by theirs.
        enclosure: What it is put into first; None for nothing.

    Raises:
        OSError: The program or folder does not exist, or cannot be executed. With `cwd`, a missing program shows
            as exit status 127 instead.
    """
    if enclosure is not None:
        argv = _enclosed(argv, environ, cwd, enclosure)
    elif cwd is not None:
        os.stat(cwd)
        # an absolute path keeps `cd` from searching CDPATH (and from printing what it found there)
        argv = ["/bin/sh", "-c", 'cd -- "$0" && exec "$@"', str(Path.cwd() / cwd), *argv]
    actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, output[0], 1),
        (os.POSIX_SPAWN_DUP2, output[1], 2),
    ]
    actions += [(os.POSIX_SPAWN_DUP2, ours, theirs) for theirs, ours in (descriptors or {}).items()]
    if enclosure is None or not enclosure.cores:
        return _spawn(argv, environ, actions)
    with _on_cores(enclosure.cores):
        return _spawn(argv, environ, actions)


def _spawn(argv: Sequence[str], environ: Mapping[str, str], actions: Sequence[Any]) -> int:
    return os.posix_spawnp(
        argv[0], list(argv), environ, file_actions=actions, setsid=True, setsigmask=[], setsigdef=_RESET
    )


def _enclosed(argv: Sequence[str], environ: Mapping[str, str], cwd: str | None, enclosure: Enclosure) -> list[str]:
    """Return what starts a program by way of a shell that has put itself into an enclosure."""
    text, folder = enclosure.script(), ""
    if cwd is not None:
        os.stat(cwd)
        text, folder = f'{text}cd -- "$0" && ', str(Path.cwd() / cwd)
    elif shutil.which(argv[0], path=environ.get("PATH", os.defpath)) is None:
        number = errno.EACCES if os.path.exists(argv[0]) else errno.ENOENT
        raise OSError(number, os.strerror(number), argv[0])
    return ["/bin/sh", "-c", text + enclosure.program(), folder, *argv]


@contextlib.contextmanager
def _on_cores(cores: frozenset[int]) -> Iterator[None]:
    """Keep this thread, and so what it starts, on some cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def kill_group(pid: int, number: int) -> None:
    """Signal a whole process group; nothing happens when it is gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


class Watched:
    """One process under supervision: its output is read, its limits are kept, others may abort it.

    A helper is watched once for each thing that it is asked; an ordinary process once.
    """

    def __init__(self, pid: int, stdout: int, stderr: int, answers: int | None = None) -> None:
        """Watch a process that this one has started.

        Args:
            pid: Its process id; it leads a group of its own.
            stdout: Where its standard output is read, without blocking.
            stderr: Where its standard error is read, without blocking.
            answers: A further descriptor to wait for.
        """
        self.pid = pid
        self._pidfd = os.pidfd_open(pid)
        self._streams = {stdout: "stdout.log", stderr: "stderr.log"}
        self._answers = answers
        self._poller = select.poll()
        for descriptor in (self._pidfd, stdout, stderr, *([] if answers is None else [answers])):
            self._poller.register(descriptor, select.POLLIN)
        self._pipes = select.poll()
        for descriptor in self._streams:
            self._pipes.register(descriptor, select.POLLIN)
        self._lock = threading.Lock()
        self._gone = False
        self._ended_by: Reason | None = None
        self._told_at: float | None = None
        self.used: resource.struct_rusage | None = None
        """What it and those of its children that it has collected have used; known when it has ended."""

    @property
    def ended_by(self) -> Reason | None:
        """Why the process was told to end; None when it was not."""
        return self._ended_by

    def kill(self) -> None:
        """Kill the process with its group and collect it."""
        kill_group(self.pid, signal.SIGKILL)
        with self._lock, contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
            self._gone = True

    def abort(self, reason: Reason) -> None:
        """Tell the process to end, from any thread; it is killed when it does not within the grace."""
        with self._lock:
            if not self._gone and self._ended_by is None:
                self._ended_by = reason
                self._told_at = time.monotonic()
                kill_group(self.pid, signal.SIGTERM)

    def wait(
        self,
        sink: OutputSink,
        limits: Limits,
        on_answer: Callable[[], bool] | None = None,
        *,
        guard: Guard | None = None,
    ) -> Exit | None:
        """Supervise until the process ends.

        `on_answer` is called when the further descriptor is readable; once it returns True, waiting is over and None
        is returned: the process lives on. A `guard` may have everything killed before.
        """
        started = time.monotonic()
        wanted_s = None if guard is None else self._heed(guard, None)
        while True:
            ready = [descriptor for descriptor, _ in self._poller.poll(self._timeout_ms(limits, wanted_s))]
            for descriptor in ready:
                if descriptor in self._streams and not self._read(descriptor, sink):
                    self._poller.unregister(descriptor)
            if self._answers in ready and on_answer is not None and on_answer():
                self._drain(sink)
                return None
            if self._pidfd in ready:
                # first, so that nothing of the group writes any more; its number is not reused before it is collected
                kill_group(self.pid, signal.SIGKILL)
                self._drain(sink)
                return self._reap(started)
            self._keep_limits(limits)
            wanted_s = sink.tick()
            if guard is not None:
                wanted_s = self._heed(guard, wanted_s)

    def _heed(self, guard: Guard, wanted_s: float | None) -> float:
        """Do what a guard says; return seconds until somebody wants to be called again."""
        reason, next_s = guard.look(self.pid)
        if reason is not None:
            with self._lock:
                if self._ended_by is None:
                    self._ended_by, self._told_at = reason, time.monotonic()
                kill_group(self.pid, signal.SIGKILL)
            guard.kill()
        return next_s if wanted_s is None else min(wanted_s, next_s)

    def _timeout_ms(self, limits: Limits, wanted_s: float | None) -> float:
        longest_s = _LONGEST_WAIT_S if wanted_s is None else min(wanted_s, _LONGEST_WAIT_S)
        if limits.deadline is not None and self._ended_by is None:
            longest_s = min(max(limits.deadline - time.monotonic(), 0.0), longest_s)
        return longest_s * 1000 + 1

    def _read(self, descriptor: int, sink: OutputSink) -> bool:
        """Read what is there; return False at the end of the stream."""
        try:
            data = os.read(descriptor, _READ_BYTES)
        except BlockingIOError:
            return True
        if data:
            sink.write(self._streams[descriptor], data)
        return bool(data)

    def _drain(self, sink: OutputSink) -> None:
        """Read what lies in the pipes, once each: one read takes all that a pipe can hold.

        Who has left the group may hold a pipe open, or write to it for ever; neither is waited for.
        """
        for descriptor, _ in self._pipes.poll(0):
            self._read(descriptor, sink)

    def _keep_limits(self, limits: Limits) -> None:
        now = time.monotonic()
        if self._ended_by is None and limits.deadline is not None and now >= limits.deadline:
            self.abort(Reason.TIMEOUT)
        if self._told_at is not None and now - self._told_at >= limits.grace_s:
            kill_group(self.pid, signal.SIGKILL)

    def _reap(self, started: float) -> Exit:
        """Collect the exit status; from then on the process number may be another's."""
        with self._lock:
            _, status, self.used = os.wait4(self.pid, 0)
            self._gone = True
        code = os.waitstatus_to_exitcode(status)
        return Exit(
            status=code if code >= 0 else None,
            signal=-code if code < 0 else None,
            duration_s=time.monotonic() - started,
            ended_by=self._ended_by,
        )

    def close(self) -> None:
        """Give up the descriptor of the process; the process itself is left alone."""
        os.close(self._pidfd)
