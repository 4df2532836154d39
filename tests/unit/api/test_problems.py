"""Tests of how errors are told over HTTP."""

from __future__ import annotations

import json

import pytest

from taskexec.api.problems import FAULTS_MAX, Problem, problem_body, problem_of, told_problem
from taskexec.errors import (
    ClusterError,
    ConnectionLost,
    EvidenceForeign,
    EvidenceUnwritable,
    Fault,
    InputError,
    KeyUnusable,
    NeedsUnmet,
    NotFound,
    Place,
    PlanRejected,
    ProtocolUnknown,
    Refused,
    ServerFailed,
    TasksBlocked,
    TasksBusy,
    TekError,
    UsageError,
)
from taskexec.settings import SettingsRejected

FAULT = Fault("plan.cycle", "they wait for each other", (Place("a.csv", 3, 4),), "break it")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InputError("x"), 422),
        (PlanRejected([FAULT]), 422),
        (UsageError("x"), 400),
        (NotFound("x"), 404),
        (Refused("x"), 409),
        (NeedsUnmet([FAULT]), 409),
        (ProtocolUnknown([1], own=2), 409),
        (TasksBusy("x"), 409),
        (TasksBlocked("x"), 409),
        (EvidenceForeign("x"), 409),
        (KeyUnusable("x"), 503),
        (ClusterError("x"), 503),
        (ServerFailed("x"), 503),
        (ConnectionLost("x"), 503),
        (EvidenceUnwritable("x"), 507),
        (SettingsRejected([FAULT]), 500),
        (TekError("x"), 500),
    ],
)
def test_error_has_its_status_and_the_code_of_tek(error: TekError, status: int) -> None:
    problem = problem_of(error)

    assert problem.status_code == status
    if not isinstance(error, NeedsUnmet):
        assert problem.code == error.code


def test_faults_of_the_settings_are_told_to_the_log_alone(caplog: pytest.LogCaptureFixture) -> None:
    problem = told_problem(SettingsRejected([FAULT]))

    assert "a.csv" not in problem_body(problem).decode()
    assert "a.csv:3:4" in caplog.text


def test_only_what_may_pass_by_itself_says_when_to_come_back() -> None:
    assert problem_of(ConnectionLost("x")).headers == {"Retry-After": "2"}
    assert problem_of(ServerFailed("x")).headers == {}


def test_faults_have_places_by_parts() -> None:
    document = json.loads(problem_body(problem_of(PlanRejected([FAULT, FAULT]))))

    assert (
        document["faults"]
        == [
            {
                "code": "plan.cycle",
                "message": "they wait for each other",
                "places": [{"file": "a.csv", "line": 3, "column": 4}],
                "hint": "break it",
            }
        ]
        * 2
    )
    assert document["detail"] == "2 faults in the plan"


def test_very_many_faults_are_cut() -> None:
    assert len(problem_of(PlanRejected([FAULT] * 2_000)).faults) == FAULTS_MAX


def test_what_is_no_unicode_can_be_told() -> None:
    document = json.loads(problem_body(Problem(404, "not_found", "there is no `\ud800`")))

    assert document["detail"] == r"there is no `\ud800`"
