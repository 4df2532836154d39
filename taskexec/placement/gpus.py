"""The GPUs of this machine that this process may use: by NVML, else by what the driver lists under /proc."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from taskexec.domain.resources import Gpu
from taskexec.placement.nvml import Nvml, NvmlAbsent, open_nvml

__all__ = ["FoundGpu", "GpuFindings", "find_gpus", "pick_gpus"]

_MIB = 1024 * 1024
_PROC = Path("/proc/driver/nvidia")
_INSTALL = "install `taskexec[gpu]` (nvidia-ml-py) to have the memory of GPUs and MIG slices seen"


class FoundGpu(NamedTuple):
    """One GPU or MIG slice, with what names it."""

    gpu: Gpu
    position: int
    """Which GPU it is (of a slice: of the GPU it is part of), in the order of the PCI bus."""
    parent: str = ""
    """UUID of the GPU that a slice is part of."""


class GpuFindings(NamedTuple):
    """What was found, and what is worth telling about it."""

    gpus: tuple[FoundGpu, ...] = ()
    driver: str = ""
    """Version of NVIDIA's driver; empty when it is not known."""
    notes: tuple[str, ...] = ()
    """Short texts for whoever wonders where a GPU is."""


def find_gpus(
    open_library: Callable[[], Nvml] = open_nvml, *, environ: Mapping[str, str] = os.environ, proc: Path = _PROC
) -> GpuFindings:
    """Return the GPUs that this process may use, in the order of the PCI bus.

    Args:
        open_library: Opens NVML.
        environ: Variables of this process; `CUDA_VISIBLE_DEVICES` restricts it and says the order, as with CUDA.
        proc: Folder in which the driver lists GPUs: where NVML cannot be used, they are offered from there.
    """
    try:
        nvml = open_library()
    except NvmlAbsent as error:
        found = _findings_without(str(error), proc)
    else:
        with closing(nvml):
            found = _findings_of(nvml)
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None or not found.gpus:
        return found
    seen = _visible(visible, found.gpus)
    hidden = len(found.gpus) - len(seen)
    notes = (*found.notes, f"CUDA_VISIBLE_DEVICES hides {hidden} of {len(found.gpus)} GPUs") if hidden else found.notes
    return found._replace(gpus=seen, notes=notes)


def pick_gpus(names: Sequence[str], found: Sequence[FoundGpu]) -> tuple[list[FoundGpu], list[str]]:
    """Return the GPUs that names stand for, in their order, and the names that stand for none.

    A name is an index, a UUID or its beginning; that of a GPU in MIG mode stands for all of its slices.
    """
    picked: dict[str, FoundGpu] = {}
    unknown = []
    for name in names:
        meant = [item for item in found if _is_meant(name, item)]
        picked |= {item.gpu.uuid: item for item in meant}
        if not meant:
            unknown.append(name)
    return list(picked.values()), unknown


def _is_meant(name: str, item: FoundGpu) -> bool:
    if name.isascii() and name.isdigit():
        return int(name) == item.position
    return item.gpu.uuid.startswith(name) or item.parent.startswith(name)


def _visible(text: str, found: Sequence[FoundGpu]) -> tuple[FoundGpu, ...]:
    """Return what CUDA would see: names behind the first one that stands for nothing do not count."""
    seen: list[FoundGpu] = []
    for name in text.split(","):
        picked, unknown = pick_gpus([name.strip()], found) if name.strip() else ([], [name])
        if unknown:
            break
        seen += [item for item in picked if item not in seen]
    return tuple(seen)


def _findings_of(nvml: Nvml) -> GpuFindings:
    gpus: list[FoundGpu] = []
    notes: list[str] = []
    count = nvml.count()
    for index in range(count):
        device = nvml.device(index)
        uuid = "" if device is None else nvml.uuid(device)
        if not uuid:
            notes.append(f"GPU {index} does not answer and is not offered")
        elif nvml.is_sliced(device):
            parts = [FoundGpu(_describe(nvml, part), index, uuid) for part in nvml.slices(device)]
            gpus += [part for part in parts if part.gpu.uuid]
            if not parts:
                notes.append(f"GPU {index} is in MIG mode without slices and is not offered")
        else:
            gpus.append(FoundGpu(_describe(nvml, device), index))
    notes += [f"the memory of {item.gpu.uuid} is not known" for item in gpus if not item.gpu.memory_mib]
    if not count:
        notes.append("no GPU")
    return GpuFindings(tuple(gpus), nvml.driver(), tuple(notes))


def _describe(nvml: Nvml, device: Any) -> Gpu:
    memory = nvml.memory_bytes(device)
    return Gpu(nvml.uuid(device), nvml.model(device), memory[0] // _MIB if memory else 0)


def _findings_without(reason: str, proc: Path) -> GpuFindings:
    """Return what the driver lists by itself: model and UUID of each GPU, no memory, no slices."""
    gpus = tuple(FoundGpu(gpu, index) for index, gpu in enumerate(_listed(proc / "gpus")))
    notes = (reason, _INSTALL) if gpus and reason == "no NVML library" else (reason,)
    return GpuFindings(gpus, _driver_listed(proc), notes)


def _listed(folder: Path) -> Iterator[Gpu]:
    """Yield the GPUs of `gpus/<place on the bus>/information`."""
    places = sorted(folder.iterdir()) if folder.is_dir() else []
    for index, place in enumerate(places):
        lines = (line.partition(":") for line in _read(place / "information").splitlines())
        about = {name.strip(): value.strip() for name, _, value in lines}
        uuid = about.get("GPU UUID", "")
        # a driver that has not woken a GPU up yet shows question marks
        yield Gpu(str(index) if "?" in uuid or not uuid else uuid, about.get("Model", ""))


def _driver_listed(proc: Path) -> str:
    words = _read(proc / "version").partition("Kernel Module")[2].split()
    return next((word for word in words if word[0].isdigit()), "")


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
