"""Which workers understand what is submitted."""

from __future__ import annotations

import pytest

from taskexec.errors import ProtocolUnknown
from taskexec.submission.versions import understanding


def test_workers_of_neighbouring_versions_count() -> None:
    rows = [{"protocol": 2}, {"protocol": 3}, {"protocol": 4}, {"protocol": 5}]

    assert understanding(rows, own=3) == rows[:3]


def test_worker_that_names_no_version_is_of_the_first() -> None:
    assert understanding([{}], own=2) == [{}]


def test_cluster_whose_workers_all_speak_unknown_versions_is_refused() -> None:
    with pytest.raises(ProtocolUnknown) as refused:
        understanding([{"protocol": 7}, {"protocol": 5}, {"protocol": 7}], own=3)

    assert (refused.value.versions, refused.value.exit_status) == ((5, 7), 4)


def test_cluster_without_workers_is_nobody_s_fault() -> None:
    assert understanding([], own=3) == []
