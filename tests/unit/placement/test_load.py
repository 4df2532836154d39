"""Tests of the load of a worker: nothing waits, nothing is raised, what is not known is left out."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
from support.fake_nvml import GIB, FakeDevice, FakeNvml

from taskexec.placement import LoadProbe
from taskexec.placement.nvml import Nvml, open_nvml


class Ticks:
    """Monotonic seconds that stand still until they are moved."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def probe_of(module: FakeNvml, *devices: str, ticks: Ticks | None = None) -> LoadProbe:
    return LoadProbe(Path(), devices, open_library=lambda: open_nvml(lambda: module), clock=ticks or Ticks())


def test_load_of_the_machine_is_told(tmp_path: Path) -> None:
    load = LoadProbe(tmp_path)()

    assert set(load) == {"cpu_percent", "load1", "memory_used_mib", "memory_available_mib", "disk_free_mib"}
    assert 0 <= load["cpu_percent"] <= 100
    assert load["memory_available_mib"] > 0


def test_gpus_that_are_offered_tell_theirs() -> None:
    module = FakeNvml(FakeDevice("GPU-1", busy_percent=70, used_bytes=3 * GIB), FakeDevice("GPU-2"))

    load = probe_of(module, "GPU-1")()

    assert load["gpus"] == [
        {"uuid": "GPU-1", "busy_percent": 70, "memory_used_mib": 3072, "memory_total_mib": 80 * 1024}
    ]


def test_what_a_gpu_does_not_know_is_left_out() -> None:
    module = FakeNvml(FakeDevice("GPU-1", broken={"nvmlDeviceGetUtilizationRates", "nvmlDeviceGetMemoryInfo"}))

    assert probe_of(module, "GPU-1", "GPU-gone")()["gpus"] == [{"uuid": "GPU-1"}]


def test_library_is_opened_once_and_not_without_gpus() -> None:
    module, ticks = FakeNvml(FakeDevice("GPU-1")), Ticks()
    without, probe = probe_of(module), probe_of(module, "GPU-1", ticks=ticks)

    without()
    probe()
    ticks.now += 10
    probe()

    assert module.opened == 1


def test_missing_library_is_not_asked_for_again() -> None:
    asked = []

    def absent() -> Nvml:
        asked.append(1)
        return open_nvml(lambda: FakeNvml(init_code=9))

    ticks = Ticks()
    probe = LoadProbe(Path(), ["declared-0"], open_library=absent, clock=ticks)
    probe()
    ticks.now += 10

    assert "gpus" not in probe()
    assert asked == [1]


def test_heartbeats_in_a_row_get_one_answer() -> None:
    device, ticks = FakeDevice("GPU-1", busy_percent=1), Ticks()
    probe = probe_of(FakeNvml(device), "GPU-1", ticks=ticks)
    answers = [probe()["gpus"][0]["busy_percent"]]
    device.busy_percent = 99

    ticks.now += 0.1
    answers.append(probe()["gpus"][0]["busy_percent"])
    ticks.now += 1.0
    answers.append(probe()["gpus"][0]["busy_percent"])

    assert answers == [1, 1, 99]


def test_what_cannot_be_measured_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "virtual_memory", fail)
    probe = LoadProbe(Path("/nowhere"))

    assert set(probe()) == {"cpu_percent", "load1"}
