"""A module `pynvml` without GPUs: devices are plain values, and each call may be made to fail for some of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

GIB = 1024**3


class NVMLError(Exception):
    """What every call raises; `value` is one of the codes."""

    def __init__(self, value: int) -> None:
        super().__init__(f"code {value}")
        self.value = value


@dataclass
class FakeDevice:
    """A GPU, or a slice of one."""

    uuid: str
    name: str | bytes = "Fake H100"
    memory_bytes: int = 80 * GIB
    used_bytes: int = GIB
    busy_percent: int = 50
    slices: list[FakeDevice | None] | None = None
    """Slices of a GPU in MIG mode, None where a place is empty; None: it has no such mode."""
    broken: set[str] = field(default_factory=set)
    """Names of calls that fail for it."""


class FakeNvml:
    """What `importlib.import_module("pynvml")` would return."""

    NVMLError = NVMLError
    NVML_ERROR_NOT_SUPPORTED = 3
    NVML_ERROR_NOT_FOUND = 6
    NVML_ERROR_DRIVER_NOT_LOADED = 9
    NVML_ERROR_LIBRARY_NOT_FOUND = 12
    NVML_ERROR_GPU_IS_LOST = 15
    NVML_ERROR_LIB_RM_VERSION_MISMATCH = 18

    def __init__(self, *devices: FakeDevice, init_code: int = 0, broken: Sequence[str] = ()) -> None:
        """Make a module with these GPUs.

        Args:
            devices: In the order of the bus.
            init_code: What `nvmlInit` fails with; 0: it does not.
            broken: Names of calls that fail for all.
        """
        self.devices = devices
        self.init_code = init_code
        self.broken = broken
        self.opened = 0

    def nvmlInit(self) -> None:
        if self.init_code:
            raise NVMLError(self.init_code)
        self.opened += 1

    def nvmlShutdown(self) -> None:
        self.opened -= 1

    def nvmlSystemGetDriverVersion(self) -> str:
        self._check("nvmlSystemGetDriverVersion")
        return "570.1"

    def nvmlDeviceGetCount(self) -> int:
        self._check("nvmlDeviceGetCount")
        return len(self.devices)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> FakeDevice:
        self._check("nvmlDeviceGetHandleByIndex", self.devices[index])
        return self.devices[index]

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> FakeDevice:
        parts = [part for device in self.devices for part in [device, *(device.slices or ())] if part]
        for part in parts:
            if part.uuid == uuid:
                return part
        raise NVMLError(self.NVML_ERROR_NOT_FOUND)

    def nvmlDeviceGetMigMode(self, device: FakeDevice) -> list[int]:
        if device.slices is None:
            raise NVMLError(self.NVML_ERROR_NOT_SUPPORTED)
        return [1, 1]

    def nvmlDeviceGetMaxMigDeviceCount(self, device: FakeDevice) -> int:
        return len(device.slices or ())

    def nvmlDeviceGetMigDeviceHandleByIndex(self, device: FakeDevice, index: int) -> FakeDevice:
        part = (device.slices or [])[index]
        if part is None:
            raise NVMLError(self.NVML_ERROR_NOT_FOUND)
        return part

    def nvmlDeviceGetUUID(self, device: FakeDevice) -> str:
        self._check("nvmlDeviceGetUUID", device)
        return device.uuid

    def nvmlDeviceGetName(self, device: FakeDevice) -> str | bytes:
        self._check("nvmlDeviceGetName", device)
        return device.name

    def nvmlDeviceGetMemoryInfo(self, device: FakeDevice) -> Any:
        self._check("nvmlDeviceGetMemoryInfo", device)
        return SimpleNamespace(total=device.memory_bytes, used=device.used_bytes)

    def nvmlDeviceGetUtilizationRates(self, device: FakeDevice) -> Any:
        self._check("nvmlDeviceGetUtilizationRates", device)
        return SimpleNamespace(gpu=device.busy_percent)

    def _check(self, call: str, device: FakeDevice | None = None) -> None:
        if call in self.broken or (device is not None and call in device.broken):
            raise NVMLError(self.NVML_ERROR_GPU_IS_LOST)
