"""Problem documents of the API, turned back into the errors that they were made of."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from taskexec import errors
from taskexec.errors import (
    ClusterError,
    ConnectionLost,
    Fault,
    InputError,
    NeedsUnmet,
    NotFound,
    Place,
    PlanRejected,
    Refused,
    TekError,
)

__all__ = ["error_of"]

_CLASSES: Mapping[str, type[TekError]] = {
    kind.code: kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, TekError) and list(inspect.signature(kind.__init__).parameters)[1:2] == ["message"]
}
"""Errors by their codes, as far as a message makes them."""
_BY_STATUS: Mapping[int, type[TekError]] = {
    401: Refused,
    403: Refused,
    404: NotFound,
    409: Refused,
    429: ClusterError,
    503: ConnectionLost,
}
_FAULTY: Mapping[str, type[PlanRejected | NeedsUnmet]] = {kind.code: kind for kind in (PlanRejected, NeedsUnmet)}


def error_of(status: int, document: Any) -> TekError:
    """Return the error that an answer means.

    Args:
        status: HTTP status, 400 to 599.
        document: Its body, as JSON; whatever else it is, the status decides alone.
    """
    problem: Mapping[str, Any] = document if isinstance(document, Mapping) else {}
    code = str(problem.get("code") or "")
    faults = [_fault(fault) for fault in problem.get("faults") or () if isinstance(fault, Mapping)]
    faulty = _FAULTY.get(code) or (_FAULTY.get("plan.rejected") if _is_of_plan(status, faults) else None)
    if faulty is not None and faults:
        return faulty(faults)
    kind = _CLASSES.get(code) or _BY_STATUS.get(status) or (InputError if status < 500 else ClusterError)
    message = str(problem.get("detail") or f"the API answered with status {status}")
    hint = problem.get("hint")
    error = kind(message, hint=None if hint is None else str(hint))
    if code and error.code != code:
        error.code = code  # what only the API knows, such as a limit of its own
    return error


def _is_of_plan(status: int, faults: Sequence[Fault]) -> bool:
    return status in {400, 422} and any(fault.places for fault in faults)


def _fault(row: Mapping[str, Any]) -> Fault:
    places = tuple(
        Place(str(place.get("file", "")), int(place.get("line") or 0), int(place.get("column") or 0))
        for place in row.get("places") or ()
        if isinstance(place, Mapping)
    )
    return Fault(str(row.get("code", "")), str(row.get("message", "")), places, row.get("hint"))
