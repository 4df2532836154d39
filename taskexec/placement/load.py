"""How busy a worker's machine is: processors, memory, disk and GPUs, asked at every heartbeat without waiting."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from taskexec.placement.nvml import Nvml, NvmlAbsent, open_nvml

__all__ = ["LoadProbe"]

_MIB = 1024 * 1024
_SHORTEST_S = 0.5
"""Heartbeats that follow each other faster than this get the same answer: the share of a moment says nothing."""


class LoadProbe:
    """Measures load since its last answer; what cannot be measured is left out, nothing is ever raised."""

    def __init__(
        self,
        scratch: Path,
        devices: Sequence[str] = (),
        *,
        open_library: Callable[[], Nvml] = open_nvml,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to measure.

        Args:
            scratch: Folder in which attempts work.
            devices: UUIDs of the GPUs that the worker offers; without any, NVML is not loaded.
            open_library: Opens NVML, at the first answer.
            clock: Monotonic seconds.
        """
        self._scratch = scratch
        self._devices = devices
        self._open_library = open_library
        self._nvml: Nvml | None = None
        self._clock = clock
        self._answered_at: float | None = None
        self._answer: dict[str, Any] = {}
        psutil.cpu_percent()  # the first call begins the first interval

    def __call__(self) -> dict[str, Any]:
        """Return the load, as registrations hold it.

        `cpu_percent` is that of all cores together, 0 to 100, since the last answer; `gpus` is a list with the
        devices that answered, each with `uuid` and, where they are known, `busy_percent`, `memory_used_mib` and
        `memory_total_mib`.
        """
        now = self._clock()
        if self._answered_at is None or now - self._answered_at >= _SHORTEST_S:
            self._answered_at = now
            self._answer = self._measure()
        return self._answer

    def _measure(self) -> dict[str, Any]:
        load: dict[str, Any] = {}
        with contextlib.suppress(psutil.Error, OSError):
            load["cpu_percent"] = psutil.cpu_percent()
        with contextlib.suppress(OSError):
            load["load1"] = round(os.getloadavg()[0], 2)
        with contextlib.suppress(psutil.Error, OSError):
            memory = psutil.virtual_memory()
            load["memory_used_mib"] = (memory.total - memory.available) // _MIB
            load["memory_available_mib"] = memory.available // _MIB
        with contextlib.suppress(OSError):
            load["disk_free_mib"] = shutil.disk_usage(self._scratch).free // _MIB
        gpus = [*self._gpus()]
        return load | {"gpus": gpus} if gpus else load

    def _gpus(self) -> Iterator[dict[str, Any]]:
        if not self._devices:
            return
        if self._nvml is None:
            try:
                self._nvml = self._open_library()
            except NvmlAbsent:
                self._devices = ()
                return
        for uuid in self._devices:
            device = self._nvml.find(uuid)
            if device is not None:
                yield {"uuid": uuid} | _load_of(self._nvml, device)


def _load_of(nvml: Nvml, device: Any) -> dict[str, int]:
    load = {}
    busy, memory = nvml.busy_percent(device), nvml.memory_bytes(device)
    if busy is not None:
        load["busy_percent"] = busy
    if memory is not None:
        load["memory_used_mib"], load["memory_total_mib"] = memory[1] // _MIB, memory[0] // _MIB
    return load
