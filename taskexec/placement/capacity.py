"""What this machine can give to attempts: usable cores and memory, limits of cgroups and affinity respected."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

from taskexec.domain.resources import Capacity, Gpu

__all__ = ["measure_capacity"]

_MIB = 1024 * 1024
_UNLIMITED = 1 << 60


def measure_capacity(*, slots: int | None = None, cgroup_root: Path = Path("/sys/fs/cgroup")) -> Capacity:
    """Return the capacity of this machine, as far as this process may use it.

    Args:
        slots: Attempts at once; None for one a core.
        cgroup_root: Where control groups are mounted; versions 1 and 2 are read.

    A share of less than one core counts as one: every task asks for a core unless it says otherwise.
    GPUs are found when NVIDIA's driver lists them under /proc; their memory is a matter of placement.
    """
    cpus = min(float(_affinity()), _cgroup_cpus(cgroup_root) or float(_affinity()))
    memory = min(psutil.virtual_memory().total, _cgroup_memory(cgroup_root) or _UNLIMITED)
    return Capacity(cpus=max(cpus, 1.0), memory_mib=memory // _MIB, gpus=_gpus(), slots=slots or max(int(cpus), 1))


def _affinity() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None


def _cgroup_cpus(root: Path) -> float | None:
    quota = _read(root / "cpu.max")
    if quota is not None:
        allowed, _, period = quota.partition(" ")
        return None if allowed == "max" else int(allowed) / int(period)
    allowed, period = _read(root / "cpu/cpu.cfs_quota_us") or "-1", _read(root / "cpu/cpu.cfs_period_us") or "100000"
    return int(allowed) / int(period) if int(allowed) > 0 else None


def _cgroup_memory(root: Path) -> int | None:
    limit = _read(root / "memory.max") or _read(root / "memory/memory.limit_in_bytes")
    if limit is None or limit == "max" or int(limit) >= _UNLIMITED:
        return None
    return int(limit)


def _gpus() -> tuple[Gpu, ...]:
    folder = Path("/proc/driver/nvidia/gpus")
    return tuple(Gpu(str(number)) for number, _ in enumerate(folder.iterdir())) if folder.is_dir() else ()
