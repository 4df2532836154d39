"""Runs come home as they go while somebody wants it: all of a cluster, also those of which others write the folder."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
from support.live import LiveCluster
from support.waiting import wait_until

from taskexec.cluster.keeper import Keeper
from taskexec.cluster.keeper_process import keeper_process

Fresh = Callable[..., LiveCluster]


@contextlib.contextmanager
def keeping(live: LiveCluster, *run_ids: str) -> Iterator[list[str]]:
    """Keep until the context ends; gives what is told."""
    told: list[str] = []
    keeper = Keeper(live.cluster, run_ids, tell=told.append)
    thread = threading.Thread(target=keeper.run)
    thread.start()
    try:
        yield told
    finally:
        keeper.stop()
        thread.join(30.0)
        assert not thread.is_alive()


def status(live: LiveCluster, run_id: str) -> str | None:
    """Return what the summary at home says."""
    path: Path = live.settings.evidence.runs_dir / run_id / "run.json"
    return str(json.loads(path.read_text())["status"]) if path.is_file() else None


def test_runs_come_home_as_they_are_submitted(fresh: Fresh) -> None:
    live = fresh()
    live.start_worker()
    before = live.submit([{"id": "a", "command": "echo kept"}])
    with keeping(live) as told:
        runs = [before, live.submit([{"id": "a", "agent": "noop"}]), live.submit([{"id": "a", "command": "exit 1"}])]

        wait_until(lambda: all(status(live, run_id) for run_id in runs), "them to come home", diagnose=lambda: told)

    assert [status(live, run_id) for run_id in runs] == ["succeeded", "succeeded", "failed"]
    assert (live.settings.evidence.runs_dir / before / "tasks/a/attempt-1/stdout.log").read_text() == "kept\n"


def test_run_that_goes_on_is_at_home_as_far_as_it_went(fresh: Fresh) -> None:
    live = fresh()
    live.start_worker()
    run_id = live.submit([{"id": "a", "agent": "noop"}, {"id": "b", "command": "sleep 60", "depends_on": "a"}])
    ledger = live.settings.evidence.runs_dir / run_id / "ledger.jsonl"
    with keeping(live):
        wait_until(lambda: ledger.is_file() and b'"succeeded"' in ledger.read_bytes(), "the first task's end")

    live.store.stop(run_id, kill=True)
    home = live.finish(run_id)
    assert home.statuses == {"a": "succeeded", "b": "cancelled"}


def test_folder_of_another_writer_is_left_to_it_and_taken_up_later(fresh: Fresh) -> None:
    live = fresh()
    live.start_worker()
    run_id = live.submit([{"id": "a", "agent": "noop"}])
    with contextlib.closing(live.cluster.collector(run_id)), keeping(live) as told:
        other = live.submit([{"id": "a", "agent": "noop"}])
        wait_until(lambda: status(live, other), "the other run")
        assert status(live, run_id) is None
        assert [line for line in told if run_id in line and "another command" in line]

    with keeping(live):
        wait_until(lambda: status(live, run_id) == "succeeded", "the first run")


def test_keeping_ends_when_the_named_runs_are_at_home(fresh: Fresh) -> None:
    live = fresh()
    live.start_worker()
    named, other = live.submit([{"id": "a", "agent": "noop"}]), live.submit([{"id": "a", "agent": "noop"}])

    Keeper(live.cluster, [named]).run()

    assert (status(live, named), status(live, other)) == ("succeeded", None)


def test_run_that_is_reopened_comes_home_again(fresh: Fresh) -> None:
    live = fresh()
    live.start_worker()
    run_id = live.submit([{"id": "a", "command": "test -e again || exit 1"}])
    with keeping(live):
        wait_until(lambda: status(live, run_id) == "failed", "its first end")
        (live.project / "again").write_text("")
        live.cluster.submitter.run_again(run_id, [0], why="a test")
        wait_until(lambda: status(live, run_id) == "succeeded", "its second end")


def test_run_that_the_server_loses_is_taken_up_again(fresh: Fresh) -> None:
    live = fresh()
    live.start_worker()
    run_id = live.submit([{"id": "a", "agent": "noop"}, {"id": "b", "command": "sleep 3", "depends_on": "a"}])
    ledger = live.settings.evidence.runs_dir / run_id / "ledger.jsonl"
    with keeping(live) as told:
        wait_until(lambda: ledger.is_file() and b'"succeeded"' in ledger.read_bytes(), "the first task's end")
        live.lose_all_data()
        wait_until(
            lambda: [supervisor.tend() for supervisor in live.supervisors] and status(live, run_id) == "succeeded",
            "its end",
            timeout_s=40.0,
            diagnose=lambda: (told, live.log()),
        )


def test_process_beside_another_one_keeps_and_ends_with_it(fresh: Fresh) -> None:
    live = fresh()
    live.start_worker()
    run_id = live.submit([{"id": "a", "agent": "noop"}])
    own = psutil.Process()
    before = {process.pid for process in own.children()}
    with keeper_process(live.cluster):
        wait_until(lambda: status(live, run_id) == "succeeded", "the run to come home", timeout_s=20.0)
        (keeper,) = [process for process in own.children() if process.pid not in before]
        keeper.kill()
        other = live.submit([{"id": "a", "agent": "noop"}])
        wait_until(lambda: status(live, other) == "succeeded", "the next run to come home", timeout_s=20.0)

    assert {process.pid for process in own.children()} == before
