"""What tasks ask for and workers have: amounts, labels, routes, and what keeps an idle worker from running a task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, NamedTuple

__all__ = ["Alternative", "Capacity", "Gpu", "Needs", "Route", "choose_route", "shortfalls"]


class Route(StrEnum):
    """The Celery queue a task goes to."""

    CPU = "cpu"
    GPU = "gpu"
    DISTRIBUTED = "distributed"


@dataclass(frozen=True, slots=True)
class Needs:
    """What one attempt of a task asks for; with `nodes` above 1, what each of its ranks asks for."""

    cpus: float = 1.0
    """Cores, fractions allowed, >= 0; the default is one slot."""
    memory_mib: int = 0
    """MiB of memory; 0 asks for nothing in particular, and is not limited."""
    gpus: float = 0.0
    """GPUs: a fraction of one below 1, else a whole number of them, each for this attempt alone."""
    gpu_memory_mib: int = 0
    """MiB of memory on each GPU; 0 asks for nothing in particular."""
    disk_mib: int = 0
    """MiB of free disk where attempts work; 0 asks for nothing in particular."""
    has: tuple[str, ...] = ()
    """Labels that the worker must have."""
    has_not: tuple[str, ...] = ()
    """Labels that the worker must not have."""
    exclusive: bool = False
    """Whether it wants a worker for itself alone."""
    nodes: int = 1
    """Ranks of a distributed task, all of them placed at once or none; 1 to 1024."""
    packed: bool = False
    """Whether ranks may share a worker; else each is on a worker of its own."""
    alternatives: tuple[Alternative, ...] = ()
    """What would do as well, by weight; these have no alternatives themselves."""

    @property
    def is_default(self) -> bool:
        """Whether any free slot will do: such tasks are not placed one by one, and may travel in batches."""
        return self == _DEFAULT

    def options(self) -> Iterator[Needs]:
        """Yield what would do, best first: by weight (this has 1), and in the order given where that is the same."""
        ranked = [(1.0, replace(self, alternatives=()) if self.alternatives else self)]
        ranked += [(alternative.weight, alternative.needs) for alternative in self.alternatives]
        for _, needs in sorted(ranked, key=lambda item: -item[0]):
            yield needs


class Alternative(NamedTuple):
    """Something else that a task could run with."""

    weight: float
    """How much it is wanted, > 0; the task's own needs have 1."""
    needs: Needs


_DEFAULT = Needs()


class Gpu(NamedTuple):
    """One GPU of a worker, or one slice of it (MIG)."""

    uuid: str
    """What `CUDA_VISIBLE_DEVICES` names it by."""
    model: str = ""
    memory_mib: int = 0


@dataclass(frozen=True, slots=True)
class Capacity:
    """What one worker has."""

    cpus: float
    """Usable cores."""
    memory_mib: int
    """Usable memory in MiB, without what is kept for the system."""
    gpus: tuple[Gpu, ...] = ()
    """GPUs, in the order of their positions."""
    slots: int = 1
    """Attempts it runs at once, at most."""
    disk_mib: int = 0
    """MiB that are free where attempts work."""
    labels: frozenset[str] = frozenset()
    """Labels that its owner gives it, such as `ssd` or `zone=a`."""

    def to_record(self) -> dict[str, Any]:
        """Return it as registrations hold it; `gpus` is their number, `devices` says more of each."""
        return {
            "cpus": self.cpus,
            "memory_mib": self.memory_mib,
            "gpus": len(self.gpus),
            "slots": self.slots,
            "disk_mib": self.disk_mib,
            "labels": sorted(self.labels),
            "devices": [gpu._asdict() for gpu in self.gpus],
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Capacity:
        """Return what `to_record` wrote."""
        return cls(
            cpus=record["cpus"],
            memory_mib=record["memory_mib"],
            gpus=tuple(Gpu(**device) for device in record["devices"]),
            slots=record["slots"],
            disk_mib=record["disk_mib"],
            labels=frozenset(record["labels"]),
        )


def choose_route(named: Route | None, needs: Needs) -> Route:
    """Return the route a task goes to: the one it names, else by what it asks for.

    Several nodes are `distributed`, GPUs `gpu`, everything else `cpu`.
    """
    if named is not None:
        return named
    if needs.nodes > 1:
        return Route.DISTRIBUTED
    return Route.GPU if needs.gpus > 0 else Route.CPU


def shortfalls(needs: Needs, capacity: Capacity) -> list[str]:
    """Return what keeps an otherwise empty worker from running a task, or one rank of it; an empty list: it fits.

    Alternatives are not looked at. Each entry reads `16 cpus of 2`: the amount asked for, the resource, the amount
    there; or `no label ssd`, `the label slow`.
    """
    pairs = [
        ("cpus", needs.cpus, capacity.cpus),
        ("MiB of memory", needs.memory_mib, capacity.memory_mib),
        ("MiB of disk", needs.disk_mib, capacity.disk_mib),
    ]
    short = [f"{_amount(asked)} {name} of {_amount(there)}" for name, asked, there in pairs if asked > there]
    large = [gpu for gpu in capacity.gpus if gpu.memory_mib >= needs.gpu_memory_mib]
    if needs.gpus > len(capacity.gpus):
        short.append(f"{_amount(needs.gpus)} gpus of {len(capacity.gpus)}")
    elif needs.gpus > len(large):
        most = max((gpu.memory_mib for gpu in capacity.gpus), default=0)
        short.append(f"{_amount(needs.gpu_memory_mib)} MiB of GPU memory of {_amount(most)}")
    short += [f"no label {label}" for label in needs.has if label not in capacity.labels]
    short += [f"the label {label}" for label in needs.has_not if label in capacity.labels]
    return short


def _amount(number: float) -> str:
    return f"{number:,.0f}" if number == int(number) else f"{number:g}"
