"""States: what is final, what may follow what, and how a run ends."""

from __future__ import annotations

from itertools import pairwise

import pytest

from taskexec.domain.states import (
    FINAL_RUN_STATUSES,
    FINAL_TASK_STATUSES,
    TASK_TRANSITIONS,
    RunStatus,
    TaskStatus,
    run_outcome,
)


def test_every_status_says_what_may_follow() -> None:
    assert set(TASK_TRANSITIONS) == set(TaskStatus)


@pytest.mark.parametrize("status", sorted(FINAL_TASK_STATUSES))
def test_nothing_follows_a_final_status(status: TaskStatus) -> None:
    assert TASK_TRANSITIONS[status] == frozenset()


def test_normal_path_is_legal() -> None:
    path = [TaskStatus.WAITING, TaskStatus.READY, TaskStatus.QUEUED, TaskStatus.RUNNING, TaskStatus.SUCCEEDED]

    assert all(after in TASK_TRANSITIONS[before] for before, after in pairwise(path))


def test_only_a_running_task_succeeds() -> None:
    before = {status for status, following in TASK_TRANSITIONS.items() if TaskStatus.SUCCEEDED in following}

    assert before == {TaskStatus.RUNNING}


def test_every_open_task_can_reach_an_end() -> None:
    for status in set(TaskStatus) - FINAL_TASK_STATUSES:
        assert TASK_TRANSITIONS[status] & FINAL_TASK_STATUSES


@pytest.mark.parametrize(
    ("failed", "cancelled", "outcome"),
    [(0, 0, RunStatus.SUCCEEDED), (0, 2, RunStatus.CANCELLED), (1, 0, RunStatus.FAILED), (1, 2, RunStatus.FAILED)],
)
def test_run_ends_with_the_gravest_outcome(failed: int, cancelled: int, outcome: RunStatus) -> None:
    assert run_outcome(failed=failed, cancelled=cancelled) is outcome
    assert outcome in FINAL_RUN_STATUSES
