"""What control groups allow this process: the tightest limits of its own group and of all groups around it.

Both versions are read, also side by side: version 2 has one tree for all, version 1 one for each controller. A group
is found by its path in `/proc/self/cgroup`, relative to what is mounted (`/proc/self/mountinfo`): in a container the
mount may show a part of the tree only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeVar

__all__ = ["Limits", "read_limits"]

_UNLIMITED_BYTES = 1 << 60
"""Version 1 has a number for `no limit`: about 2**63, rounded down to pages."""
_Limit = TypeVar("_Limit", int, float)
_VERSION_2 = ""
"""What stands for the controllers in the line of the tree of version 2."""


class Limits(NamedTuple):
    """What the groups of a process leave it."""

    cpus: float | None = None
    """Cores, as a share of time; None without a limit."""
    memory_bytes: int | None = None
    """None without a limit."""


class _Mount(NamedTuple):
    """A mounted tree of groups."""

    root: PurePosixPath
    """The group that is seen at `folder`."""
    folder: Path


def read_limits(proc: Path = Path("/proc/self")) -> Limits:
    """Return the limits that hold for a process, given its folder in /proc; what cannot be read limits nothing."""
    groups = _groups(_read(proc / "cgroup") or "")
    mounts = dict(_mounts(_read(proc / "mountinfo") or ""))

    def folders(controller: str) -> list[Path]:
        mount, group = mounts.get(controller), groups.get(controller)
        return [] if mount is None or group is None else list(_around(mount, group))

    unified = folders(_VERSION_2)
    cpus = [*_each(unified, _cpus_2), *_each(folders("cpu"), _cpus_1)]
    memory = [*_each(unified, _memory_2), *_each(folders("memory"), _memory_1)]
    return Limits(min(cpus, default=None), min(memory, default=None))


def _groups(text: str) -> dict[str, PurePosixPath]:
    """Return the group of each controller, from lines such as `4:memory:/a/b` and `0::/a/b`."""
    found: dict[str, PurePosixPath] = {}
    for line in text.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        found |= dict.fromkeys(controllers.split(","), PurePosixPath(path))
    return found


def _mounts(text: str) -> Iterator[tuple[str, _Mount]]:
    """Yield the mounted trees by controller, from lines such as `35 31 0:32 / /mnt rw - cgroup cgroup rw,memory`."""
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(" "), after.split(" ")
        if len(fields) < 5 or len(kind) < 3 or kind[0] not in ("cgroup", "cgroup2"):
            continue
        mount = _Mount(PurePosixPath(_unescape(fields[3])), Path(_unescape(fields[4])))
        for controller in [_VERSION_2] if kind[0] == "cgroup2" else kind[2].split(","):
            yield controller, mount


def _unescape(path: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), path)


def _around(mount: _Mount, group: PurePosixPath) -> Iterator[Path]:
    """Yield the folder of a group and those of all groups around it; what the mount does not show is left out."""
    inside = group.relative_to(mount.root) if group.is_relative_to(mount.root) else PurePosixPath()
    if ".." in inside.parts:  # the group is outside of its namespace
        inside = PurePosixPath()
    yield mount.folder / inside
    yield from (mount.folder / parent for parent in inside.parents)


def _each(folders: Iterable[Path], limits: Callable[[Path], Iterator[_Limit]]) -> Iterator[_Limit]:
    for folder in folders:
        yield from limits(folder)


def _cpus_2(folder: Path) -> Iterator[float]:
    quota, _, period = (_read(folder / "cpu.max") or "").partition(" ")
    yield from _share(quota, period)


def _cpus_1(folder: Path) -> Iterator[float]:
    yield from _share(_read(folder / "cpu.cfs_quota_us") or "", _read(folder / "cpu.cfs_period_us") or "")


def _share(quota: str, period: str) -> Iterator[float]:
    if _is_number(quota) and _is_number(period) and int(quota) > 0 and int(period) > 0:
        yield int(quota) / int(period)


def _memory_2(folder: Path) -> Iterator[int]:
    for name in ("memory.max", "memory.high"):  # above the second one everything in the group is slowed down
        yield from _bytes(_read(folder / name))


def _memory_1(folder: Path) -> Iterator[int]:
    yield from _bytes(_read(folder / "memory.limit_in_bytes"))
    # the least of all groups around, also of those that a namespace hides
    yield from _bytes(_field(_read(folder / "memory.stat") or "", "hierarchical_memory_limit"))


def _bytes(text: str | None) -> Iterator[int]:
    if text is not None and _is_number(text) and 0 < int(text) < _UNLIMITED_BYTES:
        yield int(text)


def _field(text: str, name: str) -> str | None:
    values = (line.partition(" ")[2] for line in text.splitlines() if line.startswith(f"{name} "))
    return next(values, None)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None
