"""Ranks of a gang in one process, with bells that are lists: who waits for whom, and whose failure counts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from support.waiting import wait_until

from taskexec.agents import Outcome
from taskexec.domain.clock import iso_time
from taskexec.domain.gang import Layout
from taskexec.domain.program import Begun, Grant, Member, Rank
from taskexec.domain.states import Reason
from taskexec.runtime.gang import Follower, Leader, host_address, told_of

GRANT = Grant(1000, 0, 0, 1000, 0, False, (Rank("w0", ()), Rank("w1", (0,)), Rank("w2", ())))
SUCCESS = Outcome(succeeded=True, exit_status=0, result=1)
SPAN = (10.0, 20.0)


class Bells:
    """Words by token, and who asks for those behind an id."""

    def __init__(self) -> None:
        self.words: dict[str, list[str]] = {}
        self.changed = threading.Condition()

    def ring(self, tokens: list[str], word: str) -> None:
        with self.changed:
            for token in tokens:
                self.words.setdefault(token, []).append(word)
            self.changed.notify_all()

    def listen(self, token: str, after: str = "0", *, wait_s: float) -> list[tuple[str, str]]:
        first = int(after)
        with self.changed:
            self.changed.wait_for(lambda: len(self.words.get(token, ())) > first, timeout=wait_s)
            return [(str(first + at), word) for at, word in enumerate(self.words.get(token, [])[first:], 1)]

    def close(self, token: str) -> None:
        pass


class Runner:
    """What a gang needs of the runner of its rank."""

    def __init__(self) -> None:
        self.aborted: Reason | None = None

    @property
    def is_aborted(self) -> bool:
        return self.aborted is not None

    def abort(self, reason: Reason) -> None:
        self.aborted = reason


class Store:
    """Which ranks have begun."""

    def __init__(self, begun: list[Begun | None]) -> None:
        self.found = begun

    def begun(self, run_id: str, member: Member, ranks: int) -> list[Begun | None]:
        return list(self.found)


@pytest.fixture
def bells() -> Bells:
    return Bells()


@pytest.fixture
def store() -> Store:
    return Store([Begun(1, "t0", ""), Begun(1, "t1", told_of("h1")), Begun(1, "t2", told_of("h2"))])


@pytest.fixture
def leader(bells: Any, store: Any) -> Iterator[Leader]:
    found = Leader(bells, "t0", store=store, run_id="r", member=Member(0, 1), grant=GRANT, address="h0", timeout_s=0.2)
    yield found
    found.close()


def done(rank: int, finished_at: float, **fields: Any) -> str:
    record = {"status": "succeeded", "reason": None, "error": None, "exit_status": 0, "signal": None, "files": {}}
    record |= {"worker": f"w{rank}", "finished_at": iso_time(finished_at)} | fields
    return f"done {rank} {orjson.dumps(record).decode()}\t{{}}"


def failed(rank: int, finished_at: float, reason: str = "exit") -> str:
    return done(rank, finished_at, status="failed", reason=reason, error="no luck", exit_status=7)


def test_leader_tells_all_where_they_are_when_all_have_begun(leader: Leader, bells: Bells) -> None:
    layout = leader.meet(Runner())  # type: ignore[arg-type]

    assert isinstance(layout, Layout)
    assert layout.hosts == ("h0", "h1", "h2")
    assert bells.words["t1"] == bells.words["t2"] == [f'go [["h0","h1","h2"],{layout.port}]']


def test_leader_waits_for_the_last_rank(leader: Leader, bells: Bells, store: Store) -> None:
    last, store.found[2] = store.found[2], None
    leader._timeout_s = 30.0

    def come() -> None:
        wait_until(lambda: leader._thread is not None, "the leader")
        store.found[2] = last
        bells.ring(["t0"], "begun 2")

    thread = threading.Thread(target=come)
    thread.start()
    assert isinstance(leader.meet(Runner()), Layout)  # type: ignore[arg-type]
    thread.join()


def test_barrier_that_takes_too_long_names_who_has_not_come(leader: Leader, store: Store) -> None:
    store.found[2] = None

    outcome = leader.meet(Runner())  # type: ignore[arg-type]

    assert isinstance(outcome, Outcome)
    assert outcome.reason is Reason.INFRASTRUCTURE
    assert outcome.error == "rank 2 on `w2` did not come to the barrier within 0.2 s (worker.gang_timeout_s)"


def test_attempt_succeeds_when_all_ranks_have(leader: Leader, bells: Bells) -> None:
    leader.meet(Runner())  # type: ignore[arg-type]
    bells.ring(["t0"], done(1, 21.0, files={"stdout.log": {"bytes": 0, "sha256": "x"}}))
    bells.ring(["t0"], done(2, 22.0))

    outcome = leader.conclude(SUCCESS, SPAN)

    record: dict[str, Any] = {"worker": "w0", "files": {}}
    inline: dict[str, Any] = {}
    leader.add_to(record, inline)
    assert outcome == SUCCESS
    assert [(rank["rank"], rank["worker"], rank["status"]) for rank in record["ranks"]] == [
        (0, "w0", "succeeded"),
        (1, "w1", "succeeded"),
        (2, "w2", "succeeded"),
    ]
    assert record["ranks"][1]["gpus"] == [0]
    assert (record["files"], inline) == (
        {"rank-1/stdout.log": {"bytes": 0, "sha256": "x"}},
        {"rank-1/stdout.log": ""},
    )


def test_first_rank_that_failed_by_itself_counts(leader: Leader, bells: Bells) -> None:
    runner = Runner()
    leader.meet(runner)  # type: ignore[arg-type]
    bells.ring(["t0"], failed(2, 11.0, "cancelled"))
    bells.ring(["t0"], failed(1, 12.0))
    wait_until(lambda: runner.is_aborted, "the leader to end its own")
    stopped = Outcome(succeeded=False, reason=Reason.CANCELLED, error="stopped from outside")

    outcome = leader.conclude(stopped, SPAN)

    assert (outcome.reason, outcome.error, outcome.exit_status) == (Reason.EXIT, "rank 1 on `w1`: no luck", 7)
    assert bells.words["t1"][1:] == bells.words["t2"][1:] == ["end"]


def test_rank_that_fails_after_the_leader_does_not_take_its_place(leader: Leader, bells: Bells) -> None:
    leader.meet(Runner())  # type: ignore[arg-type]
    for rank in (1, 2):
        bells.ring(["t0"], failed(rank, 21.0))

    outcome = leader.conclude(Outcome(succeeded=False, reason=Reason.SIGNAL, error="ended", signal=9), SPAN)

    assert (outcome.reason, outcome.error) == (Reason.SIGNAL, "rank 0 on `w0`: ended")


def test_leader_whose_attempt_is_lost_waits_for_nobody(leader: Leader, bells: Bells) -> None:
    runner = Runner()
    leader.meet(runner)  # type: ignore[arg-type]

    bells.ring(["t0"], "lost")

    assert leader.conclude(SUCCESS, SPAN) == SUCCESS
    assert runner.aborted is Reason.CANCELLED


def test_record_that_cannot_be_read_is_a_failure_of_ours(leader: Leader, bells: Bells) -> None:
    leader.meet(Runner())  # type: ignore[arg-type]
    bells.ring(["t0"], "done 1 {nonsense")
    bells.ring(["t0"], done(2, 20.0))

    assert leader.conclude(SUCCESS, SPAN).reason is Reason.INFRASTRUCTURE


@pytest.mark.parametrize("word", ["lost", "cancelled", "over", "end"])
def test_follower_does_not_begin_when_the_attempt_has_ended(bells: Any, word: str) -> None:
    follower = Follower(bells, "t1", rank=1, ranks=2)
    bells.ring(["t1"], word)

    outcome = follower.meet(Runner())  # type: ignore[arg-type]
    follower.close()

    assert isinstance(outcome, Outcome)
    assert outcome.reason is Reason.CANCELLED


def test_follower_begins_with_its_leader(bells: Any) -> None:
    follower = Follower(bells, "t1", rank=1, ranks=2)
    bells.ring(["t1"], 'go [["a","b"],7]')

    assert follower.meet(Runner()) == Layout(("a", "b"), 7)  # type: ignore[arg-type]
    follower.close()


@pytest.mark.parametrize("url", ["unix:///tmp/s.sock", "redis://127.0.0.1:6379/0", "redis://localhost"])
def test_host_of_a_local_server_is_this_one(url: str) -> None:
    assert host_address(url) == "127.0.0.1"
