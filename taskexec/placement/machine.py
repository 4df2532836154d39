"""What this machine has for attempts: cores, memory and disk as far as this process may use them, and GPUs."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from taskexec.placement.cgroups import Limits, read_limits
from taskexec.placement.gpus import FoundGpu, GpuFindings

__all__ = ["Machine", "measure_machine"]

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Machine:
    """What was measured, with nothing taken off."""

    cpus: float
    """Cores that this process may use: affinity and control groups respected; may be below 1."""
    memory_mib: int
    """Memory that this process may use."""
    disk_mib: int = 0
    """Free where attempts work."""
    gpus: tuple[FoundGpu, ...] = ()
    driver: str = ""
    """Version of NVIDIA's driver; empty without one."""
    notes: tuple[str, ...] = ()
    """What is worth telling about how it was measured."""

    def part(self, position: int, count: int) -> Machine:
        """Return what the worker at a position has of it, where `count` workers share it; GPUs go round."""
        return replace(
            self,
            cpus=self.cpus / count,
            memory_mib=self.memory_mib // count,
            disk_mib=self.disk_mib // count,
            gpus=self.gpus[position::count],
        )


def measure_machine(
    *, limits: Limits | None = None, scratch: Path | None = None, gpus: GpuFindings | None = None
) -> Machine:
    """Measure this machine.

    Args:
        limits: Those of control groups; None reads them.
        scratch: Folder in which attempts work; None is the one for temporary files.
        gpus: What was found of GPUs; None looks for none.
    """
    limits = read_limits() if limits is None else limits
    found = GpuFindings() if gpus is None else gpus
    cores, memory = float(_affinity()), psutil.virtual_memory().total
    return Machine(
        cpus=cores if limits.cpus is None else min(cores, limits.cpus),
        memory_mib=(memory if limits.memory_bytes is None else min(memory, limits.memory_bytes)) // _MIB,
        disk_mib=_free_disk_mib(Path(tempfile.gettempdir()) if scratch is None else scratch),
        gpus=found.gpus,
        driver=found.driver,
        notes=found.notes,
    )


def _affinity() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _free_disk_mib(folder: Path) -> int:
    try:
        return shutil.disk_usage(folder).free // _MIB
    except OSError:
        return 0
