"""What an attempt used, and what is to be said when that is far from what it had asked for."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

__all__ = ["HINT_S", "Asked", "Usage", "hints"]

_MIB = 2**20


class Usage(NamedTuple):
    """What the processes of one attempt used, as far as it could be measured."""

    cpu_s: float = 0.0
    """CPU time in seconds, of all cores together."""
    peak_memory_mib: int = 0
    """Most memory at one time in MiB, rounded up; 0: not known. Of a control group it counts cached files as well."""
    read_bytes: int = 0
    """Bytes read from disks."""
    written_bytes: int = 0
    """Bytes written to disks."""
    gpu_memory_mib: int | None = None
    """Most GPU memory at one time in MiB, of all of its GPUs together; None: nobody looked."""
    gpu_s: float | None = None
    """Seconds that its GPUs computed for it, of all of them together; None: nobody could tell."""

    def plus(self, other: Usage) -> Usage:
        """Return the usage of both, one after the other."""
        return Usage(
            self.cpu_s + other.cpu_s,
            max(self.peak_memory_mib, other.peak_memory_mib),
            self.read_bytes + other.read_bytes,
            self.written_bytes + other.written_bytes,
            _either(self.gpu_memory_mib, other.gpu_memory_mib, max),
            _either(self.gpu_s, other.gpu_s, lambda one, two: one + two),
        )

    def to_record(self) -> dict[str, Any]:
        """Return it as records hold it; what is not known, or nothing, is left out (but never the CPU time)."""
        record: dict[str, Any] = {"cpu_s": round(self.cpu_s, 6)}
        if self[1:] == _NOTHING_ELSE:  # that of most attempts
            return record
        if self.peak_memory_mib:
            record["peak_memory_mib"] = self.peak_memory_mib
        if self.read_bytes:
            record["read_mib"] = round(self.read_bytes / _MIB, 3)
        if self.written_bytes:
            record["written_mib"] = round(self.written_bytes / _MIB, 3)
        if self.gpu_memory_mib is not None:
            record["gpu_memory_mib"] = self.gpu_memory_mib
        if self.gpu_s is not None:
            record["gpu_s"] = round(self.gpu_s, 3)
        return record


_NOTHING_ELSE = (0, 0, 0, None, None)


def _either(one: Any, other: Any, both: Any) -> Any:
    if one is None or other is None:
        return other if one is None else one
    return both(one, other)


class Asked(NamedTuple):
    """What an attempt was given, since it had asked for it."""

    cpus: float = 1.0
    """Cores."""
    memory_mib: int = 0
    """MiB of memory; 0: it had asked for none in particular."""
    gpus: int = 0
    """GPUs."""


_SMALL_MIB = 1024
"""Who asks for no more memory than this is not told that it was too much."""
_FAR = 4
"""To ask for so many times what is used is far too much."""
_UNASKED_MIB = 2048
"""Who asks for no memory and uses as much as this is told."""
_OVER, _OVER_CORES = 1.5, 0.5
"""Using so many times the cores asked for, and so many more, is far too much."""
HINT_S = 1.0
"""Of an attempt that took no longer, an average says nothing: only its memory may call for a hint."""
_LONG_S = 10.0
"""Nor that cores or GPUs were idle, of one that took no longer than this."""


def hints(usage: Usage, asked: Asked, duration_s: float) -> list[str]:
    """Return what to tell whoever wrote the task, one line each; nothing when it asked for about what it used.

    Args:
        usage: What was measured.
        asked: What it had asked for.
        duration_s: How long it ran, in seconds.
    """
    return [*_memory_hints(usage, asked), *_cpu_hints(usage, asked, duration_s), *_gpu_hints(usage, asked, duration_s)]


def _memory_hints(usage: Usage, asked: Asked) -> list[str]:
    peak = usage.peak_memory_mib
    if peak and asked.memory_mib > _SMALL_MIB and peak * _FAR < asked.memory_mib:
        return [f"asked for {asked.memory_mib:,} MiB of memory and used {peak:,}"]
    if not asked.memory_mib and peak >= _UNASKED_MIB:
        return [f"used {peak:,} MiB of memory and asked for none"]
    return []


def _cpu_hints(usage: Usage, asked: Asked, duration_s: float) -> list[str]:
    if duration_s <= HINT_S:
        return []
    cores = usage.cpu_s / duration_s
    if cores > asked.cpus * _OVER and cores > asked.cpus + _OVER_CORES:
        return [f"used {cores:.1f} cores on average and asked for {asked.cpus:g}"]
    if duration_s > _LONG_S and asked.cpus > 1 and cores * _FAR < asked.cpus:
        shown = math.ceil(cores * 10) / 10
        return [f"asked for {asked.cpus:g} cores and used {shown:.1f} on average"]
    return []


def _gpu_hints(usage: Usage, asked: Asked, duration_s: float) -> list[str]:
    if asked.gpus and usage.gpu_memory_mib == 0 and not usage.gpu_s and duration_s > _LONG_S:
        return [f"asked for {asked.gpus} GPU{'s' if asked.gpus > 1 else ''} and used none"]
    return []
