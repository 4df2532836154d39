"""Distributed tasks with real workers: all ranks begin together, one fate for all, and everything they held returns."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
from support.live import Home, LiveCluster
from support.waiting import wait_until

from taskexec.completion.keys import Trust
from taskexec.completion.proof import verify_folder
from taskexec.runtime.supervisor import WorkerSupervisor
from taskexec.runtime.sweep import is_alive
from taskexec.store.nodes import RedisNodes

Fresh = Callable[..., LiveCluster]

TELL = "python3 -c \"import json,os,time; at=time.time(); print(json.dumps({**os.environ, 'at': at}))\""
GANG = {"id": "g", "nodes": "2", "command": TELL}
SKEW_S = 0.1
"""What the ranks of a gang may start apart on one machine; with several tests at once it can be more."""


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def skew_s(home: Home, task: str = "g", attempt: int = 1) -> float:
    started = [seconds(rank["started_at"]) for rank in home.record(task, attempt)["ranks"]]
    return max(started) - min(started)


def told(home: Home, ranks: int, task: str = "g", attempt: int = 1) -> list[dict[str, Any]]:
    folder = home.attempt(task, attempt)
    logs = [folder / "stdout.log", *(folder / f"rank-{rank}" / "stdout.log" for rank in range(1, ranks))]
    return [json.loads(log.read_text()) for log in logs]


def pids(folder: Path, count: int) -> list[int]:
    def read() -> list[int] | None:
        found = [int(path.read_text()) for path in folder.glob("pid-*") if path.read_text().strip()]
        return found if len(found) == count else None

    return wait_until(read, f"{count} ranks at work", timeout_s=30.0)


def assert_nothing_is_held(live: LiveCluster) -> None:
    nodes = RedisNodes(live.cluster.connection)

    def is_free() -> bool:
        return all(not view.holds and view.free == view.total for view in nodes.views())

    wait_until(is_free, "everything to be given back", timeout_s=15.0, diagnose=nodes.views)


def assert_ended(found: list[int]) -> None:
    wait_until(lambda: not any(map(is_alive, found)), "all ranks to end", timeout_s=2.0)


def assert_verified(home: Home) -> None:
    found = verify_folder(home.folder, Trust({}))
    assert found.problems == ()


def hanging(folder: Path, *, when: str = "true") -> str:
    """Return a command that notes its process and hangs, when a condition of the shell holds."""
    return f"if {when}; then echo $$ > {folder}/pid-$RANK; exec sleep 300; fi; echo $TEK_ATTEMPT"


def test_four_packed_ranks_on_one_worker_begin_together(fresh: Fresh) -> None:
    live = fresh()
    worker = live.start_worker(slots=4)

    home = live.carry_out([GANG | {"nodes": "4", "packed": "yes"}])

    assert home.statuses == {"g": "succeeded"}
    said = told(home, 4)
    assert [one["RANK"] for one in said] == [one["LOCAL_RANK"] for one in said] == ["0", "1", "2", "3"]
    assert {(one["WORLD_SIZE"], one["LOCAL_WORLD_SIZE"], one["NODE_RANK"]) for one in said} == {("4", "4", "0")}
    assert {(one["MASTER_ADDR"], one["TEK_HOSTS"]) for one in said} == {("127.0.0.1", ",".join(["127.0.0.1"] * 4))}
    assert len({one["MASTER_PORT"] for one in said}) == 1
    ranks = home.record("g")["ranks"]
    assert [(rank["rank"], rank["status"], rank["worker"]) for rank in ranks] == [
        (number, "succeeded", worker.name) for number in range(4)
    ]
    assert all(rank["usage"]["cpu_s"] > 0 for rank in ranks)
    assert skew_s(home) < SKEW_S
    assert max(one["at"] for one in said) - min(one["at"] for one in said) < 5 * SKEW_S
    assert_nothing_is_held(live)
    assert_verified(home)


def test_two_ranks_go_to_two_workers_and_leave_files_and_a_result(fresh: Fresh) -> None:
    live = fresh()
    names = {live.start_worker(slots=1).name, live.start_worker(slots=1).name}
    command = 'cat $TEK_HOSTFILE; echo "err $RANK" >&2; echo $RANK > $TEK_OUTPUT/mine; echo $RANK > $TEK_RESULT'

    home = live.carry_out([GANG | {"command": command}])

    record = home.record("g")
    assert {rank["worker"] for rank in record["ranks"]} == names
    assert record["result"] == 0
    folder = home.attempt("g")
    assert home.stdout("g") == (folder / "rank-1/stdout.log").read_text() == "127.0.0.1 slots=2\n"
    assert (folder / "rank-1/stderr.log").read_text() == "err 1\n"
    assert (folder / "files/mine").read_text() == "0\n"
    assert (folder / "rank-1/files/mine").read_text() == "1\n"
    assert_nothing_is_held(live)
    assert_verified(home)


def test_gang_whose_worker_is_killed_is_done_by_its_second_attempt(fresh: Fresh, tmp_path: Path) -> None:
    live = fresh()
    workers = [live.start_worker(slots=2), live.start_worker(slots=2)]
    run_id = live.submit([GANG | {"command": hanging(tmp_path, when="[ $TEK_ATTEMPT = 1 ]")}])
    at_work = pids(tmp_path, 2)
    other = _worker_of_rank(live, workers, 1)
    assert other.pid is not None

    os.kill(other.pid, signal.SIGKILL)
    home = live.finish(run_id, tend=True)

    assert home.statuses == {"g": "succeeded"}
    assert home.results["g"]["attempts"] == 2
    assert [rank["status"] for rank in home.record("g", 2)["ranks"]] == ["succeeded"] * 2
    assert_ended(at_work)
    assert_nothing_is_held(live)
    assert_verified(home)


def test_gang_whose_pool_child_is_killed_is_done_by_its_second_attempt(fresh: Fresh, tmp_path: Path) -> None:
    live = fresh()
    live.start_worker(slots=2)
    command = f"[ $RANK = 1 ] && echo $TEK_SLOT > {tmp_path}/slot; {hanging(tmp_path, when='[ $TEK_ATTEMPT = 1 ]')}"
    run_id = live.submit([GANG | {"packed": "yes", "command": command}])
    at_work = pids(tmp_path, 2)

    os.kill(int((tmp_path / "slot").read_text()), signal.SIGKILL)
    home = live.finish(run_id)

    assert (home.statuses, home.results["g"]["attempts"]) == ({"g": "succeeded"}, 2)
    assert_ended(at_work)
    assert_nothing_is_held(live)
    assert_verified(home)


def test_rank_that_does_not_come_to_the_barrier_ends_the_attempt(fresh: Fresh) -> None:
    live = fresh(worker__gang_timeout_s=1.0, worker__reap_interval_s=30.0)
    workers = [live.start_worker(slots=1), live.start_worker(slots=1)]
    names = [view.name for view in RedisNodes(live.cluster.connection).views()]
    stopped = next(worker for worker in workers if worker.name == names[1])
    assert stopped.pid is not None
    for process in [psutil.Process(stopped.pid), *psutil.Process(stopped.pid).children(recursive=True)]:
        process.suspend()

    home = live.carry_out([GANG | {"retry_on": "exit"}])

    result = home.record("g")
    assert home.statuses == {"g": "failed"}
    assert result["reason"] == "infrastructure"
    assert f"rank 1 on `{stopped.name}` did not come to the barrier within 1 s" in result["error"]


def test_failing_rank_ends_the_others_and_names_itself(fresh: Fresh, tmp_path: Path) -> None:
    live = fresh()
    live.start_worker(slots=3)
    command = f"[ $RANK = 1 ] && {{ sleep 0.3; exit 7; }}; {hanging(tmp_path)}"

    home = live.carry_out([GANG | {"nodes": "3", "packed": "yes", "command": command}])

    record = home.record("g")
    assert (record["status"], record["reason"], record["exit_status"]) == ("failed", "exit", 7)
    assert record["error"].startswith("rank 1 on `")
    reasons = [rank.get("reason") for rank in record["ranks"]]
    assert reasons == ["cancelled", "exit", "cancelled"]
    assert_ended(pids(tmp_path, 2))
    assert_nothing_is_held(live)
    assert_verified(home)


def test_first_rank_that_fails_ends_the_others(fresh: Fresh, tmp_path: Path) -> None:
    live = fresh()
    live.start_worker(slots=2)
    command = f"[ $RANK = 0 ] && {{ sleep 0.3; exit 3; }}; {hanging(tmp_path)}"

    home = live.carry_out([GANG | {"packed": "yes", "command": command}])

    record = home.record("g")
    assert (record["exit_status"], record["error"].split(" on ")[0]) == (3, "rank 0")
    assert record["ranks"][1]["reason"] == "cancelled"
    assert_nothing_is_held(live)


def test_time_limit_ends_all_ranks(fresh: Fresh, tmp_path: Path) -> None:
    live = fresh()
    live.start_worker(slots=2)

    home = live.carry_out([GANG | {"packed": "yes", "timeout_s": "1", "command": hanging(tmp_path)}])

    assert home.record("g")["reason"] == "timeout"
    assert_ended(pids(tmp_path, 2))
    assert_nothing_is_held(live)


def test_cancel_ends_all_ranks(fresh: Fresh, tmp_path: Path) -> None:
    live = fresh()
    for _ in range(2):
        live.start_worker(slots=1)
    run_id = live.submit([GANG | {"command": hanging(tmp_path)}])
    at_work = pids(tmp_path, 2)

    live.store.stop(run_id, kill=True)
    home = live.finish(run_id)

    assert home.statuses == {"g": "cancelled"}
    assert_ended(at_work)
    assert_nothing_is_held(live)


def test_gangs_that_need_the_same_workers_run_one_after_the_other(fresh: Fresh) -> None:
    live = fresh()
    for _ in range(2):
        live.start_worker(slots=1)
    tasks = [GANG | {"id": name, "cpus": "40", "command": "sleep 0.2"} for name in "abcd"]

    home = live.carry_out(tasks)

    assert set(home.statuses.values()) == {"succeeded"}
    spans = sorted(
        (seconds(home.record(name)["started_at"]), seconds(home.record(name)["finished_at"])) for name in "abcd"
    )
    assert all(one[1] <= other[0] for one, other in pairwise(spans))
    assert_nothing_is_held(live)


def test_dry_run_of_a_gang_describes_it_once(fresh: Fresh, tmp_path: Path) -> None:
    live = fresh()
    live.start_worker(slots=2)

    home = live.carry_out([GANG | {"packed": "yes", "command": f"touch {tmp_path}/$RANK"}], dry_run=True)

    assert home.statuses == {"g": "succeeded"}
    assert "would run" in home.stdout("g")
    assert list(tmp_path.iterdir()) == []
    assert_nothing_is_held(live)


def _worker_of_rank(live: LiveCluster, workers: list[WorkerSupervisor], rank: int) -> WorkerSupervisor:
    run_id = live.store.active()[0]
    begun = live.store.begun(run_id, next(member for member, _ in live.store.leases(run_id)), 2)[rank]
    assert begun is not None
    return next(worker for worker in workers if begun.token.startswith(f"{worker.name}/"))
