"""Waiting for something that another process does, with a word about what was seen when it does not come."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["wait_until"]

T = TypeVar("T")

_FIRST_PAUSE_S = 0.005
_LONGEST_PAUSE_S = 0.1


def wait_until(
    condition: Callable[[], T], what: str, *, timeout_s: float = 10.0, diagnose: Callable[[], object] | None = None
) -> T:
    """Return the first true value of `condition`.

    Args:
        condition: Asked again and again until its value is true.
        what: What is waited for, as the end of the sentence "waited 10 s for …".
        timeout_s: Longest wait.
        diagnose: Describes what is there instead, for the failure.

    Raises:
        AssertionError: It did not become true in time; says what was there instead.
    """
    deadline = time.monotonic() + timeout_s
    pause_s = _FIRST_PAUSE_S
    while not (value := condition()):
        if time.monotonic() > deadline:
            seen = f"; there is {diagnose()!r}" if diagnose else f"; the last answer was {value!r}"
            raise AssertionError(f"waited {timeout_s:g} s for {what}{seen}")
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)
    return value
