"""Every fault for itself, through the product's own code: nothing lost, nothing doubled, the evidence holds."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.arena import Ring, layers, marked

from taskexec.chaos import Direction, Fault, FaultKind

NewRing = Callable[..., Ring]

LEASE_S = 1.0

STRIKES = [
    Fault(kind=FaultKind.KILL_CHILD, ratio=0.2),
    Fault(kind=FaultKind.KILL_WORKER, ratio=0.2),
    Fault(kind=FaultKind.KILL_ALL_WORKERS, ratio=0.2),
    Fault(kind=FaultKind.PAUSE_WORKER, ratio=0.2, duration_s=2.0),
    Fault(kind=FaultKind.KILL_SERVER, ratio=0.2, duration_s=1.5),
    Fault(kind=FaultKind.RESTART_SERVER, ratio=0.2),
    Fault(kind=FaultKind.CUT_NETWORK, ratio=0.2, duration_s=0.5),
    Fault(kind=FaultKind.CUT_NETWORK, ratio=0.2, duration_s=2.0, direction=Direction.TO_SERVER),
    Fault(kind=FaultKind.CUT_NETWORK, ratio=0.2, duration_s=2.0, direction=Direction.TO_WORKER),
]


@pytest.mark.parametrize("fault", STRIKES, ids=lambda fault: fault.describe().replace(" ", "-"))
def test_run_gets_over(fault: Fault, ring: NewRing) -> None:
    there = ring(lease_s=LEASE_S)
    there.start_workers()
    there.submit(layers(marked(there.marks, "sleep 0.2"), count=4, width=5))

    report = there.finish(fault)

    assert [done.fault for done in report.faults] == [fault]
    assert (report.status, report.lost, report.doubled) == ("succeeded", (), ())
    assert report.verification["ok"], report.verification


def test_recovery_from_the_death_of_a_worker_takes_less_than_two_leases(ring: NewRing) -> None:
    there = ring(lease_s=2.0)
    there.start_workers(3)
    there.submit(layers(marked(there.marks, "sleep 0.3"), count=4, width=6))

    report = there.finish(Fault(kind=FaultKind.KILL_WORKER, ratio=0.2))

    (recovery,) = report.recoveries
    assert recovery.held > 0
    assert recovery.claimed_s is not None
    assert recovery.claimed_s < 2 * 2.0


def test_killed_process_of_a_task_is_a_failure_of_its_attempt(ring: NewRing) -> None:
    there = ring()
    there.start_workers(1)
    tasks = [{"id": "a", "command": marked(there.marks, "[ $TEK_ATTEMPT = 2 ] || sleep 300"), "retries": 1}]
    there.submit(tasks)
    there.await_file("a")

    report = there.finish(Fault(kind=FaultKind.KILL_TASK, ratio=0.0))

    assert (report.lost, report.doubled, report.reexecuted, report.attempts_lost) == ((), (), ("a",), 0)
    assert [entry["reason"] for entry in there.home.transitions("attempt_failed")] == ["signal"]
