"""Attempts at their limits, with real processes: who uses more than it was given ends, and nobody else does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from support.live import LiveCluster
from support.waiting import wait_until

from taskexec.agents import AgentRegistry
from taskexec.completion.evidence import AttemptEvidence, EvidenceLimits
from taskexec.completion.ledger import split_record
from taskexec.domain.program import ClaimedMember, Grant, Member, Rank
from taskexec.runtime.attempt import AttemptWork, RunInfo, ServerClock
from taskexec.runtime.confinement import Confiner, cores_file
from taskexec.runtime.control_group import GroupLimits, find_groups
from taskexec.runtime.limits import LimitPolicy
from taskexec.runtime.sweep import end_all, is_alive
from taskexec.runtime.workplace import Workplace

WORKER = f"tek-limits-{os.getpid()}@here"
GROUP = LimitPolicy(memory="cgroup")
WATCH = LimitPolicy(memory="watch", cpu="off")
MIB = 2**20


@pytest.fixture(params=["group", "watch"])
def policy(request: pytest.FixtureRequest) -> LimitPolicy:
    """Limits of memory by control group, and by watching."""
    if request.param == "group" and find_groups() is None:
        pytest.skip("no control groups can be made here")
    return GROUP if request.param == "group" else WATCH


Perform = Callable[..., dict[str, Any]]


@pytest.fixture
def perform(tmp_path: Path) -> Iterator[Perform]:
    """Perform an attempt with a grant and return its record."""
    places: list[Workplace] = []

    def run(
        payload: dict[str, Any], policy: LimitPolicy, *, memory_mib: int = 0, cpus: int = 1000, agent: str = "shell"
    ) -> dict[str, Any]:
        confiner = Confiner(WORKER, policy, find_groups(), cores_file(tmp_path))
        places.append(Workplace(WORKER, tmp_path, grace_s=1.0, confiner=confiner))
        chunks: list[dict[str, Any]] = []
        evidence = AttemptEvidence(lambda chunk: chunks.append(chunk) or True, EvidenceLimits())  # type: ignore[func-returns-value]
        spec = {"id": "t", "agent": agent, "payload": payload, "depends_on": [], "timeout_s": 30}
        grant = Grant(cpus, memory_mib, 0, 1000, 0, False, (Rank(WORKER, ()),))
        claimed = ClaimedMember(Member(0, 1), (), orjson.dumps(spec), grant=grant)
        work = AttemptWork(RunInfo("r", False), claimed, {}, place=places[-1], evidence=evidence)
        performed = work.perform(AgentRegistry(), ServerClock(0, 0.0), WORKER)
        record, inline = split_record(performed.record.decode())
        stdout = b"".join(chunk["d"] for chunk in chunks if chunk["f"] == "stdout.log").decode()
        known: dict[str, Any] = orjson.loads(record) | {"stdout": stdout + str(inline.get("stdout.log", ""))}
        return known

    yield run
    for place in places:
        place.close()
    assert groups_left() == []


def groups_left() -> list[Path]:
    groups = find_groups()
    bases = set() if groups is None else set(groups.folders.values())
    return [path for base in bases for path in base.glob(f"tek.{WORKER}.*")]


def shell(text: str) -> dict[str, Any]:
    return {"commands": [{"argv": ["/bin/sh", "-c", text]}]}


def hog(size_mib: int, then: str = "time.sleep(20)") -> str:
    return f"{sys.executable} -S -c 'import time; taken = bytearray({size_mib} << 20); {then}'"


def test_attempt_that_takes_more_memory_than_it_was_given_ends_and_says_so(
    perform: Perform, policy: LimitPolicy
) -> None:
    record = perform(shell(f"exec {hog(300)}"), policy, memory_mib=100)

    peak_mib = record["usage"]["peak_memory_mib"]
    assert (record["status"], record["reason"]) == ("failed", "out_of_memory")
    assert f"ran out of memory: peak {peak_mib} MiB of the 100 MiB it was given" in record["error"]
    assert 90 <= peak_mib <= (101 if policy is GROUP else 310)


def test_program_starts_however_little_memory_its_task_asks_for(perform: Perform, policy: LimitPolicy) -> None:
    roomy = replace(policy, memory_floor_mib=64)

    small = perform(shell(f"exec {hog(1, 'time.sleep(0.3)')}"), roomy, memory_mib=2)
    greedy = perform(shell(f"exec {hog(300)}"), roomy, memory_mib=2)

    assert small["status"] == "succeeded"
    assert "MiB of the 64 MiB it was given" in greedy["error"]


def test_command_does_not_go_on_when_what_it_has_started_ran_out_of_memory(
    perform: Perform, policy: LimitPolicy
) -> None:
    record = perform(shell(f"{hog(300)}; sleep 20"), policy, memory_mib=100)

    assert (record["status"], record["reason"]) == ("failed", "out_of_memory")


def test_child_that_has_left_the_session_counts_as_well(perform: Perform, policy: LimitPolicy) -> None:
    record = perform(shell(f"setsid {hog(300)} & sleep 20"), policy, memory_mib=100)

    assert (record["status"], record["reason"]) == ("failed", "out_of_memory")


def test_attempt_that_keeps_to_its_memory_succeeds_and_tells_its_peak(perform: Perform, policy: LimitPolicy) -> None:
    record = perform(shell(f"exec {hog(150, 'time.sleep(1.5)')}"), policy, memory_mib=400)  # it is looked at by then

    assert record["status"] == "succeeded"
    assert 150 <= record["usage"]["peak_memory_mib"] <= 200


def test_callable_with_a_limit_runs_in_a_helper_of_its_own(perform: Perform, policy: LimitPolicy) -> None:
    code = "import time\ntaken = bytearray(300 << 20)\ntime.sleep(20)"

    greedy = perform({"call": "builtins:exec", "args": [code]}, policy, memory_mib=100, agent="python")
    modest = perform({"call": "os:getpid"}, policy, memory_mib=100, agent="python")
    told = perform({"call": "os:getenv", "args": ["OMP_NUM_THREADS"]}, policy, cpus=2000, agent="python")

    assert (greedy["reason"], modest["status"], told["result"]) == ("out_of_memory", "succeeded", "2")


def test_neighbour_of_an_attempt_that_ran_out_of_memory_lives_on(perform: Perform, policy: LimitPolicy) -> None:
    neighbour = subprocess.Popen([sys.executable, "-S", "-c", "import time; x = bytearray(50 << 20); time.sleep(60)"])
    try:
        record = perform(shell(f"exec {hog(300)}"), policy, memory_mib=100)

        assert record["reason"] == "out_of_memory"
        assert neighbour.poll() is None
    finally:
        neighbour.kill()
        neighbour.wait()


def test_next_attempt_with_twice_the_memory_succeeds(perform: Perform, policy: LimitPolicy) -> None:
    records = [perform(shell(hog(150, "time.sleep(0.3)")), policy, memory_mib=size) for size in (100, 200)]

    assert [(record["status"], record["memory_mib"]) for record in records] == [("failed", 100), ("succeeded", 200)]


def test_fork_bomb_is_bounded(perform: Perform) -> None:
    groups = find_groups()
    if groups is None or not groups.has("pids"):
        pytest.skip("no control groups can be made here")
    text = "import os\nmade = 0\ntry:\n  while os.fork(): made += 1\nexcept OSError: print(made)\nelse: os.pause()\n"
    text = text.replace("os.pause()", "__import__('signal').pause()")

    record = perform({"commands": [{"argv": [sys.executable, "-S", "-c", text]}]}, LimitPolicy(processes=30))

    assert record["stdout"] == "29\n"


def test_process_that_left_its_session_ends_with_its_attempt(perform: Perform, tmp_path: Path) -> None:
    if find_groups() is None:
        pytest.skip("no control groups can be made here")
    pid_file = tmp_path / "pid"
    text = f"setsid sh -c 'echo $$ > {pid_file}.new; mv {pid_file}.new {pid_file}; exec env -i sleep 60' >&- 2>&- &"

    record = perform(shell(f"{text} while [ ! -e {pid_file} ]; do sleep 0.01; done"), GROUP, memory_mib=100)

    assert record["status"] == "succeeded"
    wait_until(lambda: not is_alive(int(pid_file.read_text())), "the process to end")


def test_sizes_of_the_worker_hold_for_all(perform: Perform) -> None:
    policy = LimitPolicy(open_files=50, file_size_mib=1, nice=5, io_class="idle")
    text = 'ulimit -n; nice; head -c 2000000 /dev/zero > "$TEK_OUTPUT/big"; wc -c < "$TEK_OUTPUT/big"'

    record = perform(shell(text), policy)
    warm = perform({"call": "os:nice", "args": [0]}, policy, agent="python")

    assert record["stdout"].split() == ["50", "5", str(MIB)]
    assert warm["result"] == 5


def test_attempt_is_kept_on_cores_of_its_own(perform: Perform) -> None:
    record = perform(shell("nproc"), LimitPolicy(cpu="affinity"), cpus=1000)

    assert record["stdout"] == "1\n"
    assert len(os.sched_getaffinity(0)) == os.cpu_count() or os.cpu_count() == 1


def test_groups_of_a_dead_worker_go_with_it() -> None:
    groups = find_groups()
    if groups is None:
        pytest.skip("no control groups can be made here")
    group = groups.make(WORKER, 1, GroupLimits(memory_mib=100))
    left = subprocess.Popen(
        ["/bin/sh", "-c", "".join(f"echo 0 > {entry};" for entry in group.entries) + "exec env -i sleep 60"]
    )
    wait_until(lambda: left.pid in group.pids(), "the process in its group")

    end_all(WORKER)

    assert left.wait(5.0) == -9
    assert groups_left() == []


BOMB = "import os, signal\ntry:\n  while os.fork(): pass\nexcept OSError: raise\nsignal.pause()\n"


def test_worker_and_the_neighbours_of_a_fork_bomb_go_on(fresh: Callable[..., LiveCluster]) -> None:
    live = fresh(limits__processes=30, limits__nice=1)
    (live.project / "bomb.py").write_text(BOMB)
    (live.project / "steps.py").write_text("import os\n\ndef niceness():\n    return os.nice(0)\n")
    worker = live.start_worker(slots=2)

    home = live.carry_out(
        [
            {"id": "bomb", "command": f"{sys.executable} -S bomb.py"},
            {"id": "neighbour", "command": "sleep 0.5; nice"},
            {"id": "callable", "agent": "python", "command": "steps:niceness"},
            {"id": "next", "command": "echo on", "depends_on": "neighbour"},
        ]
    )

    assert home.statuses == {"bomb": "failed", "neighbour": "succeeded", "callable": "succeeded", "next": "succeeded"}
    assert [home.results[task]["attempts"] for task in home.results] == [1, 1, 1, 1]
    assert (home.stdout("neighbour"), home.record("callable")["result"]) == ("1\n", 1)
    assert worker.restarts == 0


def test_groups_of_a_worker_that_was_killed_are_removed(fresh: Callable[..., LiveCluster]) -> None:
    groups = find_groups()
    if groups is None:
        pytest.skip("no control groups can be made here")
    base = groups.folders["memory"]
    live = fresh(limits__processes=30)
    worker = live.start_worker(slots=1)
    former, pid = worker.name, worker.pid
    live.submit([{"id": "a", "command": "sleep 60"}])
    wait_until(lambda: any(base.glob(f"tek.{former}.*")), "the group of the attempt")

    assert pid is not None
    os.kill(pid, 9)
    wait_until(worker.tend, "the worker to be started again")

    assert not any(base.glob(f"tek.{former}.*"))


def test_task_that_ran_out_of_memory_succeeds_with_more(live: LiveCluster) -> None:
    task = {"id": "a", "command": hog(150, "time.sleep(0.3)"), "memory_mb": "100", "retries": 2, "retry_memory": "2"}

    home = live.carry_out([task])

    records = [home.record("a", number) for number in (1, 2)]
    assert [record["reason"] for record in records] == ["out_of_memory", None]
    assert [record["memory_mib"] for record in records] == [100, 200]


def test_records_tell_what_attempts_used(live: LiveCluster) -> None:
    home = live.carry_out([{"id": "a", "command": "echo one"}, {"id": "b", "agent": "python", "command": "os:getpid"}])

    assert all(home.record(task)["usage"]["cpu_s"] >= 0 for task in ("a", "b"))
