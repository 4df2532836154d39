"""Tests of sizes as they are shown; how they are read is tested with the other amounts."""

from __future__ import annotations

import pytest

from taskexec.domain.sizes import parse_memory_mib, show_mib


@pytest.mark.parametrize(
    ("mib", "shown"),
    [(0, "0M"), (512, "512M"), (1024, "1G"), (24_105, "23.5G"), (3 * 1024**2, "3T"), (2**41, "2097152T")],
)
def test_size_is_shown_with_the_unit_that_leaves_few_digits(mib: int, shown: str) -> None:
    assert show_mib(mib) == shown


@pytest.mark.parametrize("mib", [0, 1, 1000, 4096, 2**20])
def test_whole_size_that_is_shown_can_be_read(mib: int) -> None:
    assert parse_memory_mib(show_mib(mib)) == mib
