"""The hard moments one by one: late results, lost results, tasks that outlast leases or kill their worker."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.arena import Ring, marked
from support.waiting import wait_until

from taskexec.chaos import Direction, Wire
from taskexec.chaos.target import Target
from taskexec.domain.events import TransitionKind

NewRing = Callable[..., Ring]

ATTEMPT_1_WAITS = "[ $TEK_ATTEMPT != 1 ] || while [ ! -e {folder}/go ]; do sleep 0.02; done"
"""What keeps a first attempt at work until a file is there."""


def waiting(there: Ring) -> str:
    return marked(there.marks, ATTEMPT_1_WAITS.format(folder=there.marks))


def wire_of(target: Target) -> Wire:
    assert target.wire is not None
    return target.wire


@pytest.mark.parametrize(
    "direction", [Direction.TO_SERVER, Direction.TO_WORKER, pytest.param(Direction.BOTH, marks=pytest.mark.slow)]
)
def test_result_that_comes_from_behind_a_cut_after_another_attempt_is_refused(
    ring: NewRing, direction: Direction
) -> None:
    there = ring(lease_s=0.8)
    there.start_workers(2, slots=1)
    there.submit(
        [
            {"id": "a", "command": waiting(there)},
            {
                "id": "end",
                "command": marked(there.marks, f"while [ ! -e {there.marks}/end.go ]; do sleep 0.02; done"),
                "depends_on": "a",
            },
        ]
    )
    there.await_file("a")
    cut_off = there.holder()

    wire_of(cut_off).cut(direction)
    there.await_state("S2")
    (there.marks / "go").touch()
    there.await_file("a.1.done")
    wire_of(cut_off).heal()
    wait_until(
        lambda: any(found.kind is TransitionKind.REFUSED for found in there.transitions()),
        "a refused result",
        timeout_s=20.0,
        diagnose=there.log,
    )
    (there.marks / "end.go").touch()
    report = there.finish()

    assert there.executions("a") == ["1", "2"]
    assert (report.lost, report.doubled) == ((), ())
    assert report.verification["ok"]
    assert there.home.results["a"]["attempts"] == 2
    assert report.late_results_refused == 1


def test_lease_is_renewed_after_a_cut_that_nobody_has_noticed(ring: NewRing) -> None:
    there = ring(lease_s=1.0)
    (only,) = there.start_workers(1, slots=1)
    there.submit([{"id": "a", "command": waiting(there)}])
    there.await_file("a")

    wire_of(only).cut()
    begun = there.arena.server_now()
    wait_until(lambda: there.arena.server_now() - begun > 2 * there.lease_s, "the end of the lease")
    wire_of(only).heal()
    (there.marks / "go").touch()
    report = there.finish()

    assert (there.executions("a"), report.doubled) == (["1"], ())
    assert len(there.home.transitions("renewed_after_gap", "a")) == 1


def test_result_of_a_worker_that_dies_before_it_could_send_it_is_made_again(ring: NewRing) -> None:
    there = ring(lease_s=2.0)
    there.start_workers(2, slots=1)
    there.submit(
        [{"id": "a", "command": waiting(there)}, {"id": "b", "command": marked(there.marks), "depends_on": "a"}]
    )
    there.await_file("a")
    holder = there.holder()

    wire_of(holder).cut(Direction.TO_SERVER)
    (there.marks / "go").touch()
    there.await_file("a.1.done")
    holder.signal(signal.SIGKILL)
    there.await_state("S2")
    wire_of(holder).heal()
    report = there.finish()

    assert there.executions("a") == ["1", "2"]
    assert (report.lost, report.doubled, report.attempts_lost) == ((), (), 1)
    assert there.home.results["b"]["attempts"] == 1


def test_result_that_was_sent_and_not_answered_counts_once(ring: NewRing) -> None:
    there = ring(lease_s=3.0)
    there.start_workers(1, slots=1)
    warm = {"id": "w", "command": marked(there.marks)}  # a server that has never seen the script asks for it first
    there.submit([warm, {"id": "a", "command": waiting(there), "depends_on": "w"}])
    there.await_file("a")
    holder = there.holder(1)

    wire_of(holder).cut(Direction.TO_WORKER)
    (there.marks / "go").touch()
    there.await_state("S1", 1)
    wire_of(holder).heal(reset=True)
    report = there.finish()

    assert (there.executions("a"), report.doubled, report.reexecuted) == (["1"], (), ())


@pytest.mark.parametrize(
    ("lease_s", "leases"), [(0.5, 6), pytest.param(0.5, 100, marks=[pytest.mark.slow, pytest.mark.timeout(200)])]
)
def test_task_that_lasts_many_leases_runs_once(ring: NewRing, lease_s: float, leases: int) -> None:
    there = ring(lease_s=lease_s)
    there.start_workers(2, slots=1)
    there.submit([{"id": "a", "command": marked(there.marks, f"sleep {lease_s * leases}")}])

    report = there.finish(timeout_s=lease_s * leases + 30)

    assert (there.executions("a"), report.attempts_lost, report.status) == (["1"], 0, "succeeded")


KILLS_ITS_WORKER = "kill -9 $(ps -o ppid= -p $TEK_SLOT); sleep 300"


def test_task_that_kills_its_worker_stops_after_its_attempts_and_spares_other_slots(ring: NewRing) -> None:
    there = ring(lease_s=1.0, worker__max_attempts=2)
    there.start_workers(2, slots=1)
    others = [{"id": f"n{number}", "command": marked(there.marks, "sleep 0.2")} for number in range(8)]
    bad_run = there.submit([{"id": "bad", "command": KILLS_ITS_WORKER}])
    good_run = there.submit(others)

    good = there.finish()
    home = there.home
    there.arena.run_id = bad_run
    there.finish()

    bad = there.home.results["bad"]
    assert (bad["status"], bad["reason"], bad["attempts"]) == ("failed", "lost_worker", 2)
    assert (good.run_id, home.statuses) == (good_run, {f"n{number}": "succeeded" for number in range(8)})
    assert [there.executions(f"n{number}") for number in range(8)] == [["1"]] * 8


def test_task_that_kills_its_worker_spares_what_runs_beside_it(ring: NewRing) -> None:
    there = ring(lease_s=1.0, worker__max_attempts=2)
    there.start_workers(1, slots=2)
    there.submit(
        [{"id": "bad", "command": KILLS_ITS_WORKER}, {"id": "beside", "command": marked(there.marks, "sleep 1")}]
    )

    there.finish()

    assert {task: result["status"] for task, result in there.home.results.items()} == {
        "bad": "failed",
        "beside": "succeeded",
    }


def test_worker_that_is_started_while_the_server_is_away_waits_for_it(ring: NewRing) -> None:
    there = ring()
    (first,) = there.start_workers(1, slots=1)
    there.submit([{"id": "a", "command": marked(there.marks, "sleep 0.2")}])
    there.arena.kill_server(3600.0)
    first.signal(signal.SIGKILL)

    def is_waiting() -> bool:
        there.arena.tend()
        return "is waited for" in there.log()

    wait_until(is_waiting, "a worker that waits", timeout_s=20.0, diagnose=there.log)

    there.arena.bring_server_back()
    report = there.finish()

    assert (report.status, report.lost, report.doubled) == ("succeeded", (), ())


@contextmanager
def wrong_clock(folder: Path, seconds: float) -> Iterator[None]:
    """Have workers that are started meanwhile live with a clock that is wrong by so much."""
    folder.mkdir()
    shift = f"import time\n_true = time.time\ntime.time = lambda: _true() + {seconds}\n"
    (folder / "sitecustomize.py").write_text(shift)
    os.environ["PYTHONPATH"] = str(folder)
    try:
        yield
    finally:
        del os.environ["PYTHONPATH"]


@pytest.mark.parametrize("seconds", [3600.0, pytest.param(-3600.0, marks=pytest.mark.slow)])
def test_workers_whose_clocks_are_an_hour_off_agree_with_the_others(ring: NewRing, seconds: float) -> None:
    there = ring(lease_s=1.0)
    with wrong_clock(there.place.folder / "shift", seconds):
        there.start_workers(1, slots=2)
    there.start_workers(1, slots=2)
    tell = 'python3 -c "import time; print(time.time())"'
    # the first of each chain begin together, which takes both workers
    meet = f"while [ $(ls {there.marks} | grep -c -- '-0$') -lt 4 ]; do sleep 0.02; done; "
    chains = [
        {
            "id": f"c{chain}-{step}",
            "command": tell if step else meet + tell,
            "depends_on": f"c{chain}-{step - 1}" if step else "",
        }
        for chain in range(4)
        for step in range(4)
    ]
    there.submit([{**task, "command": marked(there.marks, str(task["command"]))} for task in chains])

    report = there.finish()

    assert (report.status, report.attempts_lost, report.doubled) == ("succeeded", 0, ())
    assert there.home.order_violations(chains) == []
    assert {line["worker"] for line in there.home.transitions("succeeded")} == {t.name for t in there.arena.targets()}


@pytest.mark.slow
def test_worker_that_is_killed_right_after_each_start_is_not_given_up(ring: NewRing) -> None:
    there = ring(worker__max_attempts=100)
    there.start_workers(1, slots=1)
    there.submit([{"id": "a", "command": waiting(there)}])
    for _ in range(7):
        target = wait_until(lambda: _tended(there), "a worker", timeout_s=30.0, diagnose=there.log)
        target.signal(signal.SIGKILL)
    (there.marks / "go").touch()

    report = there.finish()

    assert (report.status, report.lost, report.doubled) == ("succeeded", (), ())


def _tended(there: Ring) -> Target | None:
    there.arena.tend()
    return next(iter(there.arena.targets()), None)
