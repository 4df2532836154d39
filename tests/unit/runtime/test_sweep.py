"""Tests of the sweep: only processes of our worker's attempts are killed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator

import pytest

from taskexec.runtime.sweep import end_all, end_orphans, left_by

WORKER = f"tek-sweep-{os.getpid()}@here"
Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a process that waits, with these variables."""
    processes: list[subprocess.Popen[bytes]] = []

    def started(**variables: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(["/bin/sleep", "60"], env=variables, start_new_session=True)
        processes.append(process)
        return process

    yield started
    for process in processes:
        process.kill()
        process.wait()


def has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Return whether a process is gone; its status may have been collected by the sweep."""
    return process.poll() is not None


@pytest.fixture
def dead_pid() -> int:
    process = subprocess.Popen(["/bin/true"])
    process.wait()
    return process.pid


def test_all_that_a_worker_left_is_killed_and_nothing_else(start: Start) -> None:
    ours = [start(TEK_WORKER=WORKER, TEK_SLOT=str(os.getpid())), start(TEK_WORKER=WORKER)]
    theirs = [start(TEK_WORKER=f"{WORKER}.2"), start(TEK_SLOT="1"), start()]

    killed = end_all(WORKER)

    assert killed == 2
    assert all(has_ended(process) for process in ours)
    assert [process.poll() for process in theirs] == [None, None, None]


def test_orphans_are_those_whose_pool_child_is_gone(start: Start, dead_pid: int) -> None:
    orphan = start(TEK_WORKER=WORKER, TEK_SLOT=str(dead_pid))
    attended = start(TEK_WORKER=WORKER, TEK_SLOT=str(os.getpid()))

    killed = end_orphans(WORKER)

    assert killed == 1
    assert has_ended(orphan)
    assert attended.poll() is None


def test_orphan_of_a_pool_child_that_nobody_has_collected_counts(start: Start) -> None:
    with subprocess.Popen(["/bin/true"]) as zombie:
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
        orphan = start(TEK_WORKER=WORKER, TEK_SLOT=str(zombie.pid))

        end_orphans(WORKER)

    assert has_ended(orphan)


def test_nothing_left_is_nothing_killed() -> None:
    assert end_all(f"{WORKER}.none") == 0
    assert list(left_by(f"{WORKER}.none")) == []
