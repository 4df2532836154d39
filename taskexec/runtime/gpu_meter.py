"""How much of its GPUs an attempt uses, as NVIDIA's library (NVML) tells it of processes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from taskexec.placement.nvml import Nvml, open_nvml

__all__ = ["GpuMeter", "open_meter"]

_MIB = 2**20


def open_meter(
    gpus: Sequence[str], *, is_shared: bool, open_library: Callable[[], Nvml] = open_nvml
) -> GpuMeter | None:
    """Return a meter of these GPUs, by UUID; None without the library, or when it does not know one of them."""
    try:
        nvml = open_library()
        devices = [nvml.find(gpu) for gpu in gpus]
    except Exception:  # measuring must not keep an attempt from running, whatever the driver says
        return None
    if any(device is None for device in devices):
        nvml.close()
        return None
    return GpuMeter(nvml, devices, is_shared=is_shared)


class GpuMeter:
    """Samples the GPUs of one attempt."""

    def __init__(self, nvml: Nvml, devices: Sequence[Any], *, is_shared: bool) -> None:
        """Prepare to sample; with `is_shared`, only processes known to be the attempt's count, else all there are.

        Process ids of a container are not those that the driver knows: then only a GPU of its own can be measured.
        """
        self._nvml = nvml
        self._devices = devices
        self._is_shared = is_shared
        self._seen_us = [0] * len(devices)
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
        memory = [self._memory_bytes(device, pids) for device in self._devices]
        told = [size for size in memory if size is not None]
        if told:
            self.peak_memory_mib = max(self.peak_memory_mib or 0, -(-sum(told) // _MIB))
        for position, device in enumerate(self._devices):
            busy = self._busy_ratio(position, device, pids)
            if busy is not None:
                self.busy_s = (self.busy_s or 0.0) + busy * since_s

    def close(self) -> None:
        """Give the library back."""
        self._nvml.close()

    def _counts(self, pid: int, pids: Collection[int]) -> bool:
        return not self._is_shared or pid in pids

    def _memory_bytes(self, device: Any, pids: Collection[int]) -> int | None:
        found = self._nvml.process_memory_bytes(device)
        return None if found is None else sum(size for pid, size in found if self._counts(pid, pids))

    def _busy_ratio(self, position: int, device: Any, pids: Collection[int]) -> float | None:
        """Return which part of the time since the last look a GPU computed for it."""
        found = self._nvml.process_samples(device, self._seen_us[position])
        if found is None:
            return None
        is_first = self._seen_us[position] == 0
        self._seen_us[position] = max([self._seen_us[position], *(sample.at_us for sample in found)])
        if is_first:
            return 0.0  # what came before this attempt
        by_pid: dict[int, list[int]] = {}
        for sample in found:
            if self._counts(sample.pid, pids):
                by_pid.setdefault(sample.pid, []).append(sample.busy_percent)
        return min(sum(sum(values) / len(values) for values in by_pid.values()) / 100, 1.0)
