"""What a worker offers: what its owner said, else what was measured without a reserve for the system."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from taskexec.domain.gpu_choice import DECLARED, parse_gpu_choice
from taskexec.domain.resources import Capacity, Route
from taskexec.domain.sizes import show_mib
from taskexec.errors import UsageError
from taskexec.placement.gpus import find_gpus, pick_gpus
from taskexec.placement.machine import Machine, measure_machine
from taskexec.settings import WorkerSettings

__all__ = ["Offer", "make_offer", "measure_offer", "measure_offers"]

_RESERVE_SHARE = 20
"""One part in so many is kept for the system, unless its owner says how much."""
_RESERVE_MOST_MIB = 1024


@dataclass(frozen=True, slots=True)
class Offer:
    """What one worker offers, and what is told with it."""

    capacity: Capacity
    driver: str = ""
    """Version of NVIDIA's driver; empty without one."""
    notes: tuple[str, ...] = ()
    """Short texts about what is missing, or only declared."""


def measure_offer(worker: WorkerSettings, routes: Sequence[Route] = tuple(Route)) -> Offer:
    """Measure this machine for one worker that serves some routes, and return what it offers.

    Raises:
        UsageError: `worker.gpus` names a GPU that is not there.
    """
    return measure_offers(worker, routes)[0]


def measure_offers(worker: WorkerSettings, routes: Sequence[Route] = tuple(Route), *, count: int = 1) -> list[Offer]:
    """Measure this machine for `count` workers that share it; what their owner said holds for each of them.

    Raises:
        UsageError: `worker.gpus` names a GPU that is not there.
    """
    is_asked = any(route is not Route.CPU for route in routes) if worker.gpus is None else _names_gpus(worker.gpus)
    machine = measure_machine(gpus=find_gpus() if is_asked else None)
    if worker.gpus is not None and is_asked:
        machine = _only_named(machine, parse_gpu_choice(worker.gpus).named)
    return [make_offer(machine.part(position, count), worker) for position in range(count)]


def make_offer(machine: Machine, worker: WorkerSettings) -> Offer:
    """Decide what a worker offers of a machine; each amount that its owner gave holds as it is.

    A share of less than one core counts as one: every task asks for a core unless it says otherwise.
    """
    choice = None if worker.gpus is None else parse_gpu_choice(worker.gpus)
    cpus = round(max(machine.cpus - worker.reserve_cpus, 1.0), 3) if worker.cpus is None else worker.cpus
    capacity = Capacity(
        cpus=cpus,
        memory_mib=_amount(worker.memory, machine.memory_mib, worker.reserve_memory_mib),
        gpus=choice.declared if choice and not choice.named else tuple(item.gpu for item in machine.gpus),
        slots=worker.concurrency or max(int(cpus), 1),
        disk_mib=_amount(worker.disk, machine.disk_mib, worker.reserve_disk_mib),
        labels=frozenset(worker.label_list()),
    )
    return Offer(capacity, machine.driver, (*machine.notes, *_declared(capacity, machine)))


def _names_gpus(text: str) -> bool:
    return bool(parse_gpu_choice(text).named)


def _only_named(machine: Machine, names: Sequence[str]) -> Machine:
    picked, unknown = pick_gpus(names, machine.gpus)
    if unknown:
        there = ", ".join(f"{item.position} ({item.gpu.uuid})" for item in machine.gpus) or "none"
        raise UsageError(
            f"`worker.gpus` names {', '.join(f'`{name}`' for name in unknown)}, but this worker can use no such GPU",
            hint=f"GPUs here: {there}" + "".join(f"; {note}" for note in machine.notes),
        )
    return replace(machine, gpus=tuple(picked))


def _amount(given: int | None, measured: int, reserve: int | None) -> int:
    if given is not None:
        return given
    return max(measured - (min(measured // _RESERVE_SHARE, _RESERVE_MOST_MIB) if reserve is None else reserve), 0)


def _declared(capacity: Capacity, machine: Machine) -> list[str]:
    """Return what the owner declares that the machine has not."""
    gpus = sum(gpu.model == DECLARED for gpu in capacity.gpus)
    notes = [f"GPUs declared, without hardware: {gpus}"] if gpus else []
    if capacity.cpus > max(machine.cpus, 1.0):
        notes.append(f"{capacity.cpus:g} cpus are declared, {machine.cpus:g} were measured")
    if capacity.memory_mib > machine.memory_mib:
        notes.append(f"{show_mib(capacity.memory_mib)} of memory are declared, {show_mib(machine.memory_mib)} measured")
    return notes
