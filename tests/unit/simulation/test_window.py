"""Tests of the window on what waits: its first ones, and how many of each kind are among them."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from taskexec.simulation.window import Window


@given(
    st.lists(st.integers(0, 60), unique=True, max_size=60), st.lists(st.integers(0, 59), max_size=60), st.integers(1, 8)
)
def test_window_holds_the_first_ones_and_counts_their_kinds(added: list[int], picks: list[int], size: int) -> None:
    window, there = Window[int](size, lambda value: value % 3), []

    for value in added:
        window.add(value)
        there.append(value)
        assert window.first == sorted(there)[:size]
        assert window.kinds == Counter(each % 3 for each in window.first)
    for pick in picks[: len(added)]:
        window.remove(there.pop(pick % len(there)))
        assert window.first == sorted(there)[:size]
        assert window.kinds == Counter(each % 3 for each in window.first)
