"""The rules that scripts and memory twin share (the contract tests hold both against them)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskexec.domain import rules
from taskexec.domain.retry import NO_POLICY, RETRIED_BY_DEFAULT, AttemptPolicy
from taskexec.domain.rules import ClaimVerdict, CompletionVerdict, TaskState
from taskexec.domain.states import TaskStatus

STORED = sorted(set(TaskStatus) - {TaskStatus.WAITING})
STATES = st.builds(TaskState, st.sampled_from(STORED), st.integers(0, 999))


@given(state=STATES)
def test_state_survives_its_encoding(state: TaskState) -> None:
    assert TaskState.decode(state.encode()) == state


@pytest.mark.parametrize("text", ["", "W1", "R", "Rx", "1R"])
def test_text_that_is_no_state_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        TaskState.decode(text)


@pytest.mark.parametrize(
    ("state", "holds_lease", "verdict"),
    [
        ("Q2", False, ClaimVerdict.GRANTED),
        ("R2", True, ClaimVerdict.REPEATED),
        ("R2", False, ClaimVerdict.REFUSED),
        ("Q1", False, ClaimVerdict.REFUSED),
        ("Q3", True, ClaimVerdict.REFUSED),
        ("S2", True, ClaimVerdict.REFUSED),
        ("P0", False, ClaimVerdict.REFUSED),
        (None, False, ClaimVerdict.REFUSED),
    ],
)
def test_claim_is_judged_by_state_attempt_and_lease(
    state: str | None, holds_lease: bool, verdict: ClaimVerdict
) -> None:
    known = None if state is None else TaskState.decode(state)

    assert rules.judge_claim(known, 2, holds_lease=holds_lease) is verdict


@pytest.mark.parametrize(
    ("state", "succeeded", "verdict"),
    [
        ("R2", True, CompletionVerdict.ACCEPTED),
        ("R2", False, CompletionVerdict.ACCEPTED),
        ("S2", True, CompletionVerdict.REPEATED),
        ("F2", False, CompletionVerdict.REPEATED),
        ("S2", False, CompletionVerdict.LATE),
        ("S3", True, CompletionVerdict.LATE),
        ("R3", True, CompletionVerdict.LATE),
        ("Q2", True, CompletionVerdict.LATE),
        ("C2", True, CompletionVerdict.LATE),
        ("P0", True, CompletionVerdict.LATE),
        (None, True, CompletionVerdict.LATE),
    ],
)
def test_completion_is_judged_by_state_and_attempt(
    state: str | None, succeeded: bool, verdict: CompletionVerdict
) -> None:
    known = None if state is None else TaskState.decode(state)

    assert rules.judge_completion(known, 2, succeeded=succeeded, holds_lease=True) is verdict


def failure(reason: str = "exit", **fields: Any) -> rules.Failure:
    return rules.Failure(**({"run_id": "r", "index": 0, "attempt": 1, "reason": reason} | fields))


@given(retries=st.integers(0, 5), lost=st.integers(0, 5), before=st.integers(0, 5))
def test_task_fails_by_itself_once_more_than_it_has_retries(retries: int, lost: int, before: int) -> None:
    policy = AttemptPolicy(retries=retries)
    tries = [
        attempt
        for attempt in range(1 + lost + before, 30)
        if rules.fate_after(failure(attempt=attempt, lost=lost, before=before), policy, now_us=0).is_tried_again
    ]

    assert len(tries) == retries


@pytest.mark.parametrize("reason", ["lost_worker", "infrastructure"])
def test_loss_that_reaches_the_limit_is_for_good(reason: str) -> None:
    fates = [rules.fate_after(failure(reason, lost=lost, lost_max=3), NO_POLICY, now_us=0) for lost in (1, 2, 3, 4)]

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

    fate = rules.fate_after(failure(reason, exit_status=status, lost=lost), AttemptPolicy(retries=9, on=on), now_us=0)

    assert fate.is_tried_again is again


def delays(policy: AttemptPolicy, count: int = 4) -> list[int]:
    return [rules.fate_after(failure(attempt=n), policy, now_us=0).delay_us for n in range(1, count + 1)]


def test_delays_are_fixed_or_grow_by_the_factor_up_to_the_longest() -> None:
    assert delays(AttemptPolicy(retries=9, delay_us=10)) == [10, 10, 10, 10]
    assert delays(AttemptPolicy(retries=9, delay_us=10, factor=2)) == [10, 20, 40, 80]
    assert delays(AttemptPolicy(retries=9, delay_us=10, factor=2, max_us=30)) == [10, 20, 30, 30]


@given(delay=st.integers(0, 10**15), factor=st.floats(1, 1000), number=st.integers(1, 10**6), jitter=st.floats(0, 1))
def test_no_delay_is_negative_or_longer_than_a_hundred_years(
    delay: int, factor: float, number: int, jitter: float
) -> None:
    policy = AttemptPolicy(retries=10**7, delay_us=delay, factor=factor, jitter=jitter)

    found = rules.fate_after(failure(attempt=number), policy, now_us=0).delay_us

    assert 0 <= found <= 36525 * 86_400 * 10**6


def test_chance_takes_away_a_share_that_is_the_same_for_the_same_attempt() -> None:
    policy = AttemptPolicy(retries=9, delay_us=1000, jitter=1.0)

    drawn = delays(policy, 9)

    assert drawn == delays(policy, 9)
    assert len(set(drawn)) > 5
    assert all(0 <= delay <= 1000 for delay in drawn)


def test_lost_worker_is_replaced_at_once_and_a_fault_of_ours_waits_longer_each_time() -> None:
    lost = rules.fate_after(failure("lost_worker", lost=1), AttemptPolicy(delay_us=10), now_us=0)
    faults = [rules.fate_after(failure("infrastructure", lost=n), NO_POLICY, now_us=0).delay_us for n in (1, 2)]

    assert lost.delay_us == 0
    assert faults == [1_000_000, 2_000_000]


def test_task_whose_time_is_up_before_its_next_attempt_has_failed() -> None:
    policy = AttemptPolicy(retries=9, delay_us=10, budget_us=100)
    until = AttemptPolicy(retries=9, delay_us=10, deadline_us=1100)

    assert rules.fate_after(failure(first_us=1000), policy, now_us=1089).is_tried_again
    assert not rules.fate_after(failure(first_us=1000), policy, now_us=1090).is_tried_again
    assert not rules.fate_after(failure(), until, now_us=1090).is_tried_again


def test_time_left_is_what_ends_first() -> None:
    both = AttemptPolicy(budget_us=100, deadline_us=1050)

    assert rules.time_left_us(both, now_us=1000, first_us=1000) == 50
    assert rules.time_left_us(AttemptPolicy(budget_us=100), now_us=1070, first_us=1000) == 30
    assert rules.time_left_us(both, now_us=2000, first_us=1000) == 0
    assert rules.time_left_us(NO_POLICY, now_us=1, first_us=0) is None


@pytest.mark.parametrize(
    ("state", "running", "after"),
    [
        (None, False, "C0"),
        ("Q1", False, "C0"),
        ("H2", False, "C1"),
        ("Q3", True, "C2"),
        ("R2", True, "C2"),
        ("R2", False, None),
        ("S1", True, None),
        ("X0", True, None),
        ("C0", True, None),
        ("P0", True, None),
    ],
)
def test_stopping_cancels_with_the_number_of_started_attempts(
    state: str | None, running: bool, after: str | None
) -> None:
    known = None if state is None else TaskState.decode(state)

    cancelled = rules.cancelled_state(known, running=running)

    assert (cancelled and cancelled.encode()) == after


def test_skipping_goes_breadth_first_and_stops_at_settled_tasks() -> None:
    successors = {0: [1, 2], 1: [3, 4], 2: [3], 3: [5], 4: [6], 5: [], 6: []}

    skipped = rules.skipped_after(0, successors_of=successors.__getitem__, settled={4})

    assert list(skipped) == [1, 2, 3, 5]


@given(
    count=st.integers(1, 10_000),
    slots=st.integers(-1, 300),
    waiting=st.integers(0, 300),
    each_us=st.integers(0, 10**8),
    most=st.integers(1, 256),
)
def test_batch_is_never_empty_nor_above_its_limits(
    count: int, slots: int, waiting: int, each_us: int, most: int
) -> None:
    size = rules.batch_size(count, slots=slots, waiting=waiting, each_us=each_us, target_us=50_000, most=most)

    assert 1 <= size <= min(most, count)
    assert size == 1 or size * each_us <= 50_000


def test_measured_duration_follows_slowly() -> None:
    assert rules.average_duration(0, 100.4) == 100
    assert rules.average_duration(100, 200) == 130
    assert rules.duration_behind_a_long_one(0, target_us=50) == 50
    assert rules.duration_behind_a_long_one(80, target_us=50) == 80


@pytest.mark.parametrize(("last_us", "until_us"), [(0, 1100), (899, 1100), (900, 7), (1000, 7)])
def test_gap_between_rounds_gives_holders_one_lease(last_us: int, until_us: int) -> None:
    assert rules.calm_until(1000, last_us=last_us, calm_us=7, lease_us=100) == until_us


def test_message_is_popped_when_everything_in_its_list_is_younger() -> None:
    assert rules.is_popped(10, float("inf"))
    assert rules.is_popped(10, 11)
    assert not rules.is_popped(10, 10)
    assert not rules.is_popped(10, 9)


def test_completion_without_the_lease_is_late() -> None:
    running = rules.TaskState(TaskStatus.RUNNING, 2)

    verdict = rules.judge_completion(running, 2, succeeded=True, holds_lease=False)

    assert verdict is rules.CompletionVerdict.LATE
