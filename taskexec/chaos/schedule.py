"""The schedule: which faults happen when, decided before the run by a seed and by nothing else."""

from __future__ import annotations

import random
from collections.abc import Mapping

from taskexec.chaos.faults import Direction, Fault, FaultKind

__all__ = ["make_schedule"]

_FIRST, _LAST = 0.05, 0.85
"""Faults fall between these shares of a run: before, nothing runs; after, little is left that they could harm."""
_DIRECTIONS = (Direction.BOTH, Direction.TO_SERVER, Direction.TO_WORKER)
_CUTS = (0.5, 2.5, 1.5)
"""Lengths of cuts in leases, in turn: for a moment, and for longer than a lease."""
_PAUSES = (1.5, 2.5)
"""Lengths of pauses in leases, in turn: always longer than one."""
_DOWN = (0.1, 0.5, 1.2)
"""How long a killed server stays away, in leases, in turn."""


def make_schedule(counts: Mapping[FaultKind, int], *, seed: int, lease_s: float) -> tuple[Fault, ...]:
    """Return the faults of a run in the order in which they happen; the same arguments give the same schedule.

    Every stretch of the run gets its share: its tasks are cut into as many equal parts as there are faults, and each
    part has one, of a kind and at a place that the seed chooses.

    Args:
        counts: How many of each kind.
        seed: Any number.
        lease_s: Length of a lease, which lengths of pauses and cuts are multiples of.
    """
    rng = random.Random(seed)
    kinds = [kind for kind in FaultKind for _ in range(counts.get(kind, 0))]
    lengths = {kind: _lengths(kind, rng) for kind in FaultKind}
    seen = dict.fromkeys(FaultKind, 0)
    rng.shuffle(kinds)
    faults = []
    turn = rng.randrange(len(_DIRECTIONS))
    for position, kind in enumerate(kinds):
        share = (position + rng.random()) / len(kinds)
        leases = lengths[kind][seen[kind] % len(lengths[kind])]
        direction = Direction.BOTH
        if kind is FaultKind.CUT_NETWORK:
            direction = _DIRECTIONS[(turn + seen[kind]) % len(_DIRECTIONS)]
        seen[kind] += 1
        ratio = round(_FIRST + (_LAST - _FIRST) * share, 4)
        faults.append(Fault(kind=kind, ratio=ratio, duration_s=round(leases * lease_s, 3), direction=direction))
    return tuple(faults)


def _lengths(kind: FaultKind, rng: random.Random) -> tuple[float, ...]:
    """Return the lengths of a kind in leases, beginning where chance says; 0 for what is not undone."""
    lengths = {FaultKind.CUT_NETWORK: _CUTS, FaultKind.PAUSE_WORKER: _PAUSES, FaultKind.KILL_SERVER: _DOWN}
    found = lengths.get(kind, (0.0,))
    start = rng.randrange(len(found))
    return found[start:] + found[:start]
