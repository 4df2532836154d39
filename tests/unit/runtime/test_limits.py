"""Tests of what attempts may use and are told: allowances, cores, the enclosure's commands, GPUs, memory in /proc."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from taskexec.domain.program import Grant, Rank
from taskexec.domain.states import Reason
from taskexec.placement.nvml import Nvml
from taskexec.runtime.confinement import Confinement, Confiner
from taskexec.runtime.cores import CoreShares, choose_cores
from taskexec.runtime.gpu_meter import GpuMeter
from taskexec.runtime.limits import NO_ALLOWANCE, Allowance, LimitPolicy
from taskexec.runtime.process import Enclosure
from taskexec.runtime.session import SessionMemory

PAGE = os.sysconf("SC_PAGE_SIZE")
MIB = 2**20


def grant(cpus: int = 1000, memory_mib: int = 0, gpus: tuple[int, ...] = (), share: int = 1000) -> Grant:
    return Grant(cpus, memory_mib, 0, share, 8192 if gpus else 0, False, (Rank("w", gpus),))


def test_programs_are_told_of_their_cores_where_the_user_has_not_said_otherwise() -> None:
    variables = Allowance.of(grant(2500), ()).variables({"MKL_NUM_THREADS": "7"})

    assert (variables["TEK_CPUS"], variables["OMP_NUM_THREADS"]) == ("2.5", "2")
    assert "MKL_NUM_THREADS" not in variables


def test_part_of_a_core_is_one_thread() -> None:
    assert Allowance.of(grant(250), ()).variables({})["OMP_NUM_THREADS"] == "1"


def test_programs_see_the_gpus_that_they_were_given_by_uuid() -> None:
    variables = Allowance.of(grant(gpus=(2, 0)), ("GPU-a", "GPU-b", "GPU-c")).variables({"CUDA_VISIBLE_DEVICES": "1"})

    assert variables["CUDA_VISIBLE_DEVICES"] == "GPU-c,GPU-a"
    assert (variables["TEK_GPUS"], variables["TEK_GPU_MEMORY_MIB"]) == ("2", "8192")


@pytest.mark.parametrize(
    ("allowance", "policy", "is_confined", "is_particular"),
    [
        (NO_ALLOWANCE, LimitPolicy(), False, False),
        (Allowance(cpus=1000), LimitPolicy(), False, False),
        (Allowance(cpus=1000), LimitPolicy(cpu="affinity"), True, True),
        (Allowance(cpus=2000), LimitPolicy(), True, True),
        (Allowance(cpus=1000, memory_mib=1), LimitPolicy(), True, True),
        (Allowance(cpus=1000, gpus=("GPU-a",)), LimitPolicy(), True, True),
        (NO_ALLOWANCE, LimitPolicy(nice=1), True, False),
    ],
)
def test_only_who_was_given_something_or_is_limited_is_confined(
    allowance: Allowance, policy: LimitPolicy, is_confined: bool, is_particular: bool
) -> None:
    confiner = Confiner("w", policy)

    assert (confiner.is_needed(allowance), confiner.is_particular(allowance)) == (is_confined, is_particular)


def test_enclosure_enters_its_groups_before_anything_else() -> None:
    enclosure = Enclosure(entries=["/g/a b/cgroup.procs"], file_size_mib=2, nice=3)

    assert enclosure.script() == "echo 0 > '/g/a b/cgroup.procs' || exit 125\nulimit -f 4096\n"
    assert enclosure.program() == 'exec nice -n 3 "$@"'


@pytest.mark.parametrize(
    ("taken", "cpus", "chosen"),
    [
        ([], 1000, {0}),
        ([([0], 1000)], 1000, {1}),
        ([([0], 1000)], 2500, {1, 2, 3}),
        ([([0], 500)], 500, {0}),
        ([([0], 600)], 500, {1}),
        ([([0, 1, 2, 3], 4000)], 1000, {0}),
        ([], 9000, {0, 1, 2, 3}),
    ],
)
def test_attempts_get_cores_of_their_own_where_they_fit(
    taken: list[tuple[list[int], int]], cpus: int, chosen: set[int]
) -> None:
    assert choose_cores(range(4), taken, cpus) == chosen


def test_cores_of_a_child_that_is_gone_are_free_again(tmp_path: Path) -> None:
    (tmp_path / "cores.json").write_text(f'[[1, "1", {sorted(os.sched_getaffinity(0))}, 1000000]]')
    shares = CoreShares(tmp_path / "cores.json", is_alive=lambda pid: pid == os.getpid())

    first = shares.take("1", 500)
    second = shares.take("2", 500)
    shares.give_back("1")
    shares.give_back("2")

    assert first == second  # half a core each
    assert (tmp_path / "cores.json").read_text() == "[]"


DAMAGED = [b'[[1, "1", [0', b"\xff\0", b"{}", b"[1]", b'[["1", 1, 0, []]]', b'[[1, "1", ["0"], 1000]]', b"[" * 100_000]


@pytest.mark.parametrize("found", DAMAGED)
def test_damaged_file_of_cores_is_set_aside_once_and_begun_anew(
    tmp_path: Path, found: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cores.json").write_bytes(found)
    shares = CoreShares(tmp_path / "cores.json")

    chosen = shares.take("1", 1000)
    shares.take("2", 1000)
    shares.give_back("2")

    assert len(chosen) == 1
    assert json.loads((tmp_path / "cores.json").read_text()) == [[os.getpid(), "1", sorted(chosen), 1000]]
    assert (tmp_path / "cores.json.damaged").read_bytes() == found
    assert len(caplog.records) == 1


_TAKING = """
import sys
from pathlib import Path
from taskexec.runtime.cores import CoreShares
shares = CoreShares(Path(sys.argv[1]))
sys.stdin.readline()
shares.take("1", 1000)
print(flush=True)
sys.stdin.readline()
"""


def test_damaged_file_of_cores_is_repaired_once_by_children_at_once(tmp_path: Path) -> None:
    path = tmp_path / "cores.json"
    path.write_bytes(b"[[")
    pipe = subprocess.PIPE
    argv = [sys.executable, "-c", _TAKING, str(path)]
    children = [subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(4)]
    try:
        for word in ("take", "end"):
            for child in children:
                assert child.stdin is not None
                child.stdin.write(f"{word}\n")
                child.stdin.flush()
            if word == "take":
                for child in children:
                    assert child.stdout is not None
                    child.stdout.readline()
                entries = json.loads(path.read_text())
        told = [child.communicate(timeout=30)[1] for child in children]
    finally:
        for child in children:
            child.kill()
            child.communicate()

    assert {entry[0] for entry in entries} == {child.pid for child in children}
    assert sum("begun anew" in text for text in told) == 1


class FakeProc:
    """Processes as /proc shows them."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(self, pid: int, *, parent: int, session: int, resident_mib: int, started: int = 5) -> None:
        folder = self.root / str(pid)
        folder.mkdir(parents=True, exist_ok=True)
        fields = ["0"] * 40
        fields[0], fields[1], fields[3], fields[11] = "S", str(parent), str(session), "100"
        fields[19], fields[21] = str(started), str(resident_mib * MIB // PAGE)
        (folder / "stat").write_text(f"{pid} (a ) b) {' '.join(fields)}\n")
        (folder / "smaps_rollup").write_text(f"head\nPss:  {resident_mib * 512} kB\n")  # half of it is shared


def test_memory_of_a_session_counts_who_has_left_it(tmp_path: Path) -> None:
    proc, memory = FakeProc(tmp_path), SessionMemory(tmp_path)
    proc.add(10, parent=1, session=10, resident_mib=1)
    proc.add(11, parent=10, session=11, resident_mib=2)
    proc.add(12, parent=11, session=11, resident_mib=4)
    proc.add(90, parent=1, session=90, resident_mib=8)
    first = memory.measure(10)
    proc.add(11, parent=1, session=11, resident_mib=2)  # its parent has ended
    proc.add(12, parent=1, session=11, resident_mib=4, started=6)  # another process with the same number

    assert first == 7 * MIB
    assert memory.measure(10) == 3 * MIB
    assert memory.pids() == {10, 11}
    assert memory.cpu_s == 3 * 100 / os.sysconf("SC_CLK_TCK")


def due(confinement: Confinement) -> Confinement:
    confinement._next = 0.0
    return confinement


@pytest.mark.parametrize(("resident_mib", "reason"), [(300, Reason.OUT_OF_MEMORY), (190, None), (50, None)])
def test_watched_attempt_ends_when_it_really_holds_more_than_it_may(
    tmp_path: Path, resident_mib: int, reason: Reason | None
) -> None:
    FakeProc(tmp_path).add(10, parent=1, session=10, resident_mib=resident_mib)
    confinement = Confinement(enclosure=Enclosure(), watched_mib=100, session=SessionMemory(tmp_path))

    assert due(confinement).look(10)[0] is reason


class FakeNvml:
    """A GPU with two processes."""

    class NVMLError(Exception):
        """What the library raises."""

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> list[Any]:
        return [SimpleNamespace(pid=1, usedGpuMemory=3 * MIB), SimpleNamespace(pid=2, usedGpuMemory=4 * MIB)]

    def nvmlDeviceGetProcessUtilization(self, handle: str, since: int) -> list[Any]:
        return [SimpleNamespace(pid=1, timeStamp=since + 5, smUtil=50), SimpleNamespace(pid=2, timeStamp=1, smUtil=20)]


@pytest.mark.parametrize(("is_shared", "memory_mib", "busy_s"), [(True, 3, 1.0), (False, 7, 1.4)])
def test_gpu_that_is_shared_is_measured_by_process(is_shared: bool, memory_mib: int, busy_s: float) -> None:
    meter = GpuMeter(Nvml(FakeNvml()), ["GPU-a"], is_shared=is_shared)

    meter.sample({1}, 9.0)  # what came before does not count
    meter.sample({1}, 2.0)

    assert meter.peak_memory_mib == memory_mib
    assert meter.busy_s == pytest.approx(busy_s)
