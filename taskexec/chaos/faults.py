"""The faults: what each does, how it is undone, and how it is told."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["SERVER_FAULTS", "Direction", "Fault", "FaultKind"]


class FaultKind(StrEnum):
    """What is done; the value is the name that people and scripts see."""

    KILL_TASK = "kill_task"
    """KILL to the process of an attempt: it has failed by a signal, and is tried again if its task has tries left."""
    KILL_CHILD = "kill_child"
    """KILL to a pool child: its attempts are queued again, its slot is filled anew."""
    KILL_WORKER = "kill_worker"
    """KILL to a worker with its whole pool; its supervisor clears up and starts another."""
    KILL_ALL_WORKERS = "kill_all_workers"
    """The same, to all of them at once."""
    PAUSE_WORKER = "pause_worker"
    """STOP to a worker with its pool for longer than a lease, then CONT: what it finishes comes too late."""
    KILL_SERVER = "kill_server"
    """KILL to the server, which is then started again on its append-only file."""
    RESTART_SERVER = "restart_server"
    """TERM to the server, and a new one on its data."""
    CUT_NETWORK = "cut_network"
    """Nothing passes between one worker and the server, in one direction or in both, until it is healed."""


SERVER_FAULTS = frozenset({FaultKind.KILL_SERVER, FaultKind.RESTART_SERVER})
"""Faults of the server; the others are of workers."""


class Direction(StrEnum):
    """Which way nothing passes."""

    BOTH = "both"
    TO_SERVER = "to_server"
    TO_WORKER = "to_worker"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault that is to happen."""

    kind: FaultKind
    ratio: float
    """When: once this share of the run's tasks has ended, 0..1."""
    duration_s: float = 0.0
    """How long until it is undone: a pause, a cut, the time until a killed server comes back; 0 where nothing is
    undone."""
    direction: Direction = Direction.BOTH
    """Of a cut."""

    def describe(self) -> str:
        """Return what it is, for people: `cut_network to_server 4.0 s`."""
        parts = [str(self.kind)]
        if self.kind is FaultKind.CUT_NETWORK:
            parts.append(str(self.direction))
        if self.duration_s:
            parts.append(f"{self.duration_s:.1f} s")
        return " ".join(parts)
