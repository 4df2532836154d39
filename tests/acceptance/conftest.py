"""The executable in a fresh place for each test, and one node that the tests of a session share."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.tek import Tek, tek_place

WORKLOADS = Path(__file__).parents[3] / "shared" / "workloads"


@pytest.fixture
def tek() -> Iterator[Tek]:
    with tek_place() as tek:
        yield tek


@pytest.fixture(scope="session")
def node() -> Iterator[Tek]:
    """A place in which a node with one worker of 3 slots is up."""
    with tek_place() as tek:
        outcome = tek("up", "--concurrency", 3, "--output", "json").expect(0)
        (tek.cwd / "up.json").write_text(json.dumps(outcome.json))
        yield tek
        tek.end_node()


@pytest.fixture(scope="session")
def workloads() -> Path:
    if not WORKLOADS.is_dir():
        pytest.skip(f"{WORKLOADS} is not there")
    return WORKLOADS
