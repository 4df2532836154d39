"""The manual clock stands still until it is moved, and only moves forwards."""

from __future__ import annotations

import pytest

from taskexec.testing.clock import ManualClock


def test_clock_stands_still_until_it_is_moved() -> None:
    clock = ManualClock(5)

    before = clock(), clock()
    clock.advance(0.000002)

    assert before == (5, 5)
    assert clock() == 7


def test_clock_is_never_moved_backwards() -> None:
    with pytest.raises(ValueError):
        ManualClock().advance(-1)
