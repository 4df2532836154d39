"""What one attempt's processes are put into, how they are looked after there, and what they have used."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from resource import RUSAGE_SELF, getrusage, struct_rusage

import psutil

from taskexec.domain.states import Reason
from taskexec.domain.usage import Usage
from taskexec.errors import WorkerFailed
from taskexec.runtime.control_group import ControlGroup, ControlGroups, GroupLimits, find_groups
from taskexec.runtime.cores import CoreShares
from taskexec.runtime.gpu_meter import GpuMeter, open_meter
from taskexec.runtime.limits import NO_ALLOWANCE, Allowance, LimitPolicy
from taskexec.runtime.process import Enclosure
from taskexec.runtime.session import SessionMemory, count_processes

__all__ = ["Confinement", "Confiner", "cores_file", "forget_peak", "prepare_groups", "usage_of"]

log = logging.getLogger("taskexec.confinement")

_MIB = 2**20
_BLOCK_BYTES = 512
"""Unit of `ru_inblock` and `ru_oublock`."""
_WATCH_S = 0.05
_WATCH_SHARE = 20
"""Watching takes at most one part in so many of a core."""
_GROUP_S = 0.5
_GPU_S = 1.0
_NEAR = 0.9
"""Who was killed for memory with less than this part of what it was given was not the one who used too much."""
_ROOMY_MIB = 65_536
"""Address space that a process may reserve and never touch, as runtimes with garbage collection do."""


def forget_peak() -> int:
    """Forget the most memory that this process has held; return what it holds now, in KiB.

    The kernel begins the count of a process with the peak of the one that starts it: a worker that has once held a lot
    could not tell any more what its attempts hold.
    """
    with contextlib.suppress(OSError):  # where there is no /proc, or not all of it
        descriptor = os.open("/proc/self/clear_refs", os.O_WRONLY)
        try:
            os.write(descriptor, b"5")  # proc_pid_clear_refs(5): the peak, and nothing else
        finally:
            os.close(descriptor)
    return getrusage(RUSAGE_SELF).ru_maxrss


def usage_of(used: struct_rusage, begun_kib: int) -> Usage:
    """Return the usage that the kernel counted of a process and those of its children that it has collected.

    The count of memory begins with `begun_kib`, what this process held when it started the other (`forget_peak`): a
    smaller peak is not known.
    """
    peak_mib = 0
    if used.ru_maxrss > begun_kib * 1.05 + 1024:
        peak_mib = -(-used.ru_maxrss // 1024)
    return Usage(
        used.ru_utime + used.ru_stime, peak_mib, used.ru_inblock * _BLOCK_BYTES, used.ru_oublock * _BLOCK_BYTES
    )


@dataclass(slots=True)
class Confiner:
    """Makes confinements for the attempts of one executing process."""

    worker: str
    policy: LimitPolicy = field(default_factory=LimitPolicy)
    groups: ControlGroups | None = None
    """Where groups can be made; None where they cannot."""
    cores: CoreShares | None = None
    """Who uses which cores; None keeps nobody on any."""
    gpus: tuple[str, ...] = ()
    """UUIDs of the worker's GPUs, by position."""
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _is_general: bool = field(init=False)

    def __post_init__(self) -> None:
        self._is_general = self.policy.is_general

    def is_particular(self, allowance: Allowance) -> bool:
        """Return whether an attempt was given something that must be kept from, or for, others."""
        if allowance is NO_ALLOWANCE:
            return False
        return not allowance.is_ordinary or (bool(allowance.cpus) and self.policy.cpu == "affinity")

    def is_needed(self, allowance: Allowance) -> bool:
        """Return whether the processes of an attempt must be confined at all; most are not."""
        return self._is_general or self.is_particular(allowance)

    def confine(self, allowance: Allowance) -> Confinement:
        """Return a new confinement; nothing has been started in it.

        Raises:
            OSError: A group is insisted on and cannot be made.
        """
        group = self._group(allowance)
        watched_mib = 0
        if self.policy.memory in ("auto", "watch") and (group is None or not group.limits.memory_mib):
            watched_mib = self.policy.memory_limit_mib(allowance.memory_mib)
        shares, key = self.cores, str(next(self.numbers))
        cores = frozenset[int]()
        if shares is not None and self.policy.cpu == "affinity" and allowance.cpus:
            with contextlib.suppress(OSError, ValueError):
                cores = shares.take(key, allowance.cpus)
        meter = open_meter(allowance.gpus, is_shared=allowance.is_shared) if allowance.gpus else None
        return Confinement(
            enclosure=self._enclosure(allowance, group, watched_mib, cores),
            group=group,
            watched_mib=watched_mib,
            meter=meter,
            policy=self.policy,
            on_close=(lambda: shares.give_back(key)) if cores and shares is not None else None,
        )

    def _group(self, allowance: Allowance) -> ControlGroup | None:
        by_group = self.policy.memory in ("auto", "cgroup")
        limits = GroupLimits(
            memory_mib=self.policy.memory_limit_mib(allowance.memory_mib) if by_group else 0,
            cpus=allowance.cpus if self.policy.cpu == "weight" else 0,
            processes=self.policy.processes,
        )
        if self.groups is None or not any(limits):
            return None
        try:
            return self.groups.make(self.worker, next(self.numbers), limits)
        except OSError as error:
            if limits.memory_mib and self.policy.memory == "cgroup":
                raise
            log.warning("a control group cannot be made, memory is watched instead", extra={"error": str(error)})
            return None

    def _enclosure(
        self, allowance: Allowance, group: ControlGroup | None, watched_mib: int, cores: frozenset[int]
    ) -> Enclosure:
        policy = self.policy
        processes = policy.processes
        if processes and group is not None and self.groups is not None and self.groups.has("pids"):
            processes = 0
        elif processes:  # the kernel compares with all that the user has
            processes += count_processes(os.getuid())
        reserve = 0
        if watched_mib and not allowance.gpus:  # with a GPU, address space is reserved by the terabyte
            reserve = watched_mib + max(_ROOMY_MIB, psutil.virtual_memory().total // _MIB)
        return Enclosure(
            entries=[] if group is None else group.entries,
            open_files=policy.open_files,
            processes=processes,
            file_size_mib=policy.file_size_mib,
            address_space_mib=reserve,
            nice=policy.nice,
            cores=cores,
        )


class Confinement:
    """The bounds of one attempt; implements the supervision's `Guard`."""

    def __init__(
        self,
        *,
        enclosure: Enclosure,
        group: ControlGroup | None = None,
        watched_mib: int = 0,
        meter: GpuMeter | None = None,
        policy: LimitPolicy | None = None,
        on_close: Callable[[], None] | None = None,
        session: SessionMemory | None = None,
    ) -> None:
        """Take what has been made for it; `watched_mib` is the memory to watch, 0 for none."""
        self.enclosure = enclosure
        self._group = group
        self._watched_mib = watched_mib
        self._meter = meter
        self._policy = policy or LimitPolicy()
        self._on_close = on_close
        self._session = session or SessionMemory()
        self._peak_bytes = 0
        self._is_over = False
        self._sampled = time.monotonic()
        self._next = self._sampled + _WATCH_S

    def started(self, pid: int) -> None:
        """Do what can only be done to a process that has been started."""
        if self._policy.io_class == "none":
            return
        with contextlib.suppress(psutil.Error, OSError):
            if self._policy.io_class == "idle":
                psutil.Process(pid).ionice(psutil.IOPRIO_CLASS_IDLE)
            else:
                psutil.Process(pid).ionice(psutil.IOPRIO_CLASS_BE, 7)

    def look(self, pid: int) -> tuple[Reason | None, float]:
        """See whether it has used more memory than it may; see `Guard.look`."""
        now = time.monotonic()
        if now < self._next:
            return None, self._next - now
        pause_s = _GROUP_S
        if self._watched_mib:
            self._watch(pid)
            pause_s = max(_WATCH_S, (time.monotonic() - now) * _WATCH_SHARE)
        if self._meter is not None and now - self._sampled >= _GPU_S:
            self._meter.sample(self._pids(pid), now - self._sampled)
            self._sampled = now
        self._next = time.monotonic() + pause_s
        return (Reason.OUT_OF_MEMORY if self.is_out_of_memory() else None), pause_s

    def _watch(self, pid: int) -> None:
        limit = self._watched_mib * _MIB
        size = self._session.measure(pid)
        if size > limit:
            size = self._session.measure_exactly() or size
            self._is_over = self._is_over or size > limit
        self._peak_bytes = max(self._peak_bytes, size)

    def _pids(self, pid: int) -> set[int]:
        if self._group is not None:
            return self._group.pids()
        if not self._watched_mib:
            self._session.measure(pid)
        return self._session.pids()

    def is_out_of_memory(self) -> bool:
        """Return whether it has met its limit of memory: seen by us, or by the system, which has killed something."""
        if self._is_over:
            return True
        return self._group is not None and bool(self._group.limits.memory_mib) and self._group.oom_kills() > 0

    def kill(self) -> None:
        """Kill everything in it, whatever session it is in."""
        if self._group is not None:
            self._group.kill()
        else:
            self._session.kill()

    def usage(self, counted: Usage) -> Usage:
        """Return what was used; `counted` is what is known of the processes that were waited for."""
        peak_bytes = self._peak_bytes
        if self._group is not None:
            told = self._group.usage()
            peak_bytes = max(peak_bytes, told.peak_bytes)
            counted = counted._replace(
                cpu_s=told.cpu_s or counted.cpu_s,
                read_bytes=told.read_bytes or counted.read_bytes,
                written_bytes=told.written_bytes or counted.written_bytes,
            )
        else:
            peak_bytes = max(peak_bytes, counted.peak_memory_mib * _MIB)
            counted = counted._replace(cpu_s=max(counted.cpu_s, self._session.cpu_s))
        if peak_bytes:
            counted = counted._replace(peak_memory_mib=-(-peak_bytes // _MIB))
        if self._meter is not None:
            counted = counted._replace(gpu_memory_mib=self._meter.peak_memory_mib, gpu_s=self._meter.busy_s)
        return counted

    def out_of_memory_text(self, counted: Usage) -> str:
        """Return what happened, in words."""
        limit = self._watched_mib or (self._group.limits.memory_mib if self._group is not None else 0)
        peak = self.usage(counted).peak_memory_mib
        what = "ran out of memory" if peak >= limit * _NEAR else "killed by the system, which had run out of memory"
        return f"{what}: peak {peak:,} MiB of the {limit:,} MiB it was given"

    def close(self) -> None:
        """End what is left in it and remove it."""
        if self._meter is not None:
            self._meter.close()
        if self._group is not None and not self._group.remove():
            log.warning("a control group could not be removed; the next worker here does that")
        if self._on_close is not None:
            with contextlib.suppress(OSError, ValueError):
                self._on_close()


def prepare_groups(policy: LimitPolicy) -> ControlGroups | None:
    """Return where the attempts of this worker get their groups, after what dead workers left there was removed.

    Called in a worker's main process before its pool: with version 2, all of them may have to move first.

    Raises:
        WorkerFailed: Groups are insisted on, and cannot be made.
    """
    if policy.memory not in ("auto", "cgroup") and policy.cpu != "weight" and not policy.processes:
        return None
    groups = find_groups(relatives=_relatives)
    if groups is not None:
        groups.sweep(lambda _, pid: not psutil.pid_exists(pid))
    elif policy.memory == "cgroup":
        raise WorkerFailed(
            "this worker may not make control groups, and `limits.memory` is `cgroup`",
            hint="start it as root or in a delegated group (`Delegate=yes`), or set `limits.memory` to `auto`",
        )
    return groups


def _relatives() -> set[int]:
    """Return this worker, its supervisor, and what that has started."""
    try:
        supervisor = psutil.Process(os.getppid())
        return {supervisor.pid, *(process.pid for process in supervisor.children(recursive=True))}
    except psutil.Error:
        return {os.getpid()}


def cores_file(scratch: Path) -> CoreShares:
    """Return the shares of cores of the worker with this scratch folder."""
    return CoreShares(scratch / "cores.json")
