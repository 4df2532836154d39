"""The conductor: carries out the faults of a schedule when their time comes, undoes them, and writes both down."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import psutil

from taskexec.chaos.faults import Fault, FaultKind
from taskexec.chaos.ground import Done, Ground
from taskexec.chaos.target import ContinueGuard, Target
from taskexec.errors import ConnectionLost

__all__ = ["Conductor"]

_CALM_LEASES = 0.25
"""Shortest time between two faults."""
_STALL_LEASES = 10.0
"""Longest time between two faults, however little has been done meanwhile."""


@dataclass(slots=True)
class _Standing:
    """A fault that is still to be undone."""

    done: Done
    until: float
    undo: Callable[[], object]
    target: Target


class Conductor:
    """Carries out a schedule. `step` never waits; `heal` undoes everything, whatever happened."""

    def __init__(
        self,
        ground: Ground,
        schedule: Sequence[Fault],
        *,
        seed: int,
        lease_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare to carry out faults.

        Args:
            ground: Whom they strike.
            schedule: The faults, in order.
            seed: Chooses among those whom a fault could strike.
            lease_s: Length of a lease; the unit of pauses between faults.
            clock: Gives monotonic seconds.
        """
        self._ground = ground
        self._left = list(schedule)
        self._rng = random.Random(seed)
        self.lease_s = lease_s
        self._clock = clock
        self._last = clock()
        """When the last fault happened; before the first one, when this began."""
        self._standing: list[_Standing] = []
        self.done: list[Done] = []
        """What has happened, in order."""

    @property
    def left(self) -> tuple[Fault, ...]:
        """The faults that have not happened."""
        return tuple(self._left)

    def step(self, ratio: float) -> Done | None:
        """Undo what is over, and carry out the next fault if its time has come; `ratio` is the share of ended tasks."""
        now = self._clock()
        for standing in [one for one in self._standing if now >= one.until]:
            self._undo(standing)
        if self.done and now - self._last < _CALM_LEASES * self.lease_s:
            return None
        is_stalled = now - self._last >= _STALL_LEASES * self.lease_s
        for fault in [one for one in self._left if ratio >= one.ratio or is_stalled]:
            try:
                done = _ACTS[fault.kind](self, fault)
            except ConnectionLost:  # whom to strike cannot be told now
                return None
            if done is not None:
                self._left.remove(fault)
                self._last = self._clock()
                self.done.append(done)
                return done
        return None

    def heal(self) -> int:
        """Undo whatever stands; return how many faults that were."""
        standing, count = list(self._standing), len(self._standing)
        for one in standing:
            self._undo(one)
        return count

    def _undo(self, standing: _Standing) -> None:
        self._standing.remove(standing)
        standing.undo()
        standing.done.undone_at = self._ground.server_now()

    def _free(self) -> list[Target]:
        """Return the workers that suffer nothing yet."""
        struck = [standing.target for standing in self._standing]
        return [target for target in self._ground.targets() if target not in struck]

    def _done(self, fault: Fault, target: str, **more: Any) -> Done:
        return Done(fault=fault, at=self._ground.server_now(), target=target, **more)

    def _kill_worker(self, fault: Fault) -> Done | None:
        free = self._free()
        if not free:
            return None
        done = self._done(fault, free[0].name, workers=(free[0].name,))
        return done if free[0].signal(signal.SIGKILL) else None

    def _kill_all(self, fault: Fault) -> Done | None:
        targets = self._ground.targets()
        at = self._ground.server_now()
        killed = tuple(target.name for target in targets if target.signal(signal.SIGKILL))
        return Done(fault=fault, at=at, target=", ".join(killed), workers=killed) if killed else None

    def _kill_child(self, fault: Fault) -> Done | None:
        for target in self._shuffled():
            for pid in target.children()[:1]:
                done = self._done(fault, f"{target.name} child {pid}")
                if _kill_child(target, pid):
                    return done
        return None

    def _kill_task(self, fault: Fault) -> Done | None:
        for target in self._shuffled():
            for process, task in target.attempts(self._ground.run_id):
                done = self._done(fault, f"{target.name} process {process.pid}", task=task)
                process.kill()  # psutil looks at its start time first
                return done
        return None

    def _shuffled(self) -> list[Target]:
        free = self._free()
        self._rng.shuffle(free)
        return free

    def _pause_worker(self, fault: Fault) -> Done | None:
        for target in self._shuffled():
            guard = ContinueGuard(target)
            if target.signal(signal.SIGSTOP):
                return self._stand(fault, target, guard.release)
            guard.release()
        return None

    def _cut(self, fault: Fault) -> Done | None:
        for target in self._shuffled():
            if target.wire is not None:
                target.wire.cut(fault.direction)
                return self._stand(fault, target, target.wire.heal)
        return None

    def _stand(self, fault: Fault, target: Target, undo: Callable[[], object]) -> Done:
        done = self._done(fault, target.name)
        self._standing.append(_Standing(done, self._clock() + fault.duration_s, undo, target))
        return done

    def _kill_server(self, fault: Fault) -> Done | None:
        at = self._ground.server_now()
        target = self._ground.kill_server(fault.duration_s)
        return None if target is None else Done(fault=fault, at=at, target=target)

    def _restart_server(self, fault: Fault) -> Done | None:
        at = self._ground.server_now()
        target = self._ground.restart_server()
        return None if target is None else Done(fault=fault, at=at, target=target)


def _kill_child(target: Target, pid: int) -> bool:
    try:
        child = psutil.Process(pid)
        if child.ppid() != target.pid:
            return False
        child.kill()
    except psutil.Error:
        return False
    return True


_ACTS: dict[FaultKind, Callable[[Conductor, Fault], Done | None]] = {
    FaultKind.KILL_TASK: Conductor._kill_task,
    FaultKind.KILL_CHILD: Conductor._kill_child,
    FaultKind.KILL_WORKER: Conductor._kill_worker,
    FaultKind.KILL_ALL_WORKERS: Conductor._kill_all,
    FaultKind.PAUSE_WORKER: Conductor._pause_worker,
    FaultKind.KILL_SERVER: Conductor._kill_server,
    FaultKind.RESTART_SERVER: Conductor._restart_server,
    FaultKind.CUT_NETWORK: Conductor._cut,
}
