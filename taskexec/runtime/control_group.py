"""Control groups: one for each attempt that was given something, below the worker's own; version 2 and version 1.

Version 2 lets a group with processes of its own have none below it that limit anything. A worker whose group holds
nobody but itself and its relatives therefore moves them all into a group `tek-main` beside those of the attempts;
where somebody else lives in the group, nothing is moved, and no groups are made.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

__all__ = ["ControlGroup", "ControlGroups", "GroupLimits", "GroupUsage", "find_groups", "remove_groups"]

_ROOT = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")
_MAIN = "tek-main"
_NAME = re.compile(r"tek\.(?P<worker>.+)\.(?P<pid>\d+)-\d+")
"""Folder of an attempt's group: its worker, the pool child that made it, a number."""
_MIB = 2**20
_VERSION_1 = ("memory", "cpu", "cpuacct", "pids", "blkio")
_VERSION_2 = ("memory", "cpu", "pids", "io")
_ROUNDS = 50
"""So often it is tried to kill what is in a group, or to remove it."""


class GroupLimits(NamedTuple):
    """What the processes of a group may use together."""

    memory_mib: int = 0
    """MiB of memory; 0 is no limit."""
    cpus: int = 0
    """Share of the cores, in thousandths of one; 0 leaves it at what every group has."""
    processes: int = 0
    """Processes and threads; 0 is no limit."""


class GroupUsage(NamedTuple):
    """What the processes of a group have used so far; what is gone counts as well."""

    cpu_s: float
    peak_bytes: int
    read_bytes: int
    written_bytes: int


class _Version(Protocol):
    """How one version of control groups says things; all paths are by controller."""

    def limits(self, limits: GroupLimits) -> list[tuple[str, str, str]]:
        """Return controller, file and text of what is written into a new group."""

    def oom_file(self) -> str:
        """Return the file that counts processes killed for memory."""

    def usage(self, read: Callable[[str, str], str]) -> GroupUsage:
        """Return the usage, from what `read(controller, file)` says."""


