"""What is left of a run when processes are killed or stopped under it: each task done once, nothing alive."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
from support.live import LiveCluster
from support.waiting import wait_until

from taskexec.broker import queue_key
from taskexec.domain.events import Transition, TransitionKind, parse_entry
from taskexec.domain.resources import Route

QUEUE = queue_key(Route.CPU, 0)

Fresh = Callable[..., LiveCluster]

FIRST_HANGS = """
echo $TEK_ATTEMPT >> {folder}/starts
if [ $TEK_ATTEMPT = 1 ]; then
  echo $TEK_SLOT > {folder}/slot
  (trap '' TERM; exec sleep 300) &
  setsid sleep 300 & echo $! > {folder}/escaped.tmp; mv {folder}/escaped.tmp {folder}/escaped
  echo $$ > {folder}/leader.tmp; mv {folder}/leader.tmp {folder}/leader; wait
fi
"""
"""A task whose first attempt never ends, with a child in its group and one that has left it."""


def read_pid(path: Path) -> int:
    return int(wait_until(lambda: path.is_file() and path.read_text().strip(), f"a process id in {path}"))


def attempt_processes(run_id: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("TEK_RUN") == run_id and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def hanging_plan(folder: Path) -> list[dict[str, object]]:
    return [
        {"id": "first", "command": FIRST_HANGS.format(folder=folder)},
        {"id": "next", "command": f"echo next >> {folder}/starts", "depends_on": "first"},
    ]


def test_task_of_a_killed_pool_child_is_done_once_by_its_second_attempt(live: LiveCluster, tmp_path: Path) -> None:
    run_id = live.submit(hanging_plan(tmp_path))
    read_pid(tmp_path / "leader")

    os.kill(read_pid(tmp_path / "slot"), signal.SIGKILL)
    home = live.finish(run_id)

    assert home.statuses == {"first": "succeeded", "next": "succeeded"}
    assert (tmp_path / "starts").read_text().split() == ["1", "2", "next"]
    assert [home.results[name]["attempts"] for name in ("first", "next")] == [2, 1]
    assert len(home.transitions("attempt_lost", "first")) == 1
    assert home.record("first", 1)["reason"] == "lost_worker"
    assert attempt_processes(run_id) == []


def test_what_a_killed_pool_child_had_started_is_dead_before_its_task_starts_again(
    live: LiveCluster, tmp_path: Path
) -> None:
    look = f"""
    [ $TEK_ATTEMPT = 1 ] || for name in leader escaped; do
      grep -s '^State' /proc/$(cat {tmp_path}/$name)/status | grep -v zombie
    done
    """
    tasks = hanging_plan(tmp_path)
    tasks[0]["command"] = look + FIRST_HANGS.format(folder=tmp_path)
    run_id = live.submit(tasks)
    read_pid(tmp_path / "leader")

    os.kill(read_pid(tmp_path / "slot"), signal.SIGKILL)
    home = live.finish(run_id)

    assert home.stdout("first", 2) == ""
    assert home.results["first"]["status"] == "succeeded"


def test_tasks_of_a_killed_worker_are_done_once_by_its_successor(fresh: Fresh, tmp_path: Path) -> None:
    live = fresh()
    supervisor = live.start_worker(slots=2)
    before = supervisor.name
    run_id = live.submit(hanging_plan(tmp_path))
    read_pid(tmp_path / "leader")
    assert supervisor.pid is not None

    os.kill(supervisor.pid, signal.SIGKILL)
    home = live.finish(run_id, tend=True)

    assert home.statuses == {"first": "succeeded", "next": "succeeded"}
    assert (tmp_path / "starts").read_text().split() == ["1", "2", "next"]
    assert home.results["first"]["attempts"] == 2
    assert (supervisor.restarts, home.results["first"]["worker"]) == (1, supervisor.name)
    assert before not in live.worker_names()
    assert attempt_processes(run_id) == []


def test_task_that_kills_every_pool_child_fails_when_its_attempts_are_used_up(fresh: Fresh) -> None:
    live = fresh(worker__max_attempts=2)
    live.start_worker(slots=2)

    home = live.carry_out([{"id": "bad", "command": "kill -9 $TEK_SLOT; sleep 300"}, {"id": "good", "command": "true"}])

    assert home.statuses == {"bad": "failed", "good": "succeeded"}
    assert (home.results["bad"]["attempts"], home.results["bad"]["reason"]) == (2, "lost_worker")


def test_task_of_a_stopped_worker_is_done_once_by_another_and_its_late_result_does_not_count(
    fresh: Fresh, tmp_path: Path
) -> None:
    sign = tmp_path / "go"
    command = (
        f"echo $TEK_ATTEMPT >> {tmp_path}/starts; echo from attempt $TEK_ATTEMPT; "
        f"[ $TEK_ATTEMPT = 2 ] || while [ ! -e {sign} ]; do sleep 0.02; done"
    )
    tasks = [{"id": f"t{n}", "command": command} for n in range(4)]
    live = fresh(worker__lease_s=1.0)
    first = live.start_worker(slots=4)
    last = {"id": "last", "command": f"while [ ! -e {tmp_path}/end ]; do sleep 0.02; done", "depends_on": "t0"}
    run_id = live.submit([*tasks, last])
    starts = tmp_path / "starts"
    wait_until(lambda: starts.is_file() and starts.read_text().split() == ["1"] * 4, "the start of all tasks")
    assert first.pid is not None
    os.killpg(first.pid, signal.SIGSTOP)
    live.start_worker(slots=5)
    for index in range(4):
        live.await_state(run_id, "S2", index)
    sign.touch()
    wait_until(lambda: len(attempt_processes(run_id)) <= 2, "the end of the first attempts' processes")

    os.killpg(first.pid, signal.SIGCONT)
    wait_until(lambda: refusals(live, run_id), "a refusal in the log", diagnose=live.log)
    (tmp_path / "end").touch()
    home = live.finish(run_id)

    assert starts.read_text().split() == ["1"] * 4 + ["2"] * 4
    assert [home.results[f"t{n}"]["attempts"] for n in range(4)] == [2, 2, 2, 2]
    assert [home.record(f"t{n}", 2)["result"] for n in range(4)] == ["from attempt 2"] * 4
    assert len(home.transitions("succeeded")) == 5
    assert home.transitions("late_result_refused")


def refusals(live: LiveCluster, run_id: str) -> list[Transition]:
    entries = live.store.read_log(run_id)
    return [found for entry in entries for found in parse_entry(entry) if found.kind is TransitionKind.REFUSED]


def test_run_outlives_the_death_of_its_server(fresh: Fresh, tmp_path: Path) -> None:
    live = fresh()
    live.start_worker(slots=2)
    say = f"echo $TEK_TASK >> {tmp_path}/ran; sleep 0.05"
    chain = [{"id": f"c{n}", "command": say, "depends_on": f"c{n - 1}" if n else ""} for n in range(12)]
    run_id = live.submit(chain)
    live.await_state(run_id, "S1", 3)
    assert live.server.pid is not None

    os.kill(live.server.pid, signal.SIGKILL)
    wait_until(live.server.tend, "the server to be started again")
    home = live.finish(run_id)

    assert home.summary["status"] == "succeeded"
    assert (tmp_path / "ran").read_text().split() == [f"c{n}" for n in range(12)]
    assert home.order_violations(chain) == []


def test_lost_message_is_queued_again_by_the_reaper(fresh: Fresh) -> None:
    live = fresh(worker__lease_s=0.5, worker__reap_interval_s=0.1)
    run_id = live.submit([{"id": "a", "command": "true"}])
    assert live.cluster.connection.call("RPOP", QUEUE) is not None

    live.start_worker(slots=1)
    home = live.finish(run_id)

    assert (home.results["a"]["status"], home.results["a"]["attempts"]) == ("succeeded", 1)
    assert len(home.transitions("queued", "a")) == 2


def test_doubled_message_is_carried_out_once(fresh: Fresh, tmp_path: Path) -> None:
    live = fresh()
    run_id = live.submit([{"id": "a", "command": f"echo x >> {tmp_path}/ran"}, {"id": "b", "command": "true"}])
    messages = live.cluster.connection.call("LRANGE", QUEUE, 0, -1)
    assert messages
    live.cluster.connection.call("LPUSH", QUEUE, *messages)

    live.start_worker(slots=2)
    home = live.finish(run_id)
    wait_until(lambda: live.cluster.connection.call("LLEN", QUEUE) == 0, "an empty queue")

    assert (tmp_path / "ran").read_text() == "x\n"
    assert [result["attempts"] for result in home.results.values()] == [1, 1]


def test_worker_registers_and_takes_its_registration_back_when_it_is_told_to_stop(fresh: Fresh) -> None:
    live = fresh()
    supervisor = live.start_worker(slots=3)
    (worker,) = live.cluster.workers.listed()

    supervisor.ask_to_stop()
    status = supervisor.wait(20.0)

    assert (worker["name"], worker["capacity"]["slots"], worker["state"]) == (supervisor.name, 3, "ready")
    assert worker["classes"] == ["cpu", "gpu", "distributed"]
    assert {"noop", "python", "shell"} <= set(worker["agents"])
    assert status == 0
    assert live.worker_names() == []


def test_registration_of_a_killed_worker_lapses(fresh: Fresh) -> None:
    live = fresh(worker__reap_interval_s=0.1)
    supervisor = live.start_worker(slots=1)

    supervisor.kill()

    wait_until(lambda: live.worker_names() == [], "the end of the registration")


def test_worker_told_to_stop_finishes_what_runs_and_starts_nothing_new(fresh: Fresh, tmp_path: Path) -> None:
    live = fresh()
    supervisor = live.start_worker(slots=1)
    sign = tmp_path / "go"
    run_id = live.submit(
        [
            {"id": "a", "command": f"while [ ! -e {sign} ]; do sleep 0.02; done"},
            {"id": "b", "command": "true", "depends_on": "a"},
        ]
    )
    live.await_state(run_id, "R1")

    supervisor.ask_to_stop()
    workers = live.cluster.workers
    wait_until(lambda: workers.state_of(supervisor.name) == "draining", "a worker that stops", diagnose=live.log)
    sign.touch()
    wait_until(lambda: supervisor.wait(0.1) is not None, "the worker's end")

    assert live.store.states(run_id) == {0: "S1", 1: "Q1"}


def test_worker_ends_with_its_supervisor(fresh: Fresh) -> None:
    live = fresh()
    script = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from support.isolation import Place\n"
        "from taskexec.cluster import Cluster, worker_supervisor\n"
        "from taskexec.domain.resources import Capacity, Route\n"
        "from taskexec.settings import load_settings\n"
        "supervisor = worker_supervisor(Cluster(sys.argv[1], load_settings()), routes=[Route.CPU],\n"
        "    capacity=Capacity(cpus=1, memory_mib=1, slots=1), log_path=None)\n"
        "supervisor.start(); print(supervisor.pid, flush=True); supervisor.wait(300)\n"
    )
    tests = Path(__file__).parents[1]
    argv = [sys.executable, "-c", script, live.server.url, str(tests)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as owner:
        assert owner.stdout is not None
        worker = psutil.Process(int(owner.stdout.readline()))
        wait_until(live.worker_names, "the worker", timeout_s=30.0)

        owner.kill()

        wait_until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE, "the worker's end")
    wait_until(lambda: live.worker_names() == [], "the end of the registration")
