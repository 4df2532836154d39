"""A cluster on five hosts with addresses of their own: server, submitter and three workers, whose cables are pulled.

Where network namespaces are not allowed (no rights, no `ip` of iproute2) these are skipped with the reason; elsewhere,
CI included, they run.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.arena import layers, marked
from support.hosts import EXECUTABLE, Host, Hosts, network, why_not
from support.isolation import Place, new_place
from support.live import Home, csv_text
from support.waiting import wait_until

from taskexec.store.embedded import ServerProgram

LEASE_S = 2.0
PASSWORD = "on-a-network-of-its-own"

REASON = why_not()
pytestmark = [
    pytest.mark.skipif(REASON is not None, reason=REASON or ""),
    pytest.mark.xdist_group("hosts"),
    pytest.mark.timeout(180),
]


class Net:
    """The hosts with a server and three workers at work."""

    def __init__(self, place: Place, hosts: Hosts, program: ServerProgram) -> None:
        self.place = place
        self.hosts = hosts
        self.program = program
        self.url = f"redis://:{PASSWORD}@{hosts.server.address}:6379/0"
        self.log = place.folder / "hosts.log"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        for name in ("project", "data"):
            (place.folder / name).mkdir()
        self.marks = place.folder / "marks"

    def start_server(self) -> None:
        options = {"bind": self.hosts.server.address, "port": 6379, "appendonly": "yes", "save": "", "dir": "data"}
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        argv = [self.program.path, *arguments, "--requirepass", PASSWORD, "--loglevel", "warning"]
        self.processes["server"] = self.hosts.server.start(argv, cwd=self.place.folder, log=self.log)

    def start_worker(self, host: Host) -> None:
        settings = {"lease_s": LEASE_S, "reap_interval_s": 0.3, "project_dir": self.place.folder / "project"}
        options = [part for name, value in settings.items() for part in ("--set", f"worker.{name}={value}")]
        argv = [EXECUTABLE, "worker", "--concurrency", 2, *options]
        environ = host.environ() | {"TEK_REDIS_URL": self.url}
        self.processes[host.name] = host.start(argv, cwd=self.place.folder, log=self.log, environ=environ)

    def tek(self, *arguments: object) -> subprocess.Popen[bytes]:
        """Start `tek` on the submitter's host."""
        host = self.hosts.submitter
        environ = host.environ() | {"TEK_REDIS_URL": self.url}
        return host.start([EXECUTABLE, *arguments], cwd=self.place.folder, log=self.log, environ=environ)

    def ask(self, *arguments: object) -> Any:
        process = self.tek(*arguments, "--output", "json")
        stdout, _ = process.communicate(timeout=60)
        return json.loads(stdout) if process.returncode == 0 else None

    def seen(self) -> str:
        return self.log.read_text(errors="replace")[-2000:]

    def worker_hosts(self) -> set[str]:
        answer = self.ask("workers")
        return {worker["host"] for worker in answer["workers"]} if answer else set()

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

    def close(self) -> None:
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in self.processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=15)


@pytest.fixture(scope="module")
def net(server_program: ServerProgram) -> Iterator[Net]:
    with new_place() as place, network(place, workers=3) as hosts:
        net = Net(place, hosts, server_program)
        try:
            net.start_server()
            for host in hosts.workers:
                net.start_worker(host)
            wait_until(lambda: len(net.worker_hosts()) == 3, "three workers", timeout_s=60.0, diagnose=net.seen)
            yield net
        finally:
            net.close()


@pytest.mark.slow
def test_run_is_shared_by_the_hosts(net: Net) -> None:
    home = net.finish(net.submit("shared"))

    hosts = {home.record(task)["host"] for task in home.results}
    assert hosts == {host.name for host in net.hosts.workers}
    assert [result["attempts"] for result in home.results.values()] == [1] * 30


def test_ranks_of_a_distributed_task_find_each_other_on_three_hosts(net: Net) -> None:
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


def test_cable_of_a_worker_is_pulled_for_longer_than_a_lease(net: Net) -> None:
    following = net.submit("pulled")
    net.hosts.workers[0].cut()
    try:
        pass_time(1.5)
    finally:
        net.hosts.workers[0].heal()

    home = net.finish(following)

    assert home.transitions("attempt_lost")
    wait_until(lambda: len(net.worker_hosts()) == 3, "the worker's return", timeout_s=40.0, diagnose=net.seen)


@pytest.mark.slow
@pytest.mark.parametrize("chain", ["INPUT", "OUTPUT"])
def test_packets_of_a_worker_are_dropped_one_way(net: Net, chain: str) -> None:
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

    wait_until(lambda: len(net.worker_hosts()) == 3, "the worker's return", timeout_s=40.0, diagnose=net.seen)


@pytest.mark.slow
def test_submitter_that_was_cut_off_for_a_while_follows_to_the_end(net: Net) -> None:
    following = net.submit("cut-submitter")
    net.hosts.submitter.cut()
    try:
        pass_time(2.0)
    finally:
        net.hosts.submitter.heal()

    net.finish(following)


@pytest.mark.slow
def test_server_that_was_killed_comes_back_on_its_address(net: Net) -> None:
    following = net.submit("server-killed")
    process = net.processes["server"]
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=10)
    net.start_server()

    net.finish(following)


@pytest.mark.slow
def test_host_of_a_worker_that_goes_for_good_is_done_without(net: Net) -> None:
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
        net.start_worker(host)

    assert {home.record(task, result["attempts"])["host"] for task, result in home.results.items()}
    wait_until(lambda: len(net.worker_hosts()) == 3, "another worker there", timeout_s=60.0, diagnose=net.seen)