class _Version1:
    def limits(self, limits: GroupLimits) -> list[tuple[str, str, str]]:
        told = []
        if limits.memory_mib:
            size = str(limits.memory_mib * _MIB)
            told += [("memory", "memory.limit_in_bytes", size), ("memory", "memory.memsw.limit_in_bytes", size)]
        if limits.cpus:
            told.append(("cpu", "cpu.shares", str(min(max(limits.cpus * 1024 // 1000, 2), 262_144))))
        if limits.processes:
            told.append(("pids", "pids.max", str(limits.processes)))
        return told

    def oom_file(self) -> str:
        return "memory.oom_control"

    def usage(self, read: Callable[[str, str], str]) -> GroupUsage:
        moved = {"Read": 0, "Write": 0}
        for line in read("blkio", "blkio.throttle.io_service_bytes").splitlines():
            match line.split():
                case [_, ("Read" | "Write") as way, count]:
                    moved[way] += int(count)
        return GroupUsage(
            int(read("cpuacct", "cpuacct.usage") or 0) / 1e9,
            int(read("memory", "memory.max_usage_in_bytes") or 0),
            moved["Read"],
            moved["Write"],
        )


class _Version2:
    def limits(self, limits: GroupLimits) -> list[tuple[str, str, str]]:
        told = []
        if limits.memory_mib:
            told += [
                ("memory", "memory.max", str(limits.memory_mib * _MIB)),
                ("memory", "memory.swap.max", "0"),
                ("memory", "memory.oom.group", "1"),
            ]
        if limits.cpus:
            told.append(("cpu", "cpu.weight", str(min(max(limits.cpus // 10, 1), 10_000))))
        if limits.processes:
            told.append(("pids", "pids.max", str(limits.processes)))
        return told

    def oom_file(self) -> str:
        return "memory.events"

    def usage(self, read: Callable[[str, str], str]) -> GroupUsage:
        counted = re.search(r"^usage_usec (\d+)", read("cpu", "cpu.stat"), re.MULTILINE)
        moved = read("io", "io.stat")
        return GroupUsage(
            int(counted[1]) / 1e6 if counted else 0.0,
            int(read("memory", "memory.peak") or 0),
            sum(map(int, re.findall(r"\brbytes=(\d+)", moved))),
            sum(map(int, re.findall(r"\bwbytes=(\d+)", moved))),
        )


class ControlGroup:
    """The group of one attempt: a folder, or with version 1 one for each controller."""

    def __init__(self, version: _Version, folders: Mapping[str, Path], limits: GroupLimits) -> None:
        """Take folders that have just been made, and write the limits.

        Raises:
            OSError: A limit that was asked for cannot be set.
        """
        self._version = version
        self._folders = folders
        self.limits = limits
        for controller, file, text in version.limits(limits):
            self._write(controller, file, text)

    def _write(self, controller: str, file: str, text: str) -> None:
        folder = self._folders.get(controller)
        if folder is None:
            return
        try:
            (folder / file).write_text(text)
        except OSError:
            if file not in _OPTIONAL:
                raise

    @property
    def entries(self) -> list[str]:
        """Paths of the files in which a process enters it, by writing 0."""
        return [f"{folder}/cgroup.procs" for folder in dict.fromkeys(self._folders.values())]

    def pids(self) -> set[int]:
        """Return the processes in it."""
        found: set[int] = set()
        for entry in self.entries:
            with contextlib.suppress(OSError):
                found.update(map(int, Path(entry).read_text().split()))
        return found

    def oom_kills(self) -> int:
        """Return how many of its processes the system has killed because they used more memory than it allows."""
        found = re.search(r"^oom_kill (\d+)", self._read("memory", self._version.oom_file()), re.MULTILINE)
        return int(found[1]) if found else 0

    def usage(self) -> GroupUsage:
        """Return what its processes have used; nothing for what cannot be told here."""
        return self._version.usage(self._read)

    def _read(self, controller: str, file: str) -> str:
        folder = self._folders.get(controller)
        if folder is None:
            return ""
        try:
            return (folder / file).read_text()
        except OSError:  # a kernel that does not have it yet
            return ""

    def kill(self) -> None:
        """Kill everything in it, whatever session it is in."""
        for folder in set(self._folders.values()):
            with contextlib.suppress(OSError):
                _rewrite(folder / "cgroup.kill", "1")
                return
        with contextlib.suppress(OSError):
            self._write("pids", "pids.max", "0")  # nothing new comes while it is killed
        for _ in range(_ROUNDS):
            pids = self.pids()
            if not pids:
                return
            for pid in pids:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.001)  # version 1 does not tell when a group is empty

    def remove(self) -> bool:
        """Kill what is left in it and remove it; return whether it is gone (else a later sweep takes it)."""
        left = [folder for folder in dict.fromkeys(self._folders.values()) if not _remove(folder, 1)]
        if left:
            self.kill()
            left = [folder for folder in left if not _remove(folder, _ROUNDS)]
        return not left


_OPTIONAL = frozenset({"memory.memsw.limit_in_bytes", "memory.swap.max", "memory.oom.group"})
"""What kernels without swap accounting, and older ones, do not have."""


def _rewrite(path: Path, text: str) -> None:
    """Write to a file that must exist, and that may be there for writing only."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _remove(folder: Path, rounds: int) -> bool:
    for last in range(rounds - 1, -1, -1):
        try:
            os.rmdir(folder)
            return True
        except FileNotFoundError:
            return True
        except OSError as error:
            if error.errno != errno.EBUSY:
                return False
            if last:
                time.sleep(0.002)  # what was killed takes a moment to leave
    return False


@dataclass(frozen=True, slots=True)
class ControlGroups:
    """Where groups of attempts are made."""

    version: int
    """1 or 2."""
    folders: Mapping[str, Path]
    """Folder of the worker's own group, by controller."""

    def has(self, controller: str) -> bool:
        """Return whether a controller can be used."""
        return controller in self.folders

    def make(self, worker: str, number: int, limits: GroupLimits) -> ControlGroup:
        """Make the group of an attempt; its name carries the worker and this process.

        Raises:
            OSError: It cannot be made; nothing is left of it.
        """
        name = f"tek.{worker}.{os.getpid()}-{number}"
        folders = {controller: base / name for controller, base in self.folders.items()}
        made: list[Path] = []
        try:
            for folder in dict.fromkeys(folders.values()):
                folder.mkdir()
                made.append(folder)
            return ControlGroup(_version(self.version), folders, limits)
        except BaseException:
            for folder in made:
                _remove(folder, 1)
            raise

    def sweep(self, is_left: Callable[[str, int], bool]) -> int:
        """Kill what is in groups that were left behind, and remove them.

        Args:
            is_left: Tells of a worker's name and the process id of its pool child whether nobody owns the group.

        Returns:
            How many were removed.
        """
        left: dict[str, dict[str, Path]] = {}
        for controller, base in self.folders.items():
            with contextlib.suppress(OSError), os.scandir(base) as entries:
                for entry in entries:
                    found = _NAME.fullmatch(entry.name)
                    if found and is_left(found["worker"], int(found["pid"])):
                        left.setdefault(entry.name, {})[controller] = base / entry.name
        return sum(ControlGroup(_version(self.version), folders, GroupLimits()).remove() for folders in left.values())


def _version(number: int) -> _Version:
    return _Version2() if number == 2 else _Version1()


def find_groups(
    *,
    root: Path = _ROOT,
    membership: Path = _MEMBERSHIP,
    relatives: Callable[[], Collection[int]] | None = None,
) -> ControlGroups | None:
    """Return where this process may make groups that limit memory; None where it may not.

    Args:
        root: Where control groups are mounted.
        membership: File that says which groups this process is in.
        relatives: Gives the processes that may be moved into a group of their own, if version 2 needs that; None
            moves nothing: then a group that has not been prepared is not used.
    """
    try:
        lines = [line.split(":", 2) for line in membership.read_text().splitlines()]
    except OSError:
        return None
    own = {name: path for _, names, path in lines for name in names.split(",")}
    if (root / "cgroup.controllers").is_file():
        return _find_version_2(_own_folder(root, own.get("", "/")), relatives)
    return _find_version_1(root, own)


def _own_folder(mount: Path, path: str) -> Path:
    """Return the folder of a group; in a container the mount itself may be it, whatever its path outside."""
    folder = mount / path.strip("/")
    return folder if folder.is_dir() else mount


def _find_version_1(root: Path, own: Mapping[str, str]) -> ControlGroups | None:
    folders = {}
    for controller in _VERSION_1:
        if controller in own and (root / controller).is_dir():
            folder = _own_folder((root / controller).resolve(), own[controller])
            if _can_make(folder):
                folders[controller] = folder
    return ControlGroups(1, folders) if "memory" in folders else None


def _find_version_2(base: Path, relatives: Callable[[], Collection[int]] | None) -> ControlGroups | None:
    base = base.parent if base.name == _MAIN else base
    try:
        there = (base / "cgroup.controllers").read_text().split()
        wanted = [controller for controller in _VERSION_2 if controller in there]
        if "memory" not in wanted or not _can_make(base):
            return None
        control = base / "cgroup.subtree_control"
        missing = [controller for controller in wanted if controller not in control.read_text().split()]
        if missing and (relatives is None or not _make_room(base, relatives)):
            return None
        if missing:
            _enable(control, missing)
        enabled = control.read_text().replace("+", " ").split()
    except OSError:
        return None
    folders = {controller: base for controller in wanted if controller in enabled}
    return ControlGroups(2, folders) if "memory" in folders else None


def _enable(control: Path, controllers: list[str]) -> None:
    """Let groups below use controllers: all at once, else those that the kernel lets us have."""
    try:
        control.write_text(" ".join(f"+{controller}" for controller in controllers))
    except OSError:
        for controller in controllers:
            with contextlib.suppress(OSError):
                control.write_text(f"+{controller}")


def _can_make(base: Path) -> bool:
    probe = base / f"tek-probe-{os.getpid()}"
    try:
        probe.mkdir()
        probe.rmdir()
    except FileExistsError:
        return True
    except OSError:
        return False
    return True


def _make_room(base: Path, relatives: Callable[[], Collection[int]]) -> bool:
    """Move this worker and its relatives into a group of their own; return whether nobody is left in `base`."""
    if not (base / "cgroup.type").exists():  # the root of all, which may have both processes and groups
        return True
    for _ in range(_ROUNDS):
        members = {int(pid) for pid in (base / "cgroup.procs").read_text().split()}
        if not members:
            return True
        if members - set(relatives()):
            return False
        (base / _MAIN).mkdir(exist_ok=True)
        for pid in members:
            with contextlib.suppress(ProcessLookupError):
                (base / _MAIN / "cgroup.procs").write_text(str(pid))
    return False


def remove_groups(is_left: Callable[[str, int], bool]) -> int:
    """Remove the groups beside this process's own that nobody owns any more; return how many."""
    groups = find_groups()
    return 0 if groups is None else groups.sweep(is_left)
