"""Ctrl-C, TERM and KILL in the middle of things: what finishes, what is cancelled, that nothing is left."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
from support.tek import Started, Tek
from support.waiting import wait_until

from taskexec.completion.ledger import check_chain

STUBBORN = "sh -c 'trap \"\" TERM INT; touch started; sleep 300 & while :; do sleep 0.05; done'"


def start_run(tek: Tek, tasks: list[dict[str, object]], *options: object, until: str) -> Started:
    """Start a run and wait until one of its tasks has made a file."""
    started = tek.start("run", tek.write("plan.csv", list(tasks)), "--output", "json", *options)
    wait_until(
        lambda: (tek.cwd / until).exists() or started.process.poll() is not None,
        f"the task that makes {until}",
        timeout_s=30.0,
        diagnose=tek.place.listing,
    )
    return started


def test_first_interrupt_lets_running_tasks_finish_and_cancels_the_others(tek: Tek) -> None:
    started = start_run(
        tek,
        [
            {"id": "busy", "command": "sh -c 'touch started; while [ ! -e go ]; do sleep 0.02; done; echo whole'"},
            {"id": "next", "command": "touch never", "depends_on": "busy"},
        ],
        until="started",
    )

    started.signal(signal.SIGINT)
    wait_until(lambda: '"cancelled"' in ledger_of(tek), "the cancellation")
    (tek.cwd / "go").touch()
    outcome = started.finish().expect(130)

    home = tek.home(outcome)
    assert home.statuses == {"busy": "succeeded", "next": "cancelled"}
    assert home.stdout("busy") == "whole\n"
    assert home.summary["status"] == "cancelled"
    assert not (tek.cwd / "never").exists()
    tek.place.assert_nothing_is_left()


def ledger_of(tek: Tek) -> str:
    return "".join(path.read_text() for path in (tek.cwd / "runs").glob("*/ledger.jsonl"))


def test_second_interrupt_kills_even_a_task_that_ignores_term(tek: Tek) -> None:
    started = start_run(
        tek, [{"id": "busy", "command": STUBBORN}, {"id": "next", "depends_on": "busy"}], until="started"
    )
    begun = time.monotonic()

    started.signal(signal.SIGINT)
    wait_until(lambda: '"cancelled"' in ledger_of(tek), "the cancellation")
    started.signal(signal.SIGINT)
    outcome = started.finish().expect(130)

    assert tek.home(outcome).statuses == {"busy": "cancelled", "next": "cancelled"}
    assert time.monotonic() - begun < 10
    tek.place.assert_nothing_is_left()


def test_term_ends_a_run_at_once_and_leaves_nothing(tek: Tek) -> None:
    started = start_run(
        tek, [{"id": "busy", "command": STUBBORN}, {"id": "next", "depends_on": "busy"}], until="started"
    )

    started.signal(signal.SIGTERM)
    outcome = started.finish().expect(130)

    home = tek.home(outcome)
    assert set(home.statuses.values()) == {"cancelled"}
    with (home.folder / "ledger.jsonl").open("rb") as lines:
        assert check_chain(lines) is None
    tek.place.assert_nothing_is_left()


def test_killed_run_takes_its_server_and_worker_along(tek: Tek) -> None:
    started = start_run(tek, [{"id": "busy", "command": "sh -c 'touch started; sleep 300'"}], until="started")

    started.signal(signal.SIGKILL)
    started.finish()

    wait_until(lambda: not tek.place.processes(), "the end of all processes", timeout_s=20, diagnose=tek.place.listing)


def test_run_whose_worker_is_killed_does_every_task_once(tek: Tek) -> None:
    said = "sh -c 'echo $TEK_TASK >> ran; sleep 0.05'"
    tasks = [{"id": f"t{number}", "command": said} for number in range(30)]
    hang = "sh -c 'touch started; [ $TEK_ATTEMPT = 2 ] || exec sleep 300'"
    tasks += [{"id": "hang", "command": hang}, {"id": "last", "depends_on": "hang;t0"}]
    started = start_run(tek, tasks, until="started")

    (worker,) = tek.worker_processes()
    os.kill(worker.pid, signal.SIGKILL)
    outcome = started.finish().expect(0)

    home = tek.home(outcome)
    assert outcome.json["counts"] == {"succeeded": 32}
    assert len(home.transitions("succeeded")) == 32
    assert home.results["hang"]["attempts"] == 2
    lost = len(home.transitions("attempt_lost"))
    assert len((tek.cwd / "ran").read_text().split()) <= 30 + lost
    assert set((tek.cwd / "ran").read_text().split()) == {f"t{number}" for number in range(30)}


def test_run_whose_server_is_killed_comes_to_its_end(tek: Tek) -> None:
    chain = [
        {"id": f"c{n}", "command": f"sh -c 'touch c{n}; sleep 0.1'", "depends_on": f"c{n - 1}" if n else ""}
        for n in range(8)
    ]
    started = start_run(tek, chain, until="c2")

    children = psutil.Process(started.pid).children()  # the server and the worker, which do not come and go
    (server,) = [process for process in children if "valkey-server" in process.name()]
    os.kill(server.pid, signal.SIGKILL)
    outcome = started.finish().expect(0)

    assert outcome.json["counts"] == {"succeeded": 8}


def test_worker_that_dies_again_and_again_ends_the_run_with_3(tek: Tek) -> None:
    started = start_run(
        tek,
        [{"id": "busy", "command": "sh -c 'touch started; sleep 300'"}],
        *("--set", "worker.restart_limit=0"),
        until="started",
    )

    (worker,) = tek.worker_processes()
    os.kill(worker.pid, signal.SIGKILL)
    outcome = started.finish().expect(3)

    assert "error[worker.failed]" in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_timeout_of_a_task_ends_its_tree_and_the_run_goes_on(tek: Tek) -> None:
    tasks = [{"id": "slow", "command": STUBBORN, "timeout_s": 0.5}, {"id": "other", "command": "true"}]

    outcome = tek.run(tasks, "--set", "worker.kill_grace_s=0.2").expect(1)

    assert [(failure["task"], failure["reason"]) for failure in outcome.json["failed"]] == [("slow", "timeout")]
    tek.place.assert_nothing_is_left()


def test_task_that_escapes_its_session_does_not_outlive_the_run(tek: Tek) -> None:
    command = "sh -c 'setsid sleep 300 & echo $! > escaped; sleep 0.1'"

    tek.run([{"id": "a", "command": command}]).expect(0)

    pid = int(Path(tek.cwd, "escaped").read_text())
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_run_that_is_killed_takes_its_server_its_worker_and_its_tasks_with_it(tek: Tek) -> None:
    started = start_run(tek, [{"id": "busy", "command": STUBBORN}], until="started")
    family = psutil.Process(started.pid).children(recursive=True)

    started.signal(signal.SIGKILL)
    started.process.wait()

    def are_gone() -> bool:
        return not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in family)

    assert len(family) >= 5  # server, worker, two pool children or one, the task and what it started
    wait_until(are_gone, "the end of all processes of the run", timeout_s=20.0, diagnose=lambda: str(family))
