"""`tek chaos` as people call it: on a plan, on a run of their cluster, and what it refuses."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.arena import layers, marked
from support.live import Home
from support.tek import Finished, Tek, tek_place
from support.waiting import wait_until

LEASE = ("--set", "worker.lease_s=2")


@pytest.fixture(scope="module")
def node() -> Iterator[Tek]:
    """A place in which a node with two workers of two slots is up, whose workers may be killed."""
    with tek_place() as tek:
        tek("up", "--workers", 2, "--concurrency", 2, *LEASE).expect(0)
        yield tek
        tek.end_node()


on_node = pytest.mark.xdist_group("chaos-node")


def plan_of(tek: Tek, *, count: int, width: int, then: str) -> tuple[str, Path]:
    """Write a layered plan whose tasks leave marks; return its name and the folder of the marks."""
    marks = Path(tempfile.mkdtemp(prefix="marks-", dir=tek.place.folder))
    return tek.write(f"{marks.name}.csv", layers(marked(marks, then), count=count, width=width)), marks


def kinds(report: dict[str, Any]) -> list[str]:
    return sorted(fault["kind"] for fault in report["faults"])


def check(finished: Finished, tek: Tek, tasks: int) -> dict[str, Any]:
    """Assert that nothing was lost or doubled and that `tek verify` says so as well; return the report."""
    report: dict[str, Any] = finished.expect(0).json
    assert (report["status"], report["lost"], report["doubled"], report["ok"]) == ("succeeded", 0, 0, True), report
    home = Home(tek.cwd / report["folder"])
    assert len(home.transitions("succeeded")) == len(home.results) == tasks
    assert tek("verify", report["run_id"], "--output", "json").expect(0).json["ok"]
    return report


def test_plan_gets_over_kills_of_workers_and_server_and_a_cut(tek: Tek) -> None:
    plan, marks = plan_of(tek, count=6, width=10, then="sleep 0.3")
    options = ("--kills", 2, "--server-kills", 1, "--cuts", 1, "--pauses", 0, "--child-kills", 0, "--task-kills", 0)

    finished = tek("chaos", plan, *options, "--lease", 1.5, "--seed", 3, "--marks", marks, "--output", "json")

    report = check(finished, tek, tasks=60)
    assert kinds(report) == ["cut_network", "kill_server", "kill_worker", "kill_worker"]
    assert "kill_server" in finished.stderr
    assert {path.name for path in marks.iterdir() if "." not in path.name} == set(
        Home(tek.cwd / report["folder"]).results
    )


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_thousand_tasks_get_over_ten_kills_of_workers_two_of_the_server_and_a_cut(tek: Tek) -> None:
    plan, marks = plan_of(tek, count=20, width=50, then="sleep 0.2")
    options = ("--kills", 10, "--server-kills", 2, "--cuts", 1, "--pauses", 1, "--concurrency", 4)

    finished = tek("chaos", plan, *options, "--seed", 5, "--marks", marks, "--output", "json", timeout_s=300.0)

    report = check(finished, tek, tasks=1000)
    assert report["faults_not_done"] == []
    assert (kinds(report).count("kill_worker"), kinds(report).count("kill_server")) == (10, 2)
    released = [death["released_s"] for death in report["recovery"]["deaths"] if is_told(death, report)]
    assert released
    assert all(span_s is None or span_s < 2 * report["lease_s"] for span_s in released), report["recovery"]


def is_told(death: dict[str, Any], report: dict[str, Any]) -> bool:
    """Return whether a worker died while there was a server to be told of it."""
    died_at = datetime.fromisoformat(death["died_at"])
    killed = [datetime.fromisoformat(fault["at"]) for fault in report["faults"] if fault["kind"] == "kill_server"]
    return all(abs((died_at - at).total_seconds()) > 3 * report["lease_s"] for at in killed)


def test_table_tells_people_what_happened(tek: Tek) -> None:
    plan = tek.write("plan.csv", layers("sleep 0.2", count=3, width=4))
    none = [
        part for name in ("pauses", "cuts", "server-kills", "child-kills", "task-kills") for part in (f"--{name}", 0)
    ]

    finished = tek("chaos", plan, "--workers", 2, "--kills", 1, *none, "--lease", 1).expect(0)

    assert "kill_worker" in finished.stdout
    assert "lost: 0\ndoubled: 0\n" in finished.stdout
    assert "the evidence holds" in finished.stdout


@pytest.mark.slow
def test_interrupted_chaos_heals_and_leaves_nothing(tek: Tek) -> None:
    plan, marks = plan_of(tek, count=2, width=4, then="sleep 60")
    started = tek.start("chaos", plan, "--workers", 2, "--lease", 0.5, "--pauses", 1, "--kills", 0, "--seed", 1)
    wait_until(lambda: list(marks.iterdir()), "tasks at work", timeout_s=30.0)
    wait_until(lambda: stopped(tek), "a stopped worker", timeout_s=60.0, diagnose=tek.place.listing)

    started.signal(signal.SIGINT)
    finished = started.finish()

    assert finished.status == 130
    assert "everything is healed" in finished.stderr
    tek.place.assert_nothing_is_left()


def stopped(tek: Tek) -> list[psutil.Process]:
    return [process for process in tek.place.processes() if process.status() == psutil.STATUS_STOPPED]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes end with their parents on Linux only")
def test_killed_chaos_leaves_no_stopped_worker_behind(tek: Tek) -> None:
    plan, _ = plan_of(tek, count=2, width=4, then="sleep 60")
    started = tek.start("chaos", plan, "--workers", 2, "--lease", 0.5, "--pauses", 1, "--kills", 0, "--seed", 1)
    wait_until(lambda: stopped(tek), "a stopped worker", timeout_s=60.0, diagnose=tek.place.listing)

    started.signal(signal.SIGKILL)
    started.process.wait()

    wait_until(lambda: not tek.place.processes(), "the end of all", timeout_s=20.0, diagnose=tek.place.listing)


def submitted(node: Tek, *, count: int, width: int, then: str) -> tuple[str, Path]:
    """Submit a layered plan; return the run and the folder of its marks."""
    plan, marks = plan_of(node, count=count, width=width, then=then)
    # a few faults can all meet the same task
    submitted = node("submit", plan, "--set", "worker.max_attempts=20", "--output", "json").expect(0)
    return submitted.json["run_id"], marks


@on_node
def test_run_on_the_node_gets_over_kills_of_its_workers_and_its_server(node: Tek) -> None:
    run_id, marks = submitted(node, count=5, width=6, then="sleep 0.3")
    faults = ("--kills", 1, "--server-kills", 1, "--pauses", 1, "--child-kills", 1, "--task-kills", 0)

    finished = node("chaos", run_id, "--up", *faults, *LEASE, "--marks", marks, "--output", "json")

    report = check(finished, node, tasks=30)
    assert kinds(report) == ["kill_child", "kill_server", "kill_worker", "pause_worker"]


@on_node
def test_only_the_worker_that_was_named_is_struck(node: Tek) -> None:
    workers = wait_until(lambda: two_workers(node), "two workers", timeout_s=30.0)
    run_id, _ = submitted(node, count=4, width=4, then="sleep 0.3")
    only = ("--kills", 1, "--child-kills", 0, "--pauses", 0, "--task-kills", 0)

    finished = node("chaos", run_id, "--worker", workers[0]["pid"], *only, *LEASE, "--output", "json")

    left = {worker["name"] for worker in node("workers", "--output", "json").expect(0).json["workers"]}
    assert [fault["target"] for fault in finished.expect(0).json["faults"]] == [workers[0]["name"]]
    assert workers[1]["name"] in left
    assert workers[0]["name"] not in left


def two_workers(node: Tek) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = node("workers", "--output", "json").expect(0).json["workers"]
    return found if len(found) == 2 else []


@on_node
def test_chaos_refuses_what_it_was_not_told_of(node: Tek) -> None:
    run_id, _ = submitted(node, count=1, width=1, then="true")
    plan = node.write("plan.csv", [{"id": "a", "command": "true"}])

    nobody = node("chaos", run_id)
    stranger = node("chaos", run_id, "--worker", os.getpid())
    server = node("chaos", run_id, "--worker", os.getpid(), "--server-kills", 1)
    wire = node("chaos", run_id, "--up", "--cuts", 1)
    both = node("chaos", plan, "--up")

    assert [outcome.status for outcome in (nobody, stranger, server, wire, both)] == [2] * 5
    assert "nothing was named" in nobody.stderr
    assert "no worker of yours" in stranger.stderr
    assert "only the server of `tek up`" in server.stderr
    assert "cut off" in wire.stderr
    assert "cluster of its own" in both.stderr


@on_node
def test_killed_submitter_leaves_a_run_that_another_folder_brings_home(node: Tek) -> None:
    plan, marks = plan_of(node, count=4, width=3, then="sleep 0.4")
    submitter = node.start("submit", plan, "--wait")
    wait_until(lambda: list(marks.iterdir()), "tasks at work", timeout_s=30.0)

    submitter.signal(signal.SIGKILL)
    submitter.process.wait()
    elsewhere = node.place.folder / "elsewhere"
    elsewhere.mkdir()
    finished = node("collect", "last", "--wait", "--runs-dir", elsewhere, "--output", "json").expect(0)

    home = Home(elsewhere / finished.json["run_id"])
    assert set(home.statuses.values()) == {"succeeded"}
    assert all((marks / task).read_text() == "1\n" for task in home.results)
    assert node("verify", home.folder).expect(0)
