"""Tests of measuring what an attempt uses of its GPUs, where the library does not know or is not there."""

from __future__ import annotations

from typing import Any

import pytest
from support.fake_nvml import FakeDevice, FakeNvml, NVMLError

from taskexec.placement.nvml import Nvml, NvmlAbsent, open_nvml
from taskexec.runtime.gpu_meter import GpuMeter, open_meter


class SilentNvml(FakeNvml):
    """A library whose questions about processes all fail with one code."""

    def __init__(self, code: int) -> None:
        super().__init__(FakeDevice("GPU-a"))
        self.code = code

    def nvmlDeviceGetComputeRunningProcesses(self, _device: Any) -> Any:
        raise NVMLError(self.code)

    def nvmlDeviceGetProcessUtilization(self, _device: Any, _since: int) -> Any:
        raise NVMLError(self.code)


def absent() -> Nvml:
    raise NvmlAbsent("no NVIDIA driver")


def test_library_is_kept_for_as_long_as_a_meter_is_open() -> None:
    module = FakeNvml(FakeDevice("GPU-a"))

    meter = open_meter(["GPU-a"], is_shared=False, open_library=lambda: open_nvml(lambda: module))
    opened = module.opened
    assert meter is not None
    meter.close()

    assert (opened, module.opened) == (1, 0)


def test_gpu_that_the_library_does_not_know_is_not_measured_and_the_library_given_back() -> None:
    module = FakeNvml(FakeDevice("GPU-a"))

    assert open_meter(["GPU-a", "GPU-b"], is_shared=False, open_library=lambda: open_nvml(lambda: module)) is None
    assert module.opened == 0


def test_nothing_is_measured_without_the_library() -> None:
    assert open_meter(["GPU-a"], is_shared=False, open_library=absent) is None


@pytest.mark.parametrize(
    ("code", "busy_s"), [(FakeNvml.NVML_ERROR_NOT_FOUND, 0.0), (FakeNvml.NVML_ERROR_GPU_IS_LOST, None)]
)
def test_gpu_on_which_nobody_computes_is_idle_and_one_that_is_lost_tells_nothing(
    code: int, busy_s: float | None
) -> None:
    meter = GpuMeter(Nvml(SilentNvml(code)), [FakeDevice("GPU-a")], is_shared=False)

    meter.sample({1}, 2.0)

    assert (meter.busy_s, meter.peak_memory_mib) == (busy_s, None)
