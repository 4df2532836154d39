"""A server and a worker that the tests of one session share, and fresh ones for those that do harm."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from support.isolation import Place, environment, new_place
from support.live import LiveCluster, live_cluster

STEPS = """
import os
import subprocess

def make(n):
    return {"n": n}

def total(inputs):
    return sum(value["n"] for value in inputs.values())

def fail():
    raise ValueError("no such luck")

def grow_tree(pids):
    branch = f"echo $$ >> {pids}; sh -c 'echo $$ >> {pids}; exec sleep 300'; true"
    with open(pids, "a") as file:
        file.write(f"{os.getpid()}\\n")
    subprocess.run(["sh", "-c", branch])
"""


@pytest.fixture(scope="session", autouse=True)
def own_temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Have pytest choose its own folder before TMPDIR is another one for a while."""
    tmp_path_factory.getbasetemp()


@pytest.fixture(scope="session")
def shared_place() -> Iterator[Place]:
    with new_place() as place:
        yield place


@pytest.fixture(scope="session")
def shared_cluster(shared_place: Place) -> Iterator[LiveCluster]:
    with environment(shared_place.environ()), live_cluster(shared_place) as cluster:
        (cluster.project / "steps.py").write_text(STEPS)
        cluster.start_worker(slots=4)
        yield cluster


@pytest.fixture
def live(shared_cluster: LiveCluster, shared_place: Place) -> Iterator[LiveCluster]:
    """The shared server and its worker of 4 slots; only for tests that leave both as they are."""
    with environment(shared_place.environ()):
        yield shared_cluster


@pytest.fixture
def fresh() -> Iterator[Callable[..., LiveCluster]]:
    """Starts a server for one test, without workers; keywords are settings, with `__` for the dot."""
    with ExitStack() as stack:

        def start(**settings: object) -> LiveCluster:
            place = stack.enter_context(new_place())
            stack.enter_context(environment(place.environ()))
            dotted = {name.replace("__", "."): value for name, value in settings.items()}
            return stack.enter_context(live_cluster(place, **dotted))

        yield start
