"""What attempts may use: the policy of a worker, and the allowance of one attempt with the variables that tell it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from taskexec.domain.program import Grant
from taskexec.domain.usage import Asked

__all__ = ["GPU_VARIABLE", "NO_ALLOWANCE", "Allowance", "CpuMode", "IoClass", "LimitPolicy", "MemoryMode"]

MemoryMode = Literal["auto", "cgroup", "watch", "off"]
CpuMode = Literal["weight", "affinity", "off"]
IoClass = Literal["none", "low", "idle"]

GPU_VARIABLE = "CUDA_VISIBLE_DEVICES"
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "RAYON_NUM_THREADS",
    "POLARS_MAX_THREADS",
)
"""What libraries read that would otherwise start a thread for each core of the machine."""


@dataclass(frozen=True, slots=True)
class LimitPolicy:
    """How a worker holds attempts to what they were given, and what none of them may go beyond."""

    memory: MemoryMode = "auto"
    """By control group, by watching, or not; `auto` takes a group where one can be made."""
    memory_floor_mib: int = 0
    """MiB below which no attempt is limited, however little it asks for."""
    cpu: CpuMode = "weight"
    """Share of the cores when they are short, cores of its own, or neither."""
    open_files: int = 0
    """Descriptors of one process at once; 0 is no limit, as in all that follow."""
    processes: int = 0
    """Processes and threads of an attempt at once."""
    file_size_mib: int = 0
    """Size of one file in MiB."""
    nice: int = 0
    """Niceness that is added."""
    io_class: IoClass = "none"
    """Place in the queue of the disks: as the worker's, behind others, or only when nobody else wants them."""

    def memory_limit_mib(self, given_mib: int) -> int:
        """Return the memory that an attempt may use of what it was given; 0 is no limit."""
        return max(given_mib, self.memory_floor_mib) if given_mib else 0

    @property
    def is_general(self) -> bool:
        """Whether it concerns attempts that were given nothing in particular."""
        has_sizes = self.open_files or self.processes or self.file_size_mib or self.nice
        return bool(has_sizes) or self.io_class != "none"


class Allowance(NamedTuple):
    """What one attempt may use on this worker."""

    cpus: int = 0
    """Thousandths of a core; 0: nothing was said."""
    memory_mib: int = 0
    """MiB of memory; 0 is no limit."""
    gpus: tuple[str, ...] = ()
    """Its GPUs, by UUID."""
    is_shared: bool = False
    """Whether others may use its GPUs at the same time."""
    gpu_memory_mib: int = 0
    """MiB on each of its GPUs; 0: nothing was said."""

    @classmethod
    def of(cls, grant: Grant, gpus: tuple[str, ...], *, rank: int = 0) -> Allowance:
        """Return what one rank of a grant may use on its worker, whose GPUs are given by position."""
        positions = grant.ranks[rank].gpus if rank < len(grant.ranks) else ()
        return cls(
            cpus=grant.cpus,
            memory_mib=grant.memory_mib,
            gpus=tuple(gpus[position] for position in positions),
            is_shared=grant.gpu_share < 1000,
            gpu_memory_mib=grant.gpu_memory_mib,
        )

    @property
    def asked(self) -> Asked:
        """What hints compare with what was used."""
        return Asked(self.cpus / 1000 if self.cpus else 1.0, self.memory_mib, len(self.gpus))

    @property
    def is_ordinary(self) -> bool:
        """Whether it is no more than a slot: a core, and nothing that would have to be limited."""
        return self.cpus in (0, 1000) and not self.memory_mib and not self.gpus

    def variables(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return the variables that tell programs of it; what `environ` says of threads is left alone."""
        variables = {}
        if self.cpus:
            variables["TEK_CPUS"] = f"{self.cpus / 1000:g}"
            threads = str(max(self.cpus // 1000, 1))
            variables |= {name: threads for name in _THREAD_VARIABLES if name not in environ}
        if self.gpus:
            variables[GPU_VARIABLE] = ",".join(self.gpus)
            variables["TEK_GPUS"] = str(len(self.gpus))
            if self.gpu_memory_mib:
                variables["TEK_GPU_MEMORY_MIB"] = str(self.gpu_memory_mib)
        return variables


NO_ALLOWANCE = Allowance()
"""That of an attempt which was given a slot and nothing in particular."""
