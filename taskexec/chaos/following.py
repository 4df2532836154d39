"""Following a run to its end while faults are done to it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from taskexec.chaos.conductor import Conductor
from taskexec.chaos.ground import Done, Ground
from taskexec.errors import ConnectionLost

if TYPE_CHECKING:
    from taskexec.submission import Collector

__all__ = ["carry_through"]

_STEP_S = 0.1


def carry_through(
    collector: Collector,
    conductor: Conductor,
    ground: Ground,
    *,
    is_interrupted: Callable[[], bool],
    on_done: Callable[[Done], None],
) -> bool:
    """Follow a run to its end while faults are done to it; heal everything whatever happens.

    Args:
        collector: Brings the run home.
        conductor: Does the faults.
        ground: What they are done on.
        is_interrupted: Whether somebody has asked to end.
        on_done: Told of each fault.

    Returns:
        Whether the run has ended; False when it was interrupted.
    """
    try:
        for _ in _steps(collector, ground):
            if is_interrupted():
                return False
            view = collector.view
            ratio = view.done / max(len(view.statuses), 1)
            done = conductor.step(ratio)
            if done is not None:
                on_done(done)
        if conductor.heal():  # what was paused or cut off until now has late results to tell of
            _settle(collector, ground, conductor.lease_s)
        return True
    finally:
        conductor.heal()


def _settle(collector: Collector, ground: Ground, span_s: float) -> None:
    """Go on reading for a while after the end of a run."""
    until = time.monotonic() + span_s
    while time.monotonic() < until:
        with contextlib.suppress(ConnectionLost):
            collector.step(wait_s=0.0)
        ground.tend()
        time.sleep(_STEP_S)


def _steps(collector: Collector, ground: Ground) -> Iterator[None]:
    """Yield several times a second until the run has ended and all of it was read."""
    while True:
        try:
            if collector.step(wait_s=_STEP_S):
                return
        except ConnectionLost:
            time.sleep(_STEP_S / 2)
        ground.tend()
        yield
