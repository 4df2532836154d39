"""Refusing a whole file before anything in it is read."""

from __future__ import annotations

from taskexec.errors import Fault, Place, PlanRejected

__all__ = ["refused"]


def refused(code: str, message: str, place: Place, hint: str) -> PlanRejected:
    """Return the error of a file that cannot be read; its name ends the message."""
    return PlanRejected([Fault(code, f"{message}: `{place.file}`", (place,), hint)])
