"""Processes of attempts: ended as whole trees, and batches that do not hold each other up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from support.live import LiveCluster
from support.waiting import wait_until

Fresh = Callable[..., LiveCluster]

TREE = """
trap '' TERM
sh -c 'trap "" TERM; echo $$ >> {pids}; while :; do sleep 0.05; done' &
sh -c 'echo $$ >> {pids}; exec sleep 300' &
echo $$ >> {pids}
wait; while :; do sleep 0.05; done
"""


def pids_in(path: Path, count: int) -> list[int]:
    wait_until(lambda: path.is_file() and len(path.read_text().split()) == count, f"{count} process ids in {path}")
    return [int(word) for word in path.read_text().split()]


def are_gone(pids: list[int]) -> bool:
    return not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids)


def test_timeout_kills_the_whole_tree_even_where_it_ignores_term(live: LiveCluster, tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    home = live.carry_out([{"id": "a", "command": TREE.format(pids=pids), "timeout_s": 0.5}])

    assert (home.results["a"]["status"], home.results["a"]["reason"]) == ("failed", "timeout")
    assert are_gone(pids_in(pids, 3))


def test_timeout_ends_a_python_call_and_the_next_call_finds_a_new_helper(live: LiveCluster) -> None:
    home = live.carry_out(
        [
            {"id": "slow", "agent": "python", "command": "time:sleep [300]", "timeout_s": 0.4},
            *({"id": f"n{number}", "agent": "python", "command": 'steps:make {"n": 1}'} for number in range(8)),
        ]
    )

    assert home.results["slow"]["reason"] == "timeout"
    assert [home.results[f"n{number}"]["status"] for number in range(8)] == ["succeeded"] * 8


def test_timed_out_attempt_is_tried_again_when_retries_are_left(live: LiveCluster) -> None:
    command = '[ "$TEK_ATTEMPT" = 2 ] || sleep 300'

    home = live.carry_out([{"id": "a", "command": command, "timeout_s": 0.4, "retries": 1}])

    assert (home.results["a"]["status"], home.results["a"]["attempts"]) == ("succeeded", 2)
    assert home.record("a", 1)["reason"] == "timeout"


def test_command_ended_by_a_signal_says_which(live: LiveCluster) -> None:
    home = live.carry_out([{"id": "a", "command": "kill -KILL $$"}])

    assert (home.results["a"]["reason"], home.results["a"]["signal"]) == ("signal", 9)


def test_process_left_in_the_background_ends_with_its_attempt(live: LiveCluster, tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    home = live.carry_out([{"id": "a", "command": f"sleep 300 & echo $! > {pids}"}])

    assert home.results["a"]["status"] == "succeeded"
    wait_until(lambda: are_gone(pids_in(pids, 1)), "the end of the background process")


def test_long_member_gives_the_rest_of_its_batch_back(fresh: Fresh, tmp_path: Path) -> None:
    sign = tmp_path / "all-quick-ones-are-done"
    quick = [{"id": f"q{number}", "command": "true"} for number in range(40)]
    slow = {"id": "slow", "command": f"while [ ! -e {sign} ]; do sleep 0.02; done", "timeout_s": 20}
    last = {"id": "last", "command": f"touch {sign}", "depends_on": ";".join(task["id"] for task in quick)}
    live = fresh()
    live.start_worker(slots=2)

    home = live.carry_out([slow, *quick, last])

    assert home.summary["status"] == "succeeded", home.results["slow"]
    assert home.transitions("given_back")
    assert all(result["attempts"] == 1 for result in home.results.values())


def test_worker_runs_no_more_at_once_than_it_has_slots(live: LiveCluster) -> None:
    home = live.carry_out([{"id": f"t{number}", "command": "sleep 0.15"} for number in range(12)])

    marks = [(result["started_at"], 1) for result in home.results.values()]
    marks += [(result["finished_at"], -1) for result in home.results.values()]
    running = [sum(step for _, step in sorted(marks)[: at + 1]) for at in range(len(marks))]
    assert max(running) == 4


@pytest.mark.parametrize("warm", ["shell", "python"])
def test_stopping_a_run_at_once_leaves_none_of_its_processes(live: LiveCluster, tmp_path: Path, warm: str) -> None:
    pids = tmp_path / "pids"
    shell = {"id": "a", "command": TREE.format(pids=pids)}
    python = {"id": "a", "agent": "python", "command": f'steps:grow_tree ["{pids}"]'}
    run_id = live.submit([shell if warm == "shell" else python])
    started = pids_in(pids, 3)

    live.store.stop(run_id, kill=True)

    wait_until(lambda: are_gone(started), "the end of all processes of the run")
    assert live.finish(run_id).statuses == {"a": "cancelled"}
