"""What tasks ask for and workers have: amounts, routes, and the one rule of what fits."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Capacity", "Needs", "Route", "choose_route", "shortfalls"]


class Route(StrEnum):
    """The Celery queue a task goes to."""

    CPU = "cpu"
    GPU = "gpu"
    DISTRIBUTED = "distributed"


@dataclass(frozen=True, slots=True)
class Needs:
    """What one attempt of a task asks for."""

    cpus: float = 1.0
    """Cores, fractions allowed, >= 0; the default is one slot."""
    memory_mib: int = 0
    """MiB of memory; 0 asks for nothing in particular."""
    gpus: float = 0.0
    """GPUs; fractions of one are allowed below 1."""
    gpu_memory_mib: int = 0
    """MiB of memory on each GPU; 0 asks for nothing in particular. Recorded; workers do not measure it yet."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What one worker has."""

    cpus: float
    """Usable cores."""
    memory_mib: int
    """Usable memory in MiB."""
    gpus: int = 0
    """Whole GPUs."""
    slots: int = 1
    """Attempts it runs at once."""


def choose_route(named: Route | None, needs: Needs) -> Route:
    """Return the route a task goes to: the one it names, else `gpu` when it asks for GPUs, else `cpu`."""
    if named is not None:
        return named
    return Route.GPU if needs.gpus > 0 else Route.CPU


def shortfalls(needs: Needs, capacity: Capacity) -> list[str]:
    """Return what keeps an otherwise empty worker from running a task; an empty list means that it fits.

    Each entry reads `16 cpus of 2`: the amount asked for, the resource, the amount there.
    """
    pairs = [
        ("cpus", needs.cpus, capacity.cpus),
        ("MiB of memory", needs.memory_mib, capacity.memory_mib),
        ("gpus", needs.gpus, capacity.gpus),
    ]
    return [f"{_amount(asked)} {name} of {_amount(there)}" for name, asked, there in pairs if asked > there]


def _amount(number: float) -> str:
    return f"{number:,.0f}" if number == int(number) else f"{number:g}"
