"""How a worker's slots move between their limits."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from taskexec.domain.pool_size import PoolLimits, PoolView, wanted_slots

LIMITS = PoolLimits(smallest=2, largest=8, load_limit=1.0, memory_left_mib=512, idle_s=60.0)
FULL = PoolView(slots=4, busy=4, waiting=9, load=0.5, memory_available_mib=4096, spare_s=0.0)


def test_widens_by_half_while_more_waits() -> None:
    assert wanted_slots(FULL, LIMITS) == 6


def test_widens_by_no_more_than_waits() -> None:
    assert wanted_slots(replace(FULL, waiting=1), LIMITS) == 5


def test_single_slot_widens_by_one() -> None:
    assert wanted_slots(replace(FULL, slots=1, busy=1), replace(LIMITS, smallest=1)) == 2


def test_never_widens_above_the_largest() -> None:
    assert wanted_slots(replace(FULL, slots=7, busy=7), LIMITS) == 8
    assert wanted_slots(replace(FULL, slots=8, busy=8), LIMITS) == 8


def test_does_not_widen_while_a_slot_is_free() -> None:
    assert wanted_slots(replace(FULL, busy=3), LIMITS) == 4


def test_does_not_widen_on_a_machine_that_is_loaded_or_short_of_memory() -> None:
    assert wanted_slots(replace(FULL, load=1.0), LIMITS) == 4
    assert wanted_slots(replace(FULL, memory_available_mib=511), LIMITS) == 4


def test_narrows_by_one_when_slots_were_spare_for_long_enough() -> None:
    idle = replace(FULL, busy=1, waiting=0, spare_s=60.0)

    assert wanted_slots(idle, LIMITS) == 3
    assert wanted_slots(replace(idle, spare_s=59.0), LIMITS) == 4


def test_never_narrows_below_what_is_busy_or_the_smallest() -> None:
    idle = replace(FULL, waiting=0, spare_s=999.0)

    assert wanted_slots(replace(idle, busy=4), LIMITS) == 4
    assert wanted_slots(replace(idle, slots=2, busy=0), LIMITS) == 2


def test_comes_back_within_changed_limits() -> None:
    assert wanted_slots(replace(FULL, slots=1, busy=0, waiting=0), LIMITS) == 2
    assert wanted_slots(replace(FULL, slots=12, busy=10), LIMITS) == 10


@given(
    slots=st.integers(1, 20),
    busy=st.integers(0, 20),
    waiting=st.integers(0, 100),
    load=st.floats(0, 3),
    memory=st.integers(0, 2000),
    spare_s=st.floats(0, 200),
)
def test_slots_stay_within_limits_and_busy_ones_are_never_taken(
    slots: int, busy: int, waiting: int, load: float, memory: int, spare_s: float
) -> None:
    busy = min(busy, slots)
    view = PoolView(slots=slots, busy=busy, waiting=waiting, load=load, memory_available_mib=memory, spare_s=spare_s)

    wanted = wanted_slots(view, LIMITS)

    assert wanted >= max(busy, LIMITS.smallest)
    assert wanted <= max(LIMITS.largest, busy)
