"""The specification at `/api/v1/openapi.json`: what the framework writes, with the problems and the ways to log in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from taskexec.api.guard import SESSION_COOKIE
from taskexec.api.problems import PROBLEM_TYPE, ProblemModel

__all__ = ["specify"]

_DESCRIPTION = """Submit plans and tasks to a cluster, follow them, and steer them.

Programs send `Authorization: Bearer tek_…` with every request; `tek token new` makes a token. A browser logs in at
`/login`, and its requests that change something need the header `X-Tek-Request: 1`. What goes wrong is told as
`application/problem+json`, with the codes and hints of `tek`. Instants are ISO 8601 in UTC, `_s` are seconds, `_ms`
milliseconds. Lists go on at `next`.
"""

_TAGS = (
    ("runs", "Plans, and what becomes of them."),
    ("tasks", "Tasks of runs, and their attempts."),
    ("events", "What happens, as server-sent events."),
    ("evidence", "Logs, files and the ledger."),
    ("charts", "Runs as pages and charts show them: compact."),
    ("cluster", "Workers and queues."),
    ("access", "Sessions, tokens, and the record of changes."),
    ("health", "For whoever watches over the process."),
)

_PROBLEMS = {
    400: "What was sent cannot be read.",
    401: "No token, or one that does not count.",
    403: "The token is not for this.",
    404: "What is meant is not there.",
    408: "The request did not arrive in time.",
    409: "Understood, and not done: it does not go with how things stand.",
    413: "The body is too large.",
    415: "The body is of a type that is not read here.",
    416: "The range is outside of the file.",
    422: "What was sent has faults; all of them are listed.",
    429: "Too many requests; `Retry-After` says when to come back.",
    503: "The cluster or the server cannot do it now; `Retry-After` says when to come back.",
    507: "The evidence cannot be written.",
}
_OF_ALL = (400, 401, 403, 404, 422, 429, 503)
_OF_BODIES = (408, 409, 413, 415, 507)
_CHALLENGE = {"WWW-Authenticate": {"schema": {"type": "string"}, "description": "How to show a token."}}
_RETRY = {"Retry-After": {"schema": {"type": "string"}, "description": "Seconds."}}
_METHODS = frozenset({"get", "put", "post", "delete", "patch", "head"})


def specify(app: FastAPI) -> None:
    """Have an application answer with the whole specification."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _complete(
                get_openapi(
                    title="taskexec",
                    version="1",
                    description=_DESCRIPTION,
                    routes=app.routes,
                    tags=[{"name": name, "description": text} for name, text in _TAGS],
                )
            )
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # the way that the framework documents


def _complete(schema: dict[str, Any]) -> dict[str, Any]:
    components = schema.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    problem = ProblemModel.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= problem.pop("$defs", {})
    schemas["ProblemModel"] = problem
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    components["responses"] = {f"Problem{status}": _response(status, text) for status, text in _PROBLEMS.items()}
    components["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "A token of `tek token new`."},
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": SESSION_COOKIE,
            "description": "`POST /session` sets it; its name ends in `_` and the port of the address.",
        },
    }
    for operation in _operations(schema):
        _complete_operation(operation)
    return schema


def _operations(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in schema.get("paths", {}).values():
        yield from (operation for method, operation in path.items() if method in _METHODS)


def _complete_operation(operation: dict[str, Any]) -> None:
    operation.setdefault("security", [{"token": []}, {"session": []}])
    responses = operation.setdefault("responses", {})
    if "HTTPValidationError" in str(responses.get("422", "")):
        responses.pop("422")
    statuses = (*_OF_ALL, *_OF_BODIES) if "requestBody" in operation else (*_OF_ALL, 409)
    for status in statuses:
        responses.setdefault(str(status), {"$ref": f"#/components/responses/Problem{status}"})


def _response(status: int, text: str) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": text,
        "content": {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemModel"}}},
    }
    if status == 401:
        response["headers"] = _CHALLENGE
    if status in (429, 503):
        response["headers"] = _RETRY
    return response
