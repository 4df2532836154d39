"""One API for all tests of this folder, on a cluster with one worker; a browser for each module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser
from support.browser import Window, chromium, chromium_path, window
from support.isolation import environment, new_place
from support.live import LiveCluster, live_cluster
from support.serving import ServedApi, served_api


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApi]:
    """`tek api` in a process of its own, beside a worker of 4 slots."""
    chromium_path()
    tmp_path_factory.getbasetemp()  # before TMPDIR is another one for a while
    with (
        new_place() as place,
        environment(place.environ()),
        live_cluster(place) as live,
        served_api(live, rate=10**6, failure_rate=10**5) as served,
    ):
        live.start_worker(slots=4)
        yield served


@pytest.fixture(scope="session")
def live(served: ServedApi) -> LiveCluster:
    """The cluster that is served."""
    return served.live


@pytest.fixture(scope="module")
def browser(served: ServedApi) -> Iterator[Browser]:
    """A browser; what it shows are windows of their own."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def opened(browser: Browser, served: ServedApi) -> Iterator[Window]:
    """A window of an admin."""
    with window(browser, served) as opened:
        yield opened
