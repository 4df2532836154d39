"""How many tasks at once a worker offers, between two limits: wider while something waits, narrower when it is idle."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PoolLimits", "PoolView", "wanted_slots"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimits:
    """Between what the slots of a worker move, and when."""

    smallest: int
    largest: int
    load_limit: float = 0.9
    """Load per core up to which it widens: processes that run or wait to, by the core."""
    memory_left_mib: int = 512
    """Memory that has to be available to widen."""
    idle_s: float = 60.0
    """So long no more than some of its slots were needed before it narrows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolView:
    """One worker at one moment."""

    slots: int
    busy: int
    """Slots at work, or promised to what was placed on it."""
    waiting: int
    """Messages and tasks that wait for a slot like its own."""
    load: float
    """Load of its machine by the core."""
    memory_available_mib: int
    spare_s: float
    """Seconds since all of its slots were needed."""


def wanted_slots(view: PoolView, limits: PoolLimits) -> int:
    """Return how many slots the worker should have now.

    It widens by half of what it has at a time (at least one), by no more than waits, and only where the machine has
    headroom; it narrows by one at a time, and never below what is busy.
    """
    if view.slots < limits.smallest:
        return limits.smallest
    if view.slots > limits.largest:
        return max(limits.largest, view.busy)
    if view.waiting > 0:
        has_headroom = view.load < limits.load_limit and view.memory_available_mib >= limits.memory_left_mib
        if view.busy < view.slots or not has_headroom:
            return view.slots
        return min(view.slots + min(view.waiting, max(view.slots // 2, 1)), limits.largest)
    if view.spare_s >= limits.idle_s:
        return max(view.slots - 1, view.busy, limits.smallest)
    return view.slots
