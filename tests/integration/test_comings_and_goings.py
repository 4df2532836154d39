"""Workers are cordoned, drained and told to leave while runs go on: nothing is lost, nothing runs twice."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable

import pytest
from support.live import LiveCluster
from support.tek import EXECUTABLE
from support.waiting import wait_until

from taskexec.cluster.autoscale import survey
from taskexec.domain.autoscale import NodeClass
from taskexec.domain.protocol import PROTOCOL
from taskexec.domain.resources import Capacity
from taskexec.store.workers import CORDONED, DRAINING, READY_STATE

Fresh = Callable[..., LiveCluster]


def blocked(live: LiveCluster, name: str = "a") -> dict[str, object]:
    """Return a task that says that it has begun, and waits for a file."""
    sign, said = live.project / f"{name}.go", live.project / f"{name}.said"
    return {"id": name, "command": f"echo x >> {said}; while [ ! -e {sign} ]; do sleep 0.02; done"}


def begun(live: LiveCluster, name: str = "a") -> int:
    path = live.project / f"{name}.said"
    return path.read_text().count("x") if path.exists() else 0


def test_drained_worker_finishes_what_it_runs_and_is_not_started_again(fresh: Fresh) -> None:
    live = fresh()
    leaving = live.start_worker(slots=1)
    run_id = live.submit([blocked(live)])
    wait_until(lambda: begun(live) == 1, "the start of the task", timeout_s=20.0)

    live.cluster.workers.wish(leaving.name, DRAINING)
    (live.project / "a.go").touch()
    home = live.finish(run_id)
    wait_until(lambda: leaving.wait(0.05) == 0, "the end of the worker", timeout_s=20.0, diagnose=live.log)
    leaving.tend()

    assert home.statuses == {"a": "succeeded"}
    assert (leaving.has_left, leaving.restarts, begun(live)) == (True, 0, 1)
    assert live.worker_names() == []


def test_cordoned_worker_takes_nothing_until_it_is_uncordoned(fresh: Fresh) -> None:
    live = fresh()
    worker = live.start_worker(slots=2)
    live.cluster.workers.wish(worker.name, CORDONED)
    taken = live.submit([{"id": "b", "command": "true"}])
    # what a pop under way has got is put back; from then on it lies in the queue
    wait_until(
        lambda: live.cluster.workers.waiting(worker.name, ["cpu"]) == 1 and live.state(taken) == "Q1",
        "the message in its queue",
        timeout_s=20.0,
    )
    states = [row["state"] for row in live.cluster.workers.listed()]

    live.cluster.workers.wish(worker.name, READY_STATE)
    home = live.finish(taken)

    assert states == [CORDONED]
    assert home.statuses == {"b": "succeeded"}


def test_what_was_placed_on_a_drained_worker_goes_elsewhere_at_once(fresh: Fresh) -> None:
    live = fresh(worker__lease_s=30.0)
    leaving = live.start_worker(slots=4)
    os.kill(leaving.pid or 0, signal.SIGSTOP)  # what is placed on it lies in its list
    run_id = live.submit([{"id": "a", "command": "true", "cpus": 2}])
    live.await_state(run_id, "Q1")
    live.cluster.workers.wish(leaving.name, DRAINING)
    os.kill(leaving.pid or 0, signal.SIGCONT)
    live.start_worker(slots=2)

    home = live.finish(run_id, timeout_s=20.0)

    assert home.statuses == {"a": "succeeded"}
    assert home.results["a"].get("attempts", 1) == 1


def test_attempt_that_is_not_done_when_its_worker_must_leave_is_given_back(fresh: Fresh) -> None:
    live = fresh(worker__lease_s=60.0, worker__shutdown_s=1.0)
    leaving = live.start_worker(slots=1)
    run_id = live.submit([blocked(live)])
    wait_until(lambda: begun(live) == 1, "the start of the task", timeout_s=20.0)

    leaving.ask_to_stop()
    wait_until(lambda: live.cluster.workers.state_of(leaving.name) == DRAINING, "it to drain", timeout_s=10.0)
    wait_until(lambda: leaving.wait(0.05) == 0, "the end of the worker", timeout_s=20.0, diagnose=live.log)
    (live.project / "a.go").touch()
    live.start_worker(slots=1)
    home = live.finish(run_id, timeout_s=20.0)

    (lost,) = home.transitions("attempt_lost", "a")
    assert home.statuses == {"a": "succeeded"}
    assert begun(live) == 2
    assert "given back" in str(lost)
    assert live.cluster.connection.call("HGET", f"tek:{{{run_id}}}:lost", "0") is None


@pytest.mark.parametrize("pause_s", [0.0, 3.0])
def test_worker_that_is_told_to_leave_when_its_server_is_gone_leaves(fresh: Fresh, pause_s: float) -> None:
    live = fresh(worker__shutdown_s=3600.0)
    leaving = live.start_worker(slots=1)
    assert live.server.pid is not None
    os.kill(live.server.pid, signal.SIGKILL)
    until = time.monotonic() + pause_s
    wait_until(lambda: time.monotonic() >= until, "some time without it", timeout_s=pause_s + 5.0)

    leaving.ask_to_stop()

    wait_until(lambda: leaving.wait(0.05) == 0, "the end of the worker", timeout_s=20.0, diagnose=live.log)


def test_node_is_replaced_while_a_run_goes_on(fresh: Fresh) -> None:
    live = fresh(worker__lease_s=30.0)
    first, _ = live.start_worker(slots=2), live.start_worker(slots=2)
    said = live.project / "said"
    tasks = [{"id": f"t{n}", "command": f"echo t{n} >> {said}; sleep 0.1", "cpus": 1 + n % 2} for n in range(60)]
    run_id = live.submit(tasks)
    wait_until(lambda: said.exists() and said.read_text().count("t") >= 20, "a third of it", timeout_s=30.0)

    live.cluster.workers.wish(first.name, DRAINING)
    live.start_worker(slots=2)
    home = live.finish(run_id, timeout_s=40.0)
    wait_until(lambda: first.wait(0.05) == 0, "the end of the worker", timeout_s=20.0, diagnose=live.log)

    assert set(home.statuses.values()) == {"succeeded"}
    assert sorted(said.read_text().split()) == sorted(f"t{n}" for n in range(60))
    assert home.transitions("attempt_lost") == []


def test_run_of_an_unknown_version_is_left_alone_and_said_once(fresh: Fresh) -> None:
    live = fresh(worker__lease_s=1.0)
    worker = live.start_worker(slots=2)
    live.cluster.workers.wish(worker.name, CORDONED)
    time.sleep(2.5)  # until no pop is under way: nothing tells
    strange = PROTOCOL + 2
    foreign = live.submit([{"id": "a", "command": "true"}])
    call = live.cluster.connection.call
    call("HSET", f"tek:{{{foreign}}}:meta", "protocol", strange)
    (key,) = map(bytes.decode, call("KEYS", "cpu*"))
    message = call("RPOP", key).decode().replace(f'"v":{PROTOCOL}', f'"v":{strange}')
    call("LPUSH", key, message)
    live.cluster.workers.wish(worker.name, READY_STATE)

    home = live.carry_out([{"id": "b", "command": "true"}])
    wait_until(lambda: live.cluster.workers.listed()[0]["notes"], "its note", timeout_s=20.0)

    assert home.statuses == {"b": "succeeded"}
    assert live.state(foreign) == "Q1"
    (note,) = live.cluster.workers.listed()[0]["notes"]
    assert f"protocol {strange}" in note
    assert live.log().count(note) == 1


def test_pool_widens_for_what_waits_and_narrows_when_it_is_idle(fresh: Fresh) -> None:
    live = fresh(worker__max_slots=3, worker__min_slots=1, worker__widen_load=1000.0, worker__narrow_after_s=1.0)
    live.start_worker(slots=1)
    names = ("a", "b", "c")
    run_id = live.submit([blocked(live, name) for name in names])

    def slots() -> int:
        return int(live.cluster.workers.listed()[0]["capacity"]["slots"])

    wait_until(lambda: all(begun(live, name) for name in names), "all at once", timeout_s=30.0, diagnose=live.log)
    widest = slots()
    for name in names:
        (live.project / f"{name}.go").touch()
    home = live.finish(run_id)
    wait_until(lambda: slots() == 1, "one slot again", timeout_s=30.0, diagnose=live.log)

    assert widest == 3
    assert set(home.statuses.values()) == {"succeeded"}
    assert [begun(live, name) for name in names] == [1, 1, 1]
    assert live.carry_out([{"id": "d", "command": "true"}]).statuses == {"d": "succeeded"}


def test_wanted_nodes_follow_what_waits(fresh: Fresh) -> None:
    live = fresh()
    capacity = Capacity(64.0, 65_536, (), 1, 0)
    classes = [NodeClass(name="cpu", capacity=capacity, routes=("cpu",), least=0, most=10)]
    live.start_worker(slots=1)
    run_id = live.submit([blocked(live)])
    wait_until(lambda: begun(live) == 1, "the start of the task", timeout_s=20.0)
    waiting = live.submit(
        [{"id": "b", "command": "true"}, {"id": "c", "command": "true"}, {"id": "d", "command": "true", "cpus": 2}]
    )

    busy = survey(live.cluster, classes, idle_s=0.0)["cpu"]
    (live.project / "a.go").touch()
    live.finish(run_id)
    live.finish(waiting)
    wait_until(lambda: live.cluster.workers.listed()[0]["idle_s"] > 0, "it to be idle", timeout_s=20.0)
    idle = survey(live.cluster, classes, idle_s=0.0)["cpu"]

    assert (busy.now, busy.wanted) == (1, 4)
    assert (idle.now, idle.wanted) == (1, 0)


def test_autoscaler_asks_again_for_a_node_that_was_killed(fresh: Fresh) -> None:
    live = fresh()
    classes, called, seen = (live.project / name for name in ("nodes.yaml", "called", "seen"))
    classes.write_text("classes: {cpu: {cpus: 64, min: 1, max: 3}}")

    def calls() -> list[str]:
        return called.read_text().splitlines() if called.exists() else []

    argv = [str(EXECUTABLE), "autoscale", "--classes", str(classes), "--watch", "--every", "0.2", "--output", "json"]
    argv += ["--broker", live.server.url, "--exec", f"sh -c 'echo $0 $1 $2 >> {called}' {{class}} {{wanted}} {{now}}"]
    with seen.open("wb") as stdout:
        scaler = subprocess.Popen(argv, cwd=live.project, env=live.place.environ(), stdout=stdout)
    try:
        wait_until(lambda: calls() == ["cpu 1 0"], "the call for the first", timeout_s=30.0, diagnose=calls)
        worker = live.start_worker(slots=1)
        wait_until(lambda: '"now": 1' in seen.read_text(), "it to be seen", timeout_s=30.0, diagnose=seen.read_text)
        os.kill(worker.pid or 0, signal.SIGKILL)
        wait_until(lambda: calls() == ["cpu 1 0"] * 2, "the call for another", timeout_s=30.0, diagnose=calls)
    finally:
        scaler.kill()
        scaler.wait()
