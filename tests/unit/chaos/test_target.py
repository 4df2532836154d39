"""A target is a process by id and start time: nothing is ever sent to another one."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace

import psutil
import pytest
from support.live import make_plan
from support.waiting import wait_until

from taskexec.chaos import Direction, Fault, FaultKind, with_tries
from taskexec.chaos.target import ContinueGuard, Target


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A process with a child, in a session of its own, as a worker with its pool is."""
    with subprocess.Popen(["/bin/sh", "-c", "sleep 300 & wait"], start_new_session=True) as process:
        wait_until(lambda: psutil.Process(process.pid).children(), "the child")
        yield process
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def target_of(process: subprocess.Popen[bytes]) -> Target:
    target = Target.of("w1", process.pid)
    assert target is not None
    return target


def status(pid: int) -> str:
    return str(psutil.Process(pid).status())


def test_signal_reaches_the_whole_group(process: subprocess.Popen[bytes]) -> None:
    target = target_of(process)
    (child,) = target.children()

    assert target.signal(signal.SIGKILL)

    wait_until(lambda: not psutil.pid_exists(child) or status(child) == psutil.STATUS_ZOMBIE, "the child's end")
    assert process.wait() == -signal.SIGKILL
    assert not target.is_alive


def test_process_that_only_has_the_same_id_gets_nothing(process: subprocess.Popen[bytes]) -> None:
    former = replace(target_of(process), created=target_of(process).created - 1)

    sent = former.signal(signal.SIGKILL)

    assert (sent, former.is_alive, former.children()) == (False, False, [])
    assert process.poll() is None


def test_process_that_has_ended_is_no_target(process: subprocess.Popen[bytes]) -> None:
    target = target_of(process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()

    assert Target.of("w1", process.pid) is None
    assert not target.signal(signal.SIGSTOP)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can start a process of another user")
def test_process_of_another_user_is_no_target() -> None:
    with subprocess.Popen(["sleep", "300"], user=65534) as process:
        found = Target.of("w1", process.pid)
        process.kill()

    assert found is None


def test_released_guard_has_the_worker_go_on(process: subprocess.Popen[bytes]) -> None:
    target = target_of(process)
    guard = ContinueGuard(target)
    target.signal(signal.SIGSTOP)
    wait_until(lambda: status(process.pid) == psutil.STATUS_STOPPED, "a stopped process")

    guard.release()

    wait_until(lambda: status(process.pid) != psutil.STATUS_STOPPED, "a process that goes on")


def test_worker_goes_on_when_the_owner_of_its_guard_dies(process: subprocess.Popen[bytes]) -> None:
    guard = ContinueGuard(target_of(process))
    os.killpg(process.pid, signal.SIGSTOP)
    wait_until(lambda: status(process.pid) == psutil.STATUS_STOPPED, "a stopped process")
    waiter = guard._waiter
    assert waiter.stdin is not None

    waiter.stdin.close()  # what the kernel does when its owner dies
    waiter.wait()

    wait_until(lambda: status(process.pid) != psutil.STATUS_STOPPED, "a process that goes on")


def test_fault_is_described_by_kind_direction_and_length() -> None:
    cut = Fault(kind=FaultKind.CUT_NETWORK, ratio=0.1, duration_s=4.0, direction=Direction.TO_WORKER)

    assert cut.describe() == "cut_network to_worker 4.0 s"
    assert Fault(kind=FaultKind.KILL_WORKER, ratio=0.1).describe() == "kill_worker"


def test_tries_are_added_after_signals_to_every_task() -> None:
    plan = make_plan([{"id": "a", "command": "true", "retries": 1}, {"id": "b", "command": "true"}])
    stubborn = plan.tasks[1]._replace(retry=plan.tasks[1].retry._replace(on=("timeout",)))
    plan = replace(plan, tasks=(plan.tasks[0], stubborn))

    found = with_tries(plan, 2)

    assert [task.retries for task in found.tasks] == [3, 2]
    assert found.tasks[1].retry.on == ("timeout", "signal")
    assert with_tries(plan, 0) is plan
