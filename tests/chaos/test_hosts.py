"""A cluster on five hosts with addresses of their own: server, submitter and three workers, whose cables are pulled.

Where network namespaces are not allowed (no rights, no `ip` of iproute2) these are skipped with the reason; elsewhere,
CI included, they run.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.arena import layers, marked
from support.hosts import network, why_not
from support.isolation import new_place
from support.live import Home, csv_text
from support.net import Net
from support.waiting import wait_until

from taskexec.store.embedded import ServerProgram

LEASE_S = 2.0
SLOTS = ("--concurrency", 2)

REASON = why_not()
pytestmark = [
    pytest.mark.skipif(REASON is not None, reason=REASON or ""),
    pytest.mark.xdist_group("hosts"),
    pytest.mark.timeout(180),
]


class Layered(Net):
    """The hosts with a server and three workers, and runs of layered plans on them."""

    marks = Path()

    def submit(self, name: str) -> subprocess.Popen[bytes]:
        """Submit a layered plan and follow it; returns once tasks of it run."""
        self.marks = self.place.folder / f"marks-{name}"
        self.marks.mkdir()
        plan = self.place.folder / f"{name}.csv"
        plan.write_text(csv_text(layers(marked(self.marks, "sleep 0.4"), count=5, width=6)))
        following = self.tek("submit", plan, "--wait", "--runs-dir", f"runs-{name}", "--output", "json")
        wait_until(lambda: any(self.marks.iterdir()), "tasks at work", timeout_s=30.0, diagnose=self.seen)
        return following

    def finish(self, following: subprocess.Popen[bytes]) -> Home:
        """Wait for the end of a run, and check that each task was done once."""
        stdout, _ = following.communicate(timeout=90)
        assert following.returncode == 0, (stdout, self.seen())
        home = Home(self.place.folder / json.loads(stdout)["folder"])
        assert set(home.statuses.values()) == {"succeeded"}
        assert len(home.transitions("succeeded")) == len(home.results) == 30
        for task, result in home.results.items():
            assert len((self.marks / task).read_text().split()) <= result["attempts"], task
        verified = self.tek("verify", home.folder)
        verified.communicate(timeout=60)
        assert verified.returncode == 0
        return home


@pytest.fixture(scope="module")
def net(server_program: ServerProgram) -> Iterator[Layered]:
    with new_place() as place, network(place, workers=3) as hosts:
        net = Layered(place, hosts, server_program, lease_s=LEASE_S)
        try:
            net.start_server()
            for host in hosts.workers:
                net.start_worker(host, *SLOTS)
            net.await_workers(3)
            yield net
        finally:
            net.close()


@pytest.mark.slow
def test_run_is_shared_by_the_hosts(net: Layered) -> None:
    home = net.finish(net.submit("shared"))

    hosts = {home.record(task)["host"] for task in home.results}
    assert hosts == {host.name for host in net.hosts.workers}
    assert [result["attempts"] for result in home.results.values()] == [1] * 30


def test_ranks_of_a_distributed_task_find_each_other_on_three_hosts(net: Layered) -> None:
    program = Path(__file__).parents[2] / "examples" / "train.py"
    plan = net.place.folder / "gang.csv"
    plan.write_text(csv_text([{"id": "g", "nodes": 3, "queue": "cpu", "command": f"python3 {program}"}]))

    following = net.tek("submit", plan, "--wait", "--runs-dir", "runs-gang", "--output", "json")
    stdout, _ = following.communicate(timeout=60)

    assert following.returncode == 0, (stdout, net.seen())
    record = Home(net.place.folder / json.loads(stdout)["folder"]).record("g")
    assert record["result"]["ranks"] == 3
    assert {rank["host"] for rank in record["ranks"]} == {host.name for host in net.hosts.workers}


def pass_time(leases: float) -> None:
    """Wait until so many leases have passed: what happens to those of a host that is cut off can be seen by nobody."""
    until = time.monotonic() + leases * LEASE_S
    wait_until(lambda: time.monotonic() > until, "some leases", timeout_s=leases * LEASE_S + 5)


@pytest.mark.slow
def test_cable_of_a_worker_is_pulled_for_longer_than_a_lease(net: Layered) -> None:
    following = net.submit("pulled")
    net.hosts.workers[0].cut()
    try:
        pass_time(1.5)
    finally:
        net.hosts.workers[0].heal()

    home = net.finish(following)

    assert home.transitions("attempt_lost")
    net.await_workers(3, timeout_s=40.0)


@pytest.mark.slow
@pytest.mark.parametrize("chain", ["INPUT", "OUTPUT"])
def test_packets_of_a_worker_are_dropped_one_way(net: Layered, chain: str) -> None:
    host = net.hosts.workers[1]
    following = net.submit(f"one-way-{chain}")
    try:
        host.drop(chain)
    except (OSError, subprocess.CalledProcessError) as error:
        following.communicate(timeout=90)
        pytest.skip(f"there is no packet filter here: {getattr(error, 'stderr', error)}")
    try:
        pass_time(2.0)
    finally:
        host.pass_again(chain)

    net.finish(following)

    net.await_workers(3, timeout_s=40.0)


@pytest.mark.slow
def test_submitter_that_was_cut_off_for_a_while_follows_to_the_end(net: Layered) -> None:
    following = net.submit("cut-submitter")
    net.hosts.submitter.cut()
    try:
        pass_time(2.0)
    finally:
        net.hosts.submitter.heal()

    net.finish(following)


@pytest.mark.slow
def test_server_that_was_killed_comes_back_on_its_address(net: Layered) -> None:
    following = net.submit("server-killed")
    process = net.processes["server"]
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=10)
    net.start_server()

    net.finish(following)


@pytest.mark.slow
def test_host_of_a_worker_that_goes_for_good_is_done_without(net: Layered) -> None:
    host = net.hosts.workers[2]
    following = net.submit("gone")
    process = net.processes.pop(host.name)
    host.cut()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=10)

    try:
        home = net.finish(following)
    finally:
        host.heal()
        wait_until(lambda: host.reaches(net.hosts.server.address, 6379), "the way to the server", timeout_s=20.0)
        net.start_worker(host, *SLOTS)

    assert {home.record(task, result["attempts"])["host"] for task, result in home.results.items()}
    net.await_workers(3)
