"""What may be a label of a worker."""

from __future__ import annotations

import pytest

from taskexec.domain.labels import label_problem


@pytest.mark.parametrize("label", ["ssd", "zone=a", "node:3/rack", "ä", "-", "x" * 64])
def test_visible_words_are_labels(label: str) -> None:
    assert label_problem(label) is None


@pytest.mark.parametrize("label", ["", " ", "a b", "a\u00a0b", "a\n", "\x00", "\u200b", "\ud800", "a,b", "x" * 65])
def test_what_parts_words_or_is_not_seen_is_none(label: str) -> None:
    assert label_problem(label)
