"""Tests of finding GPUs: several, slices, single calls that fail, no library, and what the environment hides."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from support.fake_nvml import GIB, FakeDevice, FakeNvml

from taskexec.domain.resources import Gpu
from taskexec.placement.gpus import GpuFindings, find_gpus, pick_gpus
from taskexec.placement.nvml import open_nvml

SLICES = ["MIG-a", "MIG-b"]


def found_of(module: FakeNvml, visible: str | None = None) -> GpuFindings:
    environ = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    return find_gpus(lambda: open_nvml(lambda: module), environ=environ, proc=Path("/nowhere"))


def uuids(found: GpuFindings) -> list[str]:
    return [item.gpu.uuid for item in found.gpus]


def sliced() -> FakeDevice:
    parts: list[FakeDevice | None] = [FakeDevice(uuid, "Fake MIG 1g.10gb", 10 * GIB) for uuid in SLICES]
    return FakeDevice("GPU-sliced", slices=[parts[0], None, parts[1]])


def no_library() -> FakeNvml:
    raise ModuleNotFoundError("No module named 'pynvml'")


def test_each_gpu_is_found_with_what_it_is_and_the_driver() -> None:
    module = FakeNvml(FakeDevice("GPU-1"), FakeDevice("GPU-2", b"Fake L4", 24 * GIB))

    found = found_of(module)

    gpus = [item.gpu for item in found.gpus]
    assert gpus == [Gpu("GPU-1", "Fake H100", 80 * 1024), Gpu("GPU-2", "Fake L4", 24 * 1024)]
    assert (found.driver, found.notes, module.opened) == ("570.1", (), 0)


def test_gpu_in_mig_mode_offers_its_slices_and_not_itself() -> None:
    found = found_of(FakeNvml(FakeDevice("GPU-1"), sliced()))

    assert uuids(found) == ["GPU-1", *SLICES]
    assert found.gpus[1].gpu.memory_mib == 10 * 1024
    assert found.notes == ()


def test_gpu_in_mig_mode_without_slices_is_told_and_not_offered() -> None:
    found = found_of(FakeNvml(FakeDevice("GPU-1", slices=[])))

    assert (found.gpus, found.notes) == ((), ("GPU 0 is in MIG mode without slices and is not offered",))


@pytest.mark.parametrize("call", ["nvmlDeviceGetHandleByIndex", "nvmlDeviceGetUUID"])
def test_lost_gpu_leaves_the_others(call: str) -> None:
    found = found_of(FakeNvml(FakeDevice("GPU-1", broken={call}), FakeDevice("GPU-2")))

    assert uuids(found) == ["GPU-2"]
    assert found.notes == ("GPU 0 does not answer and is not offered",)


def test_memory_that_is_not_known_is_told() -> None:
    found = found_of(FakeNvml(FakeDevice("GPU-1", broken={"nvmlDeviceGetMemoryInfo", "nvmlDeviceGetName"})))

    assert found.gpus[0].gpu == Gpu("GPU-1", "", 0)
    assert found.notes == ("the memory of GPU-1 is not known",)


def test_library_that_cannot_count_finds_nothing() -> None:
    found = found_of(FakeNvml(FakeDevice("GPU-1"), broken=["nvmlDeviceGetCount", "nvmlSystemGetDriverVersion"]))

    assert found == GpuFindings((), "", ("no GPU",))


@pytest.mark.parametrize(
    ("code", "note"),
    [
        (FakeNvml.NVML_ERROR_LIBRARY_NOT_FOUND, "no NVIDIA driver"),
        (FakeNvml.NVML_ERROR_DRIVER_NOT_LOADED, "no NVIDIA driver"),
        (
            FakeNvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH,
            "NVML and the NVIDIA driver do not match: the driver was changed, reload it or restart the machine",
        ),
        (999, "NVML cannot be used: code 999"),
    ],
)
def test_driver_that_cannot_be_used_is_told_and_offers_nothing(code: int, note: str) -> None:
    assert found_of(FakeNvml(FakeDevice("GPU-1"), init_code=code)) == GpuFindings((), "", (note,))


def test_machine_without_library_and_gpu_says_so() -> None:
    found = find_gpus(lambda: open_nvml(no_library), environ={}, proc=Path("/nowhere"))

    assert found == GpuFindings((), "", ("no NVML library",))


def test_without_library_gpus_are_offered_as_the_driver_lists_them(tmp_path: Path) -> None:
    about = "Model: \t\t NVIDIA L4\nIRQ:   \t\t 36\nGPU UUID: \t {uuid}\nDevice Minor: \t 0\n"
    for bus, uuid in [("0000:02:00.0", "GPU-????????-????"), ("0000:01:00.0", "GPU-1f")]:
        (tmp_path / "gpus" / bus).mkdir(parents=True)
        (tmp_path / "gpus" / bus / "information").write_text(about.format(uuid=uuid))
    (tmp_path / "version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue\nGCC version:\n")

    found = find_gpus(lambda: open_nvml(no_library), environ={}, proc=tmp_path)

    assert [item.gpu for item in found.gpus] == [Gpu("GPU-1f", "NVIDIA L4", 0), Gpu("1", "NVIDIA L4", 0)]
    assert found.driver == "550.54.15"
    assert found.notes[0] == "no NVML library"
    assert "taskexec[gpu]" in found.notes[1]


@pytest.mark.parametrize(
    ("visible", "seen"),
    [
        ("1,0", ["GPU-22", "GPU-11"]),
        ("GPU-22", ["GPU-22"]),
        ("GPU-2", ["GPU-22"]),
        ("MIG-b", ["MIG-b"]),
        ("2", SLICES),
        ("GPU-sliced", SLICES),
        ("0,7,1", ["GPU-11"]),
        ("0,0", ["GPU-11"]),
        ("-1", []),
        ("", []),
    ],
)
def test_visible_devices_restrict_what_is_offered(visible: str, seen: list[str]) -> None:
    module = FakeNvml(FakeDevice("GPU-11"), FakeDevice("GPU-22"), sliced())

    found = found_of(module, visible)

    assert uuids(found) == seen
    assert found.notes == (f"CUDA_VISIBLE_DEVICES hides {4 - len(seen)} of 4 GPUs",)


def test_visible_devices_that_hide_nothing_are_not_told() -> None:
    assert found_of(FakeNvml(FakeDevice("GPU-1")), "0").notes == ()


def test_names_are_picked_in_their_order_and_unknown_ones_returned() -> None:
    found = found_of(FakeNvml(FakeDevice("GPU-11"), FakeDevice("GPU-22"))).gpus

    picked, unknown = pick_gpus(["1", "GPU-11", "GPU-9", "1"], found)

    assert [item.gpu.uuid for item in picked] == ["GPU-22", "GPU-11"]
    assert unknown == ["GPU-9"]


@pytest.mark.gpu
@pytest.mark.skipif(
    importlib.util.find_spec("pynvml") is None or not Path("/dev/nvidiactl").exists(), reason="no NVIDIA GPU or NVML"
)
def test_real_gpu_is_found_with_model_memory_and_driver() -> None:
    found = find_gpus(environ={})

    assert found.driver
    assert found.gpus
    assert all(item.gpu.model and item.gpu.memory_mib > 0 for item in found.gpus)
    assert all(item.gpu.uuid.startswith(("GPU-", "MIG-")) for item in found.gpus)
