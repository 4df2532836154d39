"""How what went wrong is told: `application/problem+json` with the codes and hints of `tek`.

| error | status |
|---|---|
| `UsageError` | 400 |
| `PlanRejected`, another `InputError` | 422 |
| `NotFound` | 404 |
| `Refused`, `NeedsUnmet`, `TasksBusy`, `TasksBlocked`, `ProtocolUnknown` | 409 |
| `EvidenceForeign` | 409 |
| `ConnectionLost` and other `ClusterError`, `KeyUnusable` | 503, with `Retry-After` where trying again helps |
| `EvidenceUnwritable` | 507 |
| `SettingsRejected`: those of the API itself | 500; what is wrong where is in the log only |
| a request that does not fit the specification | 400 (no JSON, no such query), 422 |
| anything else | 500, code `internal`; the traceback is in the log only |

Beside these the door itself has 401 and 403 (`access.…`), 405, 408, 411, 413, 415, 429, 431 and 503 (`request.…`,
`rate.…`, `server.…`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from taskexec.errors import (
    ClusterError,
    ConnectionLost,
    EvidenceForeign,
    EvidenceUnwritable,
    Fault,
    InputError,
    KeyUnusable,
    NotFound,
    PlanRejected,
    Refused,
    TekError,
    UsageError,
)
from taskexec.settings import SettingsRejected

__all__ = [
    "FAULTS_MAX",
    "PROBLEM_TYPE",
    "FaultModel",
    "PlaceModel",
    "Problem",
    "ProblemModel",
    "fault_to_json",
    "handle_problems",
    "problem_body",
    "problem_of",
    "told_problem",
]

PROBLEM_TYPE = "application/problem+json"
FAULTS_MAX = 500
"""Most faults in one answer; `detail` says how many there are."""

_RETRY_AFTER_S = 2
_log = logging.getLogger(__name__)
_STATUSES: tuple[tuple[type[TekError], int], ...] = (
    (NotFound, 404),
    (UsageError, 400),
    (KeyUnusable, 503),  # the key of the server: whoever asks can do nothing about it
    (InputError, 422),
    (Refused, 409),
    (EvidenceForeign, 409),
    (EvidenceUnwritable, 507),
    (ClusterError, 503),
)
"""The first that an error is an instance of counts."""
_CODES = {
    400: "request.malformed",
    401: "access.token",
    403: "access.role",
    404: "not_found",
    405: "request.method",
    406: "request.accept",
    408: "request.slow",
    411: "request.length",
    413: "request.size",
    415: "request.type",
    416: "request.range",
    422: "request.invalid",
    429: "rate.limit",
    500: "internal",
    503: "server.busy",
}


class PlaceModel(BaseModel):
    """Where in a file something stands."""

    file: str
    line: int = Field(description="From 1; 0 is the file as a whole.")
    column: int = Field(description="In characters, from 1; 0 is the line as a whole.")


class FaultModel(BaseModel):
    """One thing that is wrong."""

    code: str = Field(description="Stable name, such as `plan.cycle`.")
    message: str
    places: list[PlaceModel] = []
    hint: str | None = None
    field: str | None = Field(default=None, description="The part of the request that is meant, as `body.priority`.")


class ProblemModel(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = Field(description="`urn:taskexec:problem:` and the code.")
    title: str = Field(description="What the status means.")
    status: int = Field(ge=400, le=599)
    detail: str = Field(description="What is wrong, with the values in backticks.")
    code: str = Field(description="Stable name, as `tek` prints it.")
    hint: str | None = Field(default=None, description="What to do about it.")
    faults: list[FaultModel] = Field(default=[], description=f"Each thing that is wrong, at most {FAULTS_MAX}.")


class Problem(HTTPException):
    """An answer of a route that is no success."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        hint: str | None = None,
        faults: Sequence[Fault | Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Answer with a problem.

        Args:
            status: HTTP status, 400 to 599.
            code: Stable name, dotted.
            detail: What is wrong, in one sentence without a full stop.
            hint: What to do about it.
            faults: Each thing that is wrong, if there may be several.
            headers: Further headers of the answer.
        """
        super().__init__(status, detail, dict(headers or {}))
        self.code = code
        self.hint = hint
        self.faults = [fault_to_json(fault) if isinstance(fault, Fault) else fault for fault in faults[:FAULTS_MAX]]


def fault_to_json(fault: Fault) -> dict[str, Any]:
    """Return a fault as answers have it."""
    places = [{"file": place.file, "line": place.line, "column": place.column} for place in fault.places[:FAULTS_MAX]]
    return {"code": fault.code, "message": fault.message, "places": places, "hint": fault.hint}


def told_problem(error: TekError) -> Problem:
    """Return how an error of ours is answered; what is not for callers goes to the log."""
    if isinstance(error, ConnectionLost):
        _log.warning("%s", error.message)
    elif isinstance(error, SettingsRejected):
        for fault in error.faults():
            _log.error("%s", fault.render())
    return problem_of(error)


def problem_of(error: TekError) -> Problem:
    """Return how an error of ours is answered."""
    if isinstance(error, ConnectionLost):  # it names the server's address, and anybody may get to see this
        headers = {"Retry-After": str(_RETRY_AFTER_S)}
        hint = "try again in a moment; the log of the API says more"
        return Problem(503, error.code, "the server of the cluster does not answer", hint=hint, headers=headers)
    if isinstance(error, SettingsRejected):  # no plan is to blame, and where files of the server lie is not for callers
        hint = "tell whoever runs the API; its log says what is wrong"
        return Problem(500, error.code, "the settings of the API name a file that cannot be used", hint=hint)
    status = next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)
    faults = error.faults()
    only = faults[0] if len(faults) == 1 else None
    code = only.code if only is not None and not isinstance(error, PlanRejected) else error.code
    detail = only.message if only is not None else error.message
    return Problem(status, code, detail, hint=only.hint if only is not None else error.hint, faults=faults)


def problem_body(problem: Problem) -> bytes:
    """Return the document of a problem."""
    status = problem.status_code
    document = {
        "type": f"urn:taskexec:problem:{problem.code}",
        "title": _title(status),
        "status": status,
        "detail": problem.detail,
        "code": problem.code,
        "hint": problem.hint,
        "faults": problem.faults,
    }
    return orjson.dumps(_plain(document))


def _plain(value: Any) -> Any:
    """Return a value in which every text can be written as UTF-8: what came in may hold halves of pairs."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping):
        return {_plain(str(key)): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def _answer(problem: Problem) -> Response:
    return Response(
        problem_body(problem), status_code=problem.status_code, headers=problem.headers, media_type=PROBLEM_TYPE
    )


def handle_problems(app: FastAPI) -> None:
    """Have every error of an application answered as a problem."""

    async def of_ours(_: Request, error: Exception) -> Response:
        assert isinstance(error, TekError)
        return _answer(told_problem(error))

    async def of_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return _answer(error if isinstance(error, Problem) else _of_framework(request, error))

    async def of_validation(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return _answer(_of_validation(error))

    async def of_internal(_: Request, error: Exception) -> Response:
        return _answer(_INTERNAL)

    app.add_exception_handler(TekError, of_ours)
    app.add_exception_handler(HTTPException, of_http)
    app.add_exception_handler(RequestValidationError, of_validation)

    async def of_cut(_: Request, error: Exception) -> Response:
        return _answer(_CUT)  # which nobody reads

    app.add_exception_handler(ClientDisconnect, of_cut)
    app.add_exception_handler(Exception, of_internal)


_CUT = Problem(400, "request.cut", "the client went away before its request was whole")
_INTERNAL = Problem(500, "internal", "the server made a mistake", hint="its log says more; please report it")


def _of_framework(request: Request, error: HTTPException) -> Problem:
    """Return what the framework refuses by itself, in our words."""
    status = error.status_code
    headers = dict(error.headers or {})
    detail, hint = str(error.detail), None
    if status == 404:
        detail, hint = f"there is nothing at `{request.url.path}`", "`/api/v1/openapi.json` lists what there is"
    elif status == 405:
        headers["Allow"] = ", ".join(_methods_of(request)) or headers.get("Allow", "")
        detail, hint = f"`{request.method}` is not possible here", f"possible: {headers['Allow']}"
    elif status == 400:
        detail = detail[:1].lower() + detail[1:]
    return Problem(status, _CODES.get(status, "request"), detail, hint=hint, headers=headers)


def _methods_of(request: Request) -> list[str]:
    from starlette.routing import Match, Route

    found: set[str] = set()
    for route in _routes(request.app.router.routes):
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            found |= route.methods or set()
    return sorted(found)


def _routes(routes: Iterable[Any]) -> Iterable[Any]:
    for route in routes:
        yield route
        yield from _routes(getattr(getattr(route, "original_router", None), "routes", ()))


def _of_validation(error: RequestValidationError) -> Problem:
    details = list(error.errors())
    faults = [_validation_fault(detail) for detail in details]
    is_json = any(detail["type"] == "json_invalid" for detail in details)
    only = faults[0] if len(faults) == 1 else None
    return Problem(
        400 if is_json else 422,
        "request.json" if is_json else "request.invalid",
        only["message"] if only else f"{len(faults)} parts of the request cannot be used",
        hint="`/api/v1/openapi.json` says what each part may be",
        faults=faults,
    )


def _validation_fault(detail: Mapping[str, Any]) -> dict[str, Any]:
    where = ".".join(str(part) for part in detail["loc"] if not (detail["type"] == "json_invalid" and part != "body"))
    message = str(detail["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    if detail["type"] == "json_invalid":
        message = f"is no JSON: {detail.get('ctx', {}).get('error', message)}".lower()
    elif detail["type"] == "extra_forbidden":
        message = "is not known"
    return {
        "code": f"request.{detail['type']}",
        "message": f"`{where}`: {message[:1].lower()}{message[1:]}",
        "places": [],
        "hint": None,
        "field": where,
    }
