"""The executing side in this process, against a real server: claims, completions, lost leases, time limits."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from billiard.exceptions import WorkerLostError
from support.agents import STUBBORN, StubbornAgent
from support.isolation import environment, new_place
from support.live import LiveCluster, live_cluster
from support.waiting import wait_until

from taskexec.agents import AgentRegistry
from taskexec.broker import make_app, queue_key
from taskexec.completion.evidence import EvidenceLimits
from taskexec.domain.program import Member
from taskexec.domain.resources import Capacity, Route
from taskexec.domain.states import Reason
from taskexec.runtime.attempt import lost_record
from taskexec.runtime.attendant import AttemptFailed, Attendant, celery_meta
from taskexec.runtime.authority import Authority
from taskexec.runtime.caretaker import Caretaker
from taskexec.runtime.carrier import CarrierSettings
from taskexec.store.connection import Connection
from taskexec.store.keys import run_key

WORKER = "tek-here@test"
LEASE_S = 0.6


@pytest.fixture(scope="module")
def idle_cluster() -> Iterator[LiveCluster]:
    with new_place() as place, environment(place.environ()), live_cluster(place) as live:
        yield live


@pytest.fixture
def idle(idle_cluster: LiveCluster) -> Iterator[LiveCluster]:
    """A server without workers: messages stay where they are, and this process performs."""
    with environment(idle_cluster.place.environ()):
        yield idle_cluster


@pytest.fixture
def attend(idle: LiveCluster, tmp_path: Path) -> Iterator[Callable[..., Attendant]]:
    made: list[Attendant] = []

    def make(agents: AgentRegistry | None = None, *, grace_s: float = 0.2) -> Attendant:
        settings = CarrierSettings(
            worker=WORKER,
            authority=Authority.of(idle.settings.security),
            scratch=tmp_path,
            lease_s=LEASE_S,
            patience_s=0.05,
            limits=EvidenceLimits(),
        )
        attendant = Attendant(
            settings, connect=lambda: Connection(idle.server.url), agents=agents or AgentRegistry(), grace_s=grace_s
        )
        made.append(attendant)
        return attendant

    yield make
    for attendant in made:
        attendant.close()
        attendant.process.store.connection.close()


def request_of(run_id: str, *members: tuple[int, int]) -> Any:
    return SimpleNamespace(tek={"run": run_id, "members": [list(member) for member in members]}, children=[])


def beside(act: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    return thread


def lose(live: LiveCluster, run_id: str, index: int = 0) -> None:
    live.await_state(run_id, "R1", index)
    live.store.lose(run_id, [Member(index, 1)], worker=WORKER, record=lost_record("test", worker=WORKER))


def test_attempt_is_performed_and_then_completed(idle: LiveCluster, attend: Callable[..., Attendant]) -> None:
    run_id = idle.submit([{"id": "a", "command": "echo hello"}])
    attendant, request = attend(), request_of(run_id, (0, 1))

    performed = attendant.attempt(request)
    between = idle.state(run_id)
    attendant.complete(request, key="k", result=b"{}", retry=b"")

    assert performed is not None
    assert (performed.outcome.succeeded, performed.outcome.result) == (True, "hello")
    assert (between, idle.state(run_id)) == ("R1", "S1")


def test_second_message_for_an_attempt_finds_it_taken(idle: LiveCluster, attend: Callable[..., Attendant]) -> None:
    run_id = idle.submit([{"id": "a", "command": "true"}])
    attendant = attend()

    first = attendant.attempt(request_of(run_id, (0, 1)))
    second = attendant.attempt(request_of(run_id, (0, 1)))

    assert first is not None
    assert second is None


def test_backend_hands_a_success_to_the_latch(idle: LiveCluster, attend: Callable[..., Attendant]) -> None:
    run_id = idle.submit([{"id": "a", "command": "echo hello"}])
    attendant, request = attend(), request_of(run_id, (0, 1))
    app: Any = make_app(idle.server.url, latch=attendant)
    attendant.attempt(request)

    app.backend.mark_as_done(f"{run_id}.0", "hello", request=request)

    assert idle.state(run_id) == "S1"
    assert app.AsyncResult(f"{run_id}.0").get(timeout=5) == "hello"
    app.close()


def test_backend_hands_a_failure_to_the_latch_as_retry_and_at_last_as_failure(
    idle: LiveCluster, attend: Callable[..., Attendant]
) -> None:
    run_id = idle.submit([{"id": "a", "command": "false", "retries": 1}])
    attendant, seen = attend(), []
    app: Any = make_app(idle.server.url, latch=attendant)

    for attempt in (1, 2):
        request = request_of(run_id, (0, attempt))
        attendant.attempt(request)
        app.backend.mark_as_failure(f"{run_id}.0", AttemptFailed("exit status 1"), request=request)
        seen.append((idle.state(run_id), app.AsyncResult(f"{run_id}.0").state))

    assert seen == [("Q2", "RETRY"), ("F2", "FAILURE")]
    app.close()


def test_backend_hands_a_dead_pool_child_to_the_latch(idle: LiveCluster, attend: Callable[..., Attendant]) -> None:
    run_id = idle.submit([{"id": "a", "command": "true"}, {"id": "b", "command": "true"}])
    attendant = attend()
    app: Any = make_app(idle.server.url, latch=attendant)
    idle.store.claim(run_id, [Member(0, 1)], worker=WORKER, token=f"{WORKER}/1-1", lease_s=60)

    app.backend.mark_as_failure("x", WorkerLostError("gone"), request=request_of(run_id, (0, 1), (1, 1)))

    assert idle.store.states(run_id) == {0: "Q2", 1: "Q1"}
    app.close()


@pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")  # Celery's own use of redis-py
def test_backend_queues_again_what_celery_revoked(idle: LiveCluster, attend: Callable[..., Attendant]) -> None:
    run_id = idle.submit([{"id": "a", "command": "true"}])
    app: Any = make_app(idle.server.url, latch=attend())
    queue = queue_key(Route.CPU, 0)
    waiting = idle.cluster.connection.call("LLEN", queue)

    app.backend.mark_as_revoked(f"{run_id}.0")
    app.backend.mark_as_revoked("not-ours")

    assert idle.state(run_id) == "Q1"
    assert idle.cluster.connection.call("LLEN", queue) == waiting + 1
    app.close()


def test_members_of_a_batch_are_each_completed(idle: LiveCluster, attend: Callable[..., Attendant]) -> None:
    run_id = idle.submit([{"id": "a", "command": "true"}, {"id": "b", "command": "false"}, {"id": "c"}])

    attend().batch(request_of(run_id, (0, 1), (1, 1), (2, 1)), celery_meta)

    assert idle.store.states(run_id) == {0: "S1", 1: "F1", 2: "S1"}
    meta = orjson.loads(idle.cluster.connection.call("GET", f"celery-task-meta-{run_id}.1"))
    assert (meta["status"], meta["result"]["exc_type"]) == ("FAILURE", "AttemptFailed")


def test_batch_that_nobody_needs_performs_nothing(idle: LiveCluster, attend: Callable[..., Attendant]) -> None:
    run_id = idle.submit([{"id": "a", "command": "true"}])
    idle.store.stop(run_id, kill=True)

    attend().batch(request_of(run_id, (0, 1)), celery_meta)

    assert idle.store.states(run_id) == {0: "C0"}


def test_lost_lease_aborts_the_attempt(idle: LiveCluster, attend: Callable[..., Attendant]) -> None:
    run_id = idle.submit([{"id": "a", "command": "sleep 300"}])
    loser = beside(lambda: lose(idle, run_id))

    performed = attend().attempt(request_of(run_id, (0, 1)))
    loser.join()

    assert performed is not None
    assert performed.outcome.reason is Reason.CANCELLED
    assert idle.state(run_id) == "Q2"


def test_lost_lease_of_one_member_leaves_the_rest_of_its_batch(
    idle: LiveCluster, attend: Callable[..., Attendant]
) -> None:
    run_id = idle.submit([{"id": "a", "command": "sleep 300"}, {"id": "b", "command": "true"}])
    loser = beside(lambda: lose(idle, run_id))
    attendant = attend()

    attendant.batch(request_of(run_id, (0, 1), (1, 1)), celery_meta)
    loser.join()

    assert idle.state(run_id, 0) == "Q2"
    assert idle.state(run_id, 1) in {"Q1", "S1"}


def test_result_that_comes_after_its_lease_was_lost_is_refused_and_recorded(
    idle: LiveCluster, attend: Callable[..., Attendant]
) -> None:
    run_id = idle.submit([{"id": "a", "command": "echo late"}, {"id": "b", "command": "true"}])
    attendant, request = attend(), request_of(run_id, (0, 1))
    attendant.attempt(request)
    lose(idle, run_id)

    attendant.complete(request, key="late", result=b"{}", retry=b"")
    again = request_of(run_id, (0, 2))
    attendant.attempt(again)
    attendant.complete(again, key="", result=b"", retry=b"")
    attendant.batch(request_of(run_id, (1, 1)), celery_meta)
    home = idle.finish(run_id)

    assert home.statuses == {"a": "succeeded", "b": "succeeded"}
    assert [line["attempt"] for line in home.transitions("late_result_refused")] == [1]
    assert [line["attempt"] for line in home.transitions("succeeded", "a")] == [2]
    assert idle.cluster.connection.call("GET", "late") is None


def test_renewed_lease_outlives_its_length(idle: LiveCluster, attend: Callable[..., Attendant]) -> None:
    run_id = idle.submit([{"id": "a", "command": f"sleep {LEASE_S * 3}"}])
    request, stop = request_of(run_id, (0, 1)), threading.Event()

    def reap() -> None:
        while not stop.wait(0.05):
            idle.store.reap(run_id, worker="other", lease_s=LEASE_S, record=lost_record("lapsed", worker="other"))

    reaper = beside(reap)
    performed = attend().attempt(request)
    stop.set()
    reaper.join()

    assert performed is not None
    assert idle.state(run_id) == "R1"


def test_member_that_takes_long_gives_back_what_is_behind_it(
    idle: LiveCluster, attend: Callable[..., Attendant], tmp_path: Path
) -> None:
    sign = tmp_path / "given-back"
    run_id = idle.submit(
        [
            {"id": "quick", "command": "true"},
            {"id": "slow", "command": f"while [ ! -e {sign} ]; do sleep 0.02; done", "timeout_s": 20},
            {"id": "behind", "command": "true"},
        ]
    )

    def release() -> None:
        idle.await_state(run_id, "R1", 2)
        idle.await_state(run_id, "Q1", 2)
        idle.await_state(run_id, "S1", 0)
        sign.touch()

    releaser = beside(release)
    attend().batch(request_of(run_id, (0, 1), (1, 1), (2, 1)), celery_meta)
    releaser.join()

    assert idle.store.states(run_id) == {0: "S1", 1: "S1", 2: "Q1"}


def test_agent_that_keeps_no_time_limit_ends_with_its_process(
    idle: LiveCluster, attend: Callable[..., Attendant], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = idle.submit([{"id": "a", "command": "anything", "timeout_s": 0.1}])
    killed: list[tuple[int, int]] = []
    StubbornAgent.released.clear()

    def die(pid: int, number: int) -> None:
        killed.append((pid, number))
        StubbornAgent.released.set()

    monkeypatch.setattr(os, "kill", die)

    attend(AgentRegistry([STUBBORN]), grace_s=0.0).attempt(request_of(run_id, (0, 1)))

    assert killed[0] == (os.getpid(), signal.SIGKILL)
    home = idle.finish(run_id)
    assert (home.results["a"]["status"], home.results["a"]["reason"]) == ("failed", "timeout")


def test_agent_that_is_not_installed_refuses_the_attempt(idle: LiveCluster, attend: Callable[..., Attendant]) -> None:
    run_id = idle.submit([{"id": "a", "command": "true"}])
    attendant, request = attend(AgentRegistry([])), request_of(run_id, (0, 1))

    performed = attendant.attempt(request)

    assert performed is not None
    assert performed.outcome.reason == "refused"
    attendant.complete(request, key="", result=b"", retry=b"")


def test_unfinished_completion_waits_for_the_server_to_come_back(
    idle: LiveCluster, attend: Callable[..., Attendant]
) -> None:
    run_id = idle.submit([{"id": "a", "command": "true"}])
    attendant, request = attend(), request_of(run_id, (0, 1))
    attendant.attempt(request)
    assert idle.server.pid is not None
    os.kill(idle.server.pid, signal.SIGKILL)

    completing = beside(lambda: attendant.complete(request, key="", result=b"", retry=b""))
    wait_until(idle.server.tend, "the server to be started again")
    completing.join(20.0)

    assert idle.state(run_id) == "S1"


def test_caretaker_registers_its_worker_and_reaps_lapsed_leases(idle: LiveCluster) -> None:
    run_id = idle.submit([{"id": "a", "command": "true"}])
    idle.store.claim(run_id, [Member(0, 1)], worker="dead@x", token="dead@x/1-1", lease_s=0.01)
    record = {"classes": ["cpu"], "capacity": Capacity(cpus=1, memory_mib=100).to_record(), "agents": []}
    connection = Connection(idle.server.url)
    caretaker = Caretaker(WORKER, record, connection, interval_s=0.05, lease_s=0.3)

    caretaker.start()
    idle.await_state(run_id, "Q2")
    names = idle.worker_names()
    caretaker.stop()
    connection.close()

    assert names == [WORKER]
    assert idle.worker_names() == []


def test_caretaker_releases_what_a_dead_pool_child_held_long_before_its_lease_lapses(idle: LiveCluster) -> None:
    run_id = idle.submit([{"id": "a", "command": "true"}, {"id": "b", "command": "true"}])
    for index, child in ((0, 2**22 + 1), (1, os.getpid())):
        token = f"{WORKER}/{child}-1"
        idle.store.claim(run_id, [Member(index, 1)], worker=WORKER, token=token, lease_s=600)
    record = {"classes": ["cpu"], "capacity": Capacity(cpus=1, memory_mib=100).to_record(), "agents": []}
    connection = Connection(idle.server.url)

    Caretaker(WORKER, record, connection, interval_s=60, lease_s=600).make_round()

    assert idle.store.states(run_id) == {0: "Q2", 1: "R1"}
    connection.close()


def test_every_key_of_a_finished_run_has_a_lifetime(idle: LiveCluster, attend: Callable[..., Attendant]) -> None:
    run_id = idle.submit([{"id": "a"}, {"id": "b", "depends_on": "a"}])
    attendant = attend()

    attendant.batch(request_of(run_id, (0, 1)), celery_meta)
    attendant.batch(request_of(run_id, (1, 1)), celery_meta)

    call = idle.cluster.connection.call
    keys = call("KEYS", run_key(run_id, "meta").removesuffix("meta") + "*")
    assert len(keys) > 5
    assert all(call("TTL", key) > 0 for key in keys)
