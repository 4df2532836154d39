"""How much of its GPUs an attempt uses, as NVIDIA's library (NVML) tells it of processes."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Collection, Sequence
from typing import Any

__all__ = ["GpuMeter", "open_meter"]

_MIB = 2**20


def open_meter(gpus: Sequence[str], *, is_shared: bool) -> GpuMeter | None:
    """Return a meter of these GPUs, by UUID; None without the library, or when it does not know one of them."""
    try:
        nvml = importlib.import_module("pynvml")
        nvml.nvmlInit()
        return GpuMeter(nvml, gpus, is_shared=is_shared)
    except Exception:  # measuring must not keep an attempt from running, whatever the driver says
        return None


class GpuMeter:
    """Samples the GPUs of one attempt."""

    def __init__(self, nvml: Any, gpus: Sequence[str], *, is_shared: bool) -> None:
        """Prepare to sample; with `is_shared`, only processes known to be the attempt's count, else all there are.

        Process ids of a container are not those that the driver knows: then only a GPU of its own can be measured.
        """
        self._nvml = nvml
        self._handles = [nvml.nvmlDeviceGetHandleByUUID(gpu) for gpu in gpus]
        self._is_shared = is_shared
        self._seen_us = [0] * len(gpus)
        self.peak_memory_mib: int | None = None
        """Most memory at one time, on all of them together; None until it was told."""
        self.busy_s: float | None = None
        """Seconds that they computed, all together; None until it was told."""

    def sample(self, pids: Collection[int], since_s: float) -> None:
        """Look once.

        Args:
            pids: The attempt's processes.
            since_s: Seconds since the look before.
        """
        memory = [self._memory_bytes(handle, pids) for handle in self._handles]
        told = [size for size in memory if size is not None]
        if told:
            self.peak_memory_mib = max(self.peak_memory_mib or 0, -(-sum(told) // _MIB))
        for position, handle in enumerate(self._handles):
            busy = self._busy_ratio(position, handle, pids)
            if busy is not None:
                self.busy_s = (self.busy_s or 0.0) + busy * since_s

    def close(self) -> None:
        """Give the library back."""
        with contextlib.suppress(self._nvml.NVMLError):
            self._nvml.nvmlShutdown()

    def _counts(self, pid: int, pids: Collection[int]) -> bool:
        return not self._is_shared or pid in pids

    def _memory_bytes(self, handle: Any, pids: Collection[int]) -> int | None:
        try:
            found = self._nvml.nvmlDeviceGetComputeRunningProcesses(handle)
        except self._nvml.NVMLError:
            return None
        return sum(process.usedGpuMemory or 0 for process in found if self._counts(process.pid, pids))

    def _busy_ratio(self, position: int, handle: Any, pids: Collection[int]) -> float | None:
        """Return which part of the time since the last look a GPU computed for it."""
        try:
            found = self._nvml.nvmlDeviceGetProcessUtilization(handle, self._seen_us[position])
        except self._nvml.NVMLError as error:  # it says "not found" when nobody has computed
            missing = getattr(self._nvml, "NVML_ERROR_NOT_FOUND", None)
            return 0.0 if missing is not None and getattr(error, "value", None) == missing else None
        is_first = self._seen_us[position] == 0
        self._seen_us[position] = max([self._seen_us[position], *(sample.timeStamp for sample in found)])
        if is_first:
            return 0.0  # what came before this attempt
        by_pid: dict[int, list[int]] = {}
        for sample in found:
            if self._counts(sample.pid, pids):
                by_pid.setdefault(sample.pid, []).append(sample.smUtil)
        return min(sum(sum(values) / len(values) for values in by_pid.values()) / 100, 1.0)
