"""Tests of the supervisor: a worker that dies is cleared up after, started again, and given up on in the end."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from taskexec.errors import WorkerFailed
from taskexec.runtime.supervisor import WorkerSupervisor, new_worker_name

WAITS = "import signal; signal.pause()"
DIES = "import sys; print('out of luck', file=sys.stderr); sys.exit(3)"


class Workers:
    """Fake workers: one program each time one is started; the last one is repeated."""

    def __init__(self, *programs: str) -> None:
        self._programs = list(programs)
        self.names: list[str] = []
        self.folders: list[Path] = []
        self.lost: list[str] = []

    def launch(self, name: str, scratch: Path) -> tuple[list[str], Mapping[str, str]]:
        self.names.append(name)
        self.folders.append(scratch)
        program = self._programs.pop(0) if len(self._programs) > 1 else self._programs[0]
        return [sys.executable, "-S", "-c", program], {"TEK_TEST": name}


Supervise = Callable[..., WorkerSupervisor]


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Supervise]:
    """Start a supervisor for fake workers."""
    supervisors: list[WorkerSupervisor] = []

    def started(workers: Workers, restart_limit: int = 20) -> WorkerSupervisor:
        supervisor = WorkerSupervisor(
            workers.launch, on_lost=workers.lost.append, restart_limit=restart_limit, log_path=tmp_path / "log"
        )
        supervisors.append(supervisor)
        supervisor.start()
        return supervisor

    yield started
    for supervisor in supervisors:
        supervisor.kill()


def test_live_worker_is_left_alone(supervise: Supervise) -> None:
    supervisor = supervise(workers := Workers(WAITS))

    assert supervisor.tend() is False
    assert workers.lost == []


def test_worker_that_died_is_told_lost_and_started_again_under_a_new_name(supervise: Supervise) -> None:
    supervisor = supervise(workers := Workers(DIES, WAITS))
    assert supervisor.wait(10) == 3

    assert supervisor.tend() is True

    assert workers.lost == [workers.names[0]]
    assert supervisor.name == workers.names[1] != workers.names[0]
    assert supervisor.restarts == 1
    assert supervisor.tend() is False


def test_scratch_folder_of_a_dead_worker_is_removed(supervise: Supervise) -> None:
    supervisor = supervise(workers := Workers(DIES, WAITS))
    supervisor.wait(10)
    supervisor.tend()

    assert [folder.exists() for folder in workers.folders] == [False, True]


def test_what_the_attempts_of_a_dead_worker_left_is_gone_before_the_next_one_starts(
    supervise: Supervise, tmp_path: Path, ends: Callable[[int], bool]
) -> None:
    leaves = f"""
import os, subprocess
environ = {{"TEK_WORKER": os.environ["TEK_TEST"], "TEK_SLOT": "1"}}
child = subprocess.Popen(["/bin/sleep", "60"], env=environ, start_new_session=True)
open({str(tmp_path / "pid")!r}, "w").write(str(child.pid))
os._exit(1)
"""
    supervisor = supervise(Workers(leaves, WAITS))
    supervisor.wait(10)

    supervisor.tend()

    assert ends(int((tmp_path / "pid").read_text()))


def test_restarts_are_limited(supervise: Supervise) -> None:
    supervisor = supervise(workers := Workers(DIES), restart_limit=1)
    supervisor.wait(10)
    supervisor.tend()
    supervisor.wait(10)

    with pytest.raises(WorkerFailed) as failed:
        supervisor.tend()

    assert len(workers.names) == 2
    assert "out of luck" in str(failed.value.hint)


def test_worker_that_never_starts_is_given_up_on_before_the_limit(supervise: Supervise) -> None:
    supervisor = supervise(workers := Workers(DIES), restart_limit=100)

    def tend_for_ever() -> None:
        while True:
            supervisor.wait(10)
            supervisor.tend()

    with pytest.raises(WorkerFailed):
        tend_for_ever()
    assert len(workers.names) == 5


def test_program_that_is_not_there_is_a_failed_worker(tmp_path: Path) -> None:
    supervisor = WorkerSupervisor(
        lambda name, scratch: ([str(tmp_path / "none")], {}), on_lost=print, restart_limit=1, log_path=None
    )

    with pytest.raises(WorkerFailed):
        supervisor.start()
    supervisor.kill()


def test_worker_asked_to_stop_ends(supervise: Supervise) -> None:
    supervisor = supervise(Workers(WAITS))

    supervisor.ask_to_stop()

    assert supervisor.wait(10) == -15


def test_killed_worker_is_gone_with_its_pool(supervise: Supervise, tmp_path: Path, ends: Callable[[int], bool]) -> None:
    with_child = f"""
import os, signal
child = os.fork()
if child:
    open({str(tmp_path / "pid")!r}, "w").write(str(child))
    os.kill(os.getpid(), signal.SIGSTOP)  # tells the test that the child is there
signal.pause()
"""
    supervisor = supervise(Workers(with_child))
    pid = supervisor.pid
    assert pid is not None
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)

    supervisor.kill()

    assert ends(pid)
    assert ends(int((tmp_path / "pid").read_text()))


def test_names_are_celerys_and_never_the_same() -> None:
    names = {new_worker_name() for _ in range(20)}

    assert len(names) == 20
    assert all(name.startswith("tek-") and name.count("@") == 1 for name in names)


def test_worker_that_has_left_in_order_is_not_started_again(supervise: Supervise) -> None:
    supervisor = supervise(workers := Workers("pass"))
    assert supervisor.wait(10.0) == 0

    assert supervisor.tend() is False
    assert supervisor.tend() is False

    assert (supervisor.has_left, supervisor.restarts, len(workers.names), workers.lost) == (True, 0, 1, [])
    assert not workers.folders[0].exists()


def test_worker_that_may_not_leave_is_started_again_when_it_has(supervise: Supervise) -> None:
    supervisor = supervise(workers := Workers("pass", WAITS))
    supervisor.may_leave = False
    assert supervisor.wait(10.0) == 0

    assert supervisor.tend() is True

    assert (supervisor.has_left, supervisor.restarts, len(workers.names)) == (False, 1, 2)
