"""The rules that scripts and memory twin share (the contract tests hold both against them)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskexec.domain import rules
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
