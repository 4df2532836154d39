"""One API for all tests of this folder, on the cluster that they share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.isolation import Place, environment
from support.live import LiveCluster
from support.serving import ServedApi, served_api


@pytest.fixture(scope="session")
def served(shared_cluster: LiveCluster, shared_place: Place) -> Iterator[ServedApi]:
    """`tek api` in a process of its own; for tests that leave its settings and the workers as they are."""
    settings = {"rate": 10**6, "failure_rate": 10**5, "collect": False}  # the tests bring runs home themselves
    with environment(shared_place.environ()), served_api(shared_cluster, **settings) as served:
        yield served
