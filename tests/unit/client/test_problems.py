"""Tests of the errors that answers of the API are turned back into."""

from __future__ import annotations

from typing import Any

import pytest

from taskexec.api.problems import problem_body, problem_of
from taskexec.client.problems import error_of
from taskexec.errors import (
    ClusterError,
    ConnectionLost,
    Fault,
    InputError,
    KeyUnusable,
    NeedsUnmet,
    NotFound,
    Place,
    PlanRejected,
    Refused,
    TasksBusy,
    TekError,
    UsageError,
)

FAULT = Fault("plan.cycle", "tasks `a` and `b` wait for each other", (Place("p.csv", 3, 1), Place("p.csv", 4)), "look")


@pytest.mark.parametrize(
    "error",
    [
        PlanRejected([FAULT]),
        PlanRejected([FAULT, Fault("csv.ragged", "a row is short", (Place("p.csv", 9),))]),
        NeedsUnmet([Fault("needs.unmet", "task `a` can never run", (), "start a worker")]),
        NotFound("there is no run `x`", hint="list them"),
        UsageError("no"),
        KeyUnusable("damaged"),
        Refused("not here"),
        TasksBusy("they run"),
        ClusterError("broken"),
    ],
)
def test_error_that_went_over_the_api_is_the_same(error: TekError) -> None:
    import orjson

    problem = problem_of(error)

    again = error_of(problem.status_code, orjson.loads(problem_body(problem)))

    assert type(again) is type(error)
    assert list(again.faults()) == list(error.faults())
    assert (again.code, again.hint, again.exit_status) == (error.code, error.hint, error.exit_status)


def test_lost_server_is_told_as_such_and_not_where_it_is() -> None:
    import orjson

    problem = problem_of(ConnectionLost("redis://10.0.0.1 does not answer", hint="look at redis.url"))

    again = error_of(problem.status_code, orjson.loads(problem_body(problem)))

    assert type(again) is ConnectionLost
    assert "redis" not in again.message


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "access.token", Refused),
        (403, "access.role", Refused),
        (409, "evidence.pending", Refused),
        (413, "request.size", InputError),
        (422, "request.invalid", InputError),
        (429, "rate.limit", ClusterError),
        (500, "internal", ClusterError),
        (502, "", ClusterError),
        (503, "server.busy", ConnectionLost),
    ],
)
def test_code_that_only_the_api_has_is_kept(status: int, code: str, kind: type[TekError]) -> None:
    error = error_of(status, {"code": code, "detail": "why", "hint": "what"})

    assert type(error) is kind
    assert (error.message, error.hint) == ("why", "what")
    assert error.code == (code or kind.code)
    assert kind.code != "rate.limit"  # that of its class is as it was


@pytest.mark.parametrize("document", [None, [], "x", 5, {}, {"faults": [3], "code": 7, "detail": None}])
@pytest.mark.parametrize("status", [400, 404, 418, 500, 599])
def test_answer_that_is_no_problem_document_is_an_error_all_the_same(status: int, document: Any) -> None:
    error = error_of(status, document)

    assert isinstance(error, TekError)
    assert str(status) in error.message
