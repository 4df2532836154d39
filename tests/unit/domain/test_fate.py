"""What follows an attempt that did not succeed (the contract tests hold scripts and memory twin against it)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskexec.domain.fate import Failure, fate_after, time_left_us
from taskexec.domain.retry import NO_POLICY, RETRIED_BY_DEFAULT, AttemptPolicy


def failure(reason: str = "exit", **fields: Any) -> Failure:
    return Failure(**({"run_id": "r", "index": 0, "attempt": 1, "reason": reason} | fields))


@given(retries=st.integers(0, 5), lost=st.integers(0, 5), before=st.integers(0, 5))
def test_task_fails_by_itself_once_more_than_it_has_retries(retries: int, lost: int, before: int) -> None:
    policy = AttemptPolicy(retries=retries)
    tries = [
        attempt
        for attempt in range(1 + lost + before, 30)
        if fate_after(failure(attempt=attempt, lost=lost, before=before), policy, now_us=0).is_tried_again
    ]

    assert len(tries) == retries


@pytest.mark.parametrize("reason", ["lost_worker", "infrastructure"])
def test_loss_that_reaches_the_limit_is_for_good(reason: str) -> None:
    fates = [fate_after(failure(reason, lost=lost, lost_max=3), NO_POLICY, now_us=0) for lost in (1, 2, 3, 4)]

    assert [fate.is_tried_again for fate in fates] == [True, True, False, False]


@pytest.mark.parametrize(
    ("on", "reason", "status", "again"),
    [
        (("exit",), "exit", 3, True),
        (("exit 75",), "exit", 75, True),
        (("exit 75",), "exit", 7, False),
        (("timeout", "exit 75"), "signal", None, False),
        (("exit",), "lost_worker", None, False),
        (("lost_worker",), "lost_worker", None, True),
        (RETRIED_BY_DEFAULT, "refused", None, False),
    ],
)
def test_policy_says_which_endings_are_tried_again(on: tuple[str, ...], reason: str, status: int, again: bool) -> None:
    lost = 1 if reason == "lost_worker" else 0

    fate = fate_after(failure(reason, exit_status=status, lost=lost), AttemptPolicy(retries=9, on=on), now_us=0)

    assert fate.is_tried_again is again


def delays(policy: AttemptPolicy, count: int = 4) -> list[int]:
    return [fate_after(failure(attempt=n), policy, now_us=0).delay_us for n in range(1, count + 1)]


def test_delays_are_fixed_or_grow_by_the_factor_up_to_the_longest() -> None:
    assert delays(AttemptPolicy(retries=9, delay_us=10)) == [10, 10, 10, 10]
    assert delays(AttemptPolicy(retries=9, delay_us=10, factor=2)) == [10, 20, 40, 80]
    assert delays(AttemptPolicy(retries=9, delay_us=10, factor=2, max_us=30)) == [10, 20, 30, 30]


@given(delay=st.integers(0, 10**15), factor=st.floats(1, 1000), number=st.integers(1, 10**6), jitter=st.floats(0, 1))
def test_no_delay_is_negative_or_longer_than_a_hundred_years(
    delay: int, factor: float, number: int, jitter: float
) -> None:
    policy = AttemptPolicy(retries=10**7, delay_us=delay, factor=factor, jitter=jitter)

    found = fate_after(failure(attempt=number), policy, now_us=0).delay_us

    assert 0 <= found <= 36525 * 86_400 * 10**6


def test_chance_takes_away_a_share_that_is_the_same_for_the_same_attempt() -> None:
    policy = AttemptPolicy(retries=9, delay_us=1000, jitter=1.0)

    drawn = delays(policy, 9)

    assert drawn == delays(policy, 9)
    assert len(set(drawn)) > 5
    assert all(0 <= delay <= 1000 for delay in drawn)


def test_lost_worker_is_replaced_at_once_and_a_fault_of_ours_waits_longer_each_time() -> None:
    lost = fate_after(failure("lost_worker", lost=1), AttemptPolicy(delay_us=10), now_us=0)
    faults = [fate_after(failure("infrastructure", lost=n), NO_POLICY, now_us=0).delay_us for n in (1, 2)]

    assert lost.delay_us == 0
    assert faults == [1_000_000, 2_000_000]


def test_task_whose_time_is_up_before_its_next_attempt_has_failed() -> None:
    policy = AttemptPolicy(retries=9, delay_us=10, budget_us=100)
    until = AttemptPolicy(retries=9, delay_us=10, deadline_us=1100)

    assert fate_after(failure(first_us=1000), policy, now_us=1089).is_tried_again
    assert not fate_after(failure(first_us=1000), policy, now_us=1090).is_tried_again
    assert not fate_after(failure(), until, now_us=1090).is_tried_again


def test_time_left_is_what_ends_first() -> None:
    both = AttemptPolicy(budget_us=100, deadline_us=1050)

    assert time_left_us(both, now_us=1000, first_us=1000) == 50
    assert time_left_us(AttemptPolicy(budget_us=100), now_us=1070, first_us=1000) == 30
    assert time_left_us(both, now_us=2000, first_us=1000) == 0
    assert time_left_us(NO_POLICY, now_us=1, first_us=0) is None
