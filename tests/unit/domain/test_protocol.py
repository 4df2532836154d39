"""Which versions of the protocol go together."""

from __future__ import annotations

import pytest

from taskexec.domain.protocol import FIRST_PROTOCOL, PROTOCOL, understands, version_of


@pytest.mark.parametrize(
    ("version", "own", "expected"), [(3, 3, True), (2, 3, True), (4, 3, True), (5, 3, False), (1, 3, False)]
)
def test_a_version_goes_with_its_neighbours_only(version: int, own: int, expected: bool) -> None:
    assert understands(version, own=own) is expected


def test_own_version_is_understood() -> None:
    assert understands(PROTOCOL)


def test_version_0_is_understood_by_nobody() -> None:
    assert not understands(0, own=1)


@pytest.mark.parametrize(
    ("told", "version"), [(None, FIRST_PROTOCOL), (2, 2), (b"3", 3), ("4", 4), ("x", 0), (b"\xff", 0), (-1, 0), ("", 0)]
)
def test_version_is_read_from_whatever_names_it(told: object, version: int) -> None:
    assert version_of(told) == version
