"""A soak: random faults at a steady load, for as long as TEK_SOAK_S says (seconds; two minutes unless it is set).

`make soak` runs it; `make soak SOAK_S=3600` for an hour. Each round is a run of its own with a seed of its own, which
is printed: `tek chaos` with the same plan and seed makes the same schedule again.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable

import pytest
from support.arena import Ring, layers, marked

from taskexec.chaos import Fault, FaultKind, make_schedule

SOAK_S = float(os.environ.get("TEK_SOAK_S", "120"))
LEASE_S = 1.0
LONGEST_ROUND_S = 90.0


def faults(rng: random.Random, seed: int) -> tuple[Fault, ...]:
    """Return four to eight faults of any kinds, but those that would count as failures of tasks."""
    kinds = [kind for kind in FaultKind if kind is not FaultKind.KILL_TASK]
    counts = dict.fromkeys(kinds, 0)
    for kind in rng.choices(kinds, k=rng.randint(4, 8)):
        counts[kind] += 1
    return make_schedule(counts, seed=seed, lease_s=LEASE_S)


@pytest.mark.slow
@pytest.mark.timeout(SOAK_S + 2 * LONGEST_ROUND_S)
def test_nothing_is_lost_or_doubled_whatever_happens(ring: Callable[..., Ring]) -> None:
    there = ring(lease_s=LEASE_S, worker__max_attempts=100, worker__restart_limit=10_000)
    there.start_workers(3, slots=2)
    rng = random.Random(int(os.environ.get("TEK_SOAK_SEED", str(random.randrange(10**6)))))
    until = time.monotonic() + SOAK_S
    rounds = 0
    while time.monotonic() < until:
        seed = rng.randrange(10**6)
        there.new_marks()
        there.submit(layers(marked(there.marks, "sleep 0.15"), count=10, width=12))
        schedule = faults(rng, seed)

        report = there.finish(*schedule, seed=seed, timeout_s=LONGEST_ROUND_S)

        rounds += 1
        happened = ", ".join(done.fault.describe() for done in report.faults)
        told = f"{report.attempts_lost} attempts lost, {report.late_results_refused} late results refused"
        worst = f"longest recovery {report.worst_recovery_s or 0.0:.2f} s"
        sys.stdout.write(f"round {rounds}, seed {seed}: {happened}; {told}, {worst}\n")
        assert (report.lost, report.doubled, report.status) == ((), (), "succeeded"), (seed, report)
        assert report.verification["ok"], (seed, report.verification)
    assert rounds
