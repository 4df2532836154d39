"""A schedule follows from its seed, and gives every stretch of a run its share."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskexec.chaos import Direction, FaultKind, make_schedule

COUNTS = st.dictionaries(st.sampled_from(FaultKind), st.integers(0, 6))


@given(counts=COUNTS, seed=st.integers(0, 9999))
def test_schedule_holds_as_many_faults_of_each_kind_as_were_asked_for(counts: dict[FaultKind, int], seed: int) -> None:
    schedule = make_schedule(counts, seed=seed, lease_s=2.0)

    assert Counter(fault.kind for fault in schedule) == Counter(counts)


@given(counts=COUNTS, seed=st.integers(0, 9999))
def test_faults_are_in_order_and_leave_the_ends_of_a_run_alone(counts: dict[FaultKind, int], seed: int) -> None:
    ratios = [fault.ratio for fault in make_schedule(counts, seed=seed, lease_s=2.0)]

    assert ratios == sorted(ratios)
    assert all(0.05 <= ratio <= 0.85 for ratio in ratios)


@given(counts=COUNTS, seed=st.integers(0, 9999))
def test_same_seed_gives_the_same_schedule(counts: dict[FaultKind, int], seed: int) -> None:
    assert make_schedule(counts, seed=seed, lease_s=2.0) == make_schedule(counts, seed=seed, lease_s=2.0)


def test_another_seed_gives_another_schedule() -> None:
    counts = dict.fromkeys(FaultKind, 2)

    assert len({make_schedule(counts, seed=seed, lease_s=2.0) for seed in range(20)}) == 20


@given(seed=st.integers(0, 9999))
def test_no_two_faults_share_a_part_of_the_run(seed: int) -> None:
    schedule = make_schedule({FaultKind.KILL_WORKER: 8}, seed=seed, lease_s=2.0)

    parts = [int((fault.ratio - 0.05) / 0.8 * 8 + 1e-3) for fault in schedule]
    assert all(abs(part - number) <= 1 for number, part in enumerate(parts))


@given(seed=st.integers(0, 9999))
def test_pauses_are_longer_than_a_lease(seed: int) -> None:
    schedule = make_schedule({FaultKind.PAUSE_WORKER: 5}, seed=seed, lease_s=3.0)

    assert all(fault.duration_s > 3.0 for fault in schedule)


@given(seed=st.integers(0, 9999))
def test_three_cuts_go_both_ways_and_each_way_and_some_outlast_a_lease(seed: int) -> None:
    schedule = make_schedule({FaultKind.CUT_NETWORK: 3}, seed=seed, lease_s=2.0)

    assert {fault.direction for fault in schedule} == set(Direction)
    assert min(fault.duration_s for fault in schedule) < 2.0 < max(fault.duration_s for fault in schedule)


@pytest.mark.parametrize("kind", [FaultKind.KILL_TASK, FaultKind.KILL_WORKER, FaultKind.RESTART_SERVER])
def test_what_is_not_undone_has_no_length(kind: FaultKind) -> None:
    (fault,) = make_schedule({kind: 1}, seed=1, lease_s=2.0)

    assert fault.duration_s == 0.0
