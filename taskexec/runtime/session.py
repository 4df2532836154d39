"""The processes of an attempt as /proc shows them: who belongs to it, and how much memory they hold together."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from pathlib import Path
from typing import NamedTuple

__all__ = ["SessionMemory", "count_processes"]

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
_FIELDS = (1, 3, 11, 12, 19, 21)
"""Behind the name in proc_pid_stat(5): ppid, session, utime, stime, starttime, rss."""
_PSS = re.compile(rb"^Pss:\s+(\d+) kB", re.MULTILINE)


class _Process(NamedTuple):
    pid: int
    parent: int
    session: int
    started: int
    resident_bytes: int
    cpu_ticks: int


class SessionMemory:
    """The memory of a session and of whoever has left it: what began in it belongs to it for good."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._known: dict[int, int] = {}
        """When the processes that were seen were started, by process id."""
        self._cpu_ticks: dict[tuple[int, int], int] = {}

    @property
    def cpu_s(self) -> float:
        """CPU time in seconds of all that were seen, when they were last seen."""
        return sum(self._cpu_ticks.values()) / _TICKS

    def pids(self) -> set[int]:
        """Return the processes that the last look saw."""
        return set(self._known)

    def measure(self, leader: int) -> int:
        """Return the bytes of memory that are resident, as a sum over the processes.

        What processes share counts for each of them: `measure_exactly` tells what is really held.
        """
        members = self._members(leader)
        self._known = {process.pid: process.started for process in members}
        self._cpu_ticks |= {(process.pid, process.started): process.cpu_ticks for process in members}
        return sum(process.resident_bytes for process in members)

    def _members(self, leader: int) -> list[_Process]:
        """Return the session, those seen before, and their descendants."""
        rest = self._processes()
        members: dict[int, _Process] = {}
        for process in rest:
            if process.session == leader or self._known.get(process.pid) == process.started:
                members[process.pid] = process
        while True:
            further = [process for process in rest if process.parent in members and process.pid not in members]
            if not further:
                return list(members.values())
            members |= {process.pid: process for process in further}

    def _processes(self) -> list[_Process]:
        found = []
        with os.scandir(self._proc) as entries:
            names = [entry.name for entry in entries if entry.name.isdigit()]
        for name in names:
            with contextlib.suppress(OSError, IndexError, ValueError):
                with open(f"{self._proc}/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()  # the name before may hold anything
                parent, session, user, system, started, pages = (int(fields[index]) for index in _FIELDS)
                found.append(_Process(int(name), parent, session, started, pages * _PAGE_BYTES, user + system))
        return found

    def measure_exactly(self) -> int:
        """Return the bytes that those of the last look hold, where what is shared counts once; takes longer."""
        total = 0
        for pid in self._known:
            with contextlib.suppress(OSError):
                found = _PSS.search((self._proc / str(pid) / "smaps_rollup").read_bytes())
                total += int(found[1]) * 1024 if found else 0
        return total

    def kill(self) -> None:
        """Kill those that the last look saw."""
        for pid, started in self._known.items():
            with contextlib.suppress(OSError, IndexError, ValueError):
                fields = (self._proc / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
                if int(fields[19]) == started:
                    os.kill(pid, signal.SIGKILL)


def count_processes(user: int, proc: Path = Path("/proc")) -> int:
    """Return how many processes and threads a user has: what a limit of processes is compared with."""
    count = 0
    for name in os.listdir(proc):
        if name.isdigit():
            with contextlib.suppress(OSError):
                if os.stat(f"{proc}/{name}").st_uid == user:
                    count += len(os.listdir(f"{proc}/{name}/task"))
    return count
