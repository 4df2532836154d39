"""NVIDIA's management library, opened only where GPUs are asked for; what one call cannot tell is left out."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["Nvml", "NvmlAbsent", "ProcessSample", "open_nvml"]


class NvmlAbsent(Exception):
    """The library cannot be used here; its text says why. Not an error of the user's: a worker goes on without."""


class ProcessSample(NamedTuple):
    """How much one process computed on a device for a moment."""

    pid: int
    at_us: int
    """End of the moment, by the driver's clock."""
    busy_percent: int


class Nvml:
    """The library, ready; `close` gives it back.

    Devices are the library's handles; each question answers None when the device does not know, is lost, or must not
    be asked.
    """

    def __init__(self, module: Any) -> None:
        """Take over a module `pynvml` that was initialised."""
        self._module = module

    def close(self) -> None:
        """Give the library back."""
        self._ask(self._module.nvmlShutdown)

    def driver(self) -> str:
        """Return the version of the driver, or an empty text."""
        return _text(self._ask(self._module.nvmlSystemGetDriverVersion))

    def count(self) -> int:
        """Return how many GPUs there are."""
        return int(self._ask(self._module.nvmlDeviceGetCount) or 0)

    def device(self, index: int) -> Any | None:
        """Return the GPU at a position, in the order of the PCI bus."""
        return self._ask(self._module.nvmlDeviceGetHandleByIndex, index)

    def find(self, uuid: str) -> Any | None:
        """Return the GPU or slice with a UUID."""
        return self._ask(self._module.nvmlDeviceGetHandleByUUID, uuid)

    def is_sliced(self, device: Any) -> bool:
        """Return whether a GPU is in MIG mode: it then works in slices only."""
        modes = self._ask(self._module.nvmlDeviceGetMigMode, device)
        return bool(modes and modes[0])

    def slices(self, device: Any) -> list[Any]:
        """Return the MIG slices of a GPU."""
        most = int(self._ask(self._module.nvmlDeviceGetMaxMigDeviceCount, device) or 0)
        found = (self._ask(self._module.nvmlDeviceGetMigDeviceHandleByIndex, device, index) for index in range(most))
        return [part for part in found if part is not None]

    def uuid(self, device: Any) -> str:
        """Return what names a device everywhere, or an empty text."""
        return _text(self._ask(self._module.nvmlDeviceGetUUID, device))

    def model(self, device: Any) -> str:
        """Return the name of its model, or an empty text."""
        return _text(self._ask(self._module.nvmlDeviceGetName, device))

    def memory_bytes(self, device: Any) -> tuple[int, int] | None:
        """Return the memory of a device and how much of it is used."""
        memory = self._ask(self._module.nvmlDeviceGetMemoryInfo, device)
        return None if memory is None else (int(memory.total), int(memory.used))

    def busy_percent(self, device: Any) -> int | None:
        """Return the share of the last moments in which a device computed; slices do not know."""
        rates = self._ask(self._module.nvmlDeviceGetUtilizationRates, device)
        return None if rates is None else int(rates.gpu)

    def process_memory_bytes(self, device: Any) -> list[tuple[int, int]] | None:
        """Return the processes that compute on a device, as the driver numbers them, and the memory that each holds."""
        found = self._ask(self._module.nvmlDeviceGetComputeRunningProcesses, device)
        return None if found is None else [(process.pid, process.usedGpuMemory or 0) for process in found]

    def process_samples(self, device: Any, since_us: int) -> list[ProcessSample] | None:
        """Return in which part of the moments since an instant of the driver's clock each process has computed."""
        try:
            found = self._module.nvmlDeviceGetProcessUtilization(device, since_us)
        except self._module.NVMLError as error:
            missing = getattr(self._module, "NVML_ERROR_NOT_FOUND", None)  # it says so when nobody has computed
            return [] if missing is not None and getattr(error, "value", None) == missing else None
        return [ProcessSample(sample.pid, sample.timeStamp, sample.smUtil) for sample in found]

    def _ask(self, question: Callable[..., Any], *arguments: Any) -> Any | None:
        with contextlib.suppress(self._module.NVMLError):
            return question(*arguments)
        return None


def open_nvml(load: Callable[[], Any] = lambda: importlib.import_module("pynvml")) -> Nvml:
    """Open the library.

    Args:
        load: Returns the module `pynvml` (of `nvidia-ml-py`).

    Raises:
        NvmlAbsent: The module is not installed, there is no driver, or the two do not match.
    """
    try:
        module = load()
    except ImportError as error:
        raise NvmlAbsent("no NVML library") from error
    try:
        module.nvmlInit()
    except module.NVMLError as error:
        raise NvmlAbsent(_why(module, error)) from error
    return Nvml(module)


def _why(module: Any, error: Exception) -> str:
    code = getattr(error, "value", None)
    if code == module.NVML_ERROR_LIB_RM_VERSION_MISMATCH:
        return "NVML and the NVIDIA driver do not match: the driver was changed, reload it or restart the machine"
    if code in (module.NVML_ERROR_LIBRARY_NOT_FOUND, module.NVML_ERROR_DRIVER_NOT_LOADED):
        return "no NVIDIA driver"
    return f"NVML cannot be used: {error}"


def _text(value: Any) -> str:
    """Return a text that older versions of the module gave as bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")
