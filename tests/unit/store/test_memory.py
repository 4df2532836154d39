"""What the memory twin offers beyond the contract: its queues, and waiting for its log."""

from __future__ import annotations

import threading

import pytest
from support.programs import Spec, make_program, queue_of

from taskexec.domain.program import Completion, Member, RunOptions
from taskexec.store.memory import MemoryRunStore, PublishedMessage
from taskexec.testing.clock import ManualClock

CPU = queue_of("r")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_000_000)


@pytest.fixture
def store(clock: ManualClock) -> MemoryRunStore:
    return MemoryRunStore(clock)


def test_published_message_says_what_a_celery_message_says(store: MemoryRunStore) -> None:
    store.put(make_program("r", [Spec(), Spec(agent="shell")], RunOptions(batch_max=8)))
    store.start("r")

    assert store.queues[CPU][1] == PublishedMessage(
        id="r.1", run_id="r", members=(Member(1, 1),), route="cpu", agent="shell", label="task-1", queued_us=1_000_000
    )


def test_batch_is_labelled_with_its_size(store: MemoryRunStore) -> None:
    store.put(make_program("r", [Spec(), Spec()], RunOptions(batch_max=8)))
    store.start("r")

    assert [message.label for message in store.queues[CPU]] == ["2 tasks from task-0"]


def test_messages_are_taken_in_their_order(store: MemoryRunStore) -> None:
    store.put(make_program("r", [Spec(), Spec()]))
    store.start("r")

    taken = [store.take(CPU), store.take(CPU), store.take(CPU), store.take("no such list")]

    assert [message and message.id for message in taken] == ["r.0", "r.1", None, None]


def test_times_are_those_of_the_clock(store: MemoryRunStore, clock: ManualClock) -> None:
    store.put(make_program("r", [Spec()]))
    clock.advance(2)
    store.start("r")
    clock.advance(3)
    claim = store.claim("r", [Member(0, 1)], worker="w", token="w/d", lease_s=9)

    head = store.head("r")

    assert (head.submitted_at, head.started_at, claim.server_us) == (1.0, 3.0, 6_000_000)


def test_reader_of_the_log_is_woken_by_the_next_entry(store: MemoryRunStore) -> None:
    store.put(make_program("r", [Spec()]))
    found: list[str] = []
    reader = threading.Thread(target=lambda: found.extend(entry.lines for entry in store.read_log("r", wait_s=30)))
    reader.start()

    store.start("r")
    reader.join(timeout=10)

    assert found == ["A 0 0\nQ 0 1"]


def test_threads_complete_each_task_once(store: MemoryRunStore) -> None:
    size = 200
    store.put(make_program("r", [Spec(after=(index - 1,) if index % 10 else ()) for index in range(size)]))
    store.start("r")
    accepted: list[int] = []

    def work(worker: str) -> None:
        while store.head("r").left:
            message = store.take(CPU)
            members = message.members if message else ()
            for won in store.claim("r", members, worker=worker, token=f"{worker}/d", lease_s=60).members:
                done = Completion(member=won.member, token=f"{worker}/d", succeeded=True, record=b"{}")
                if store.complete("r", [done], worker=worker, agent="noop", spent_s=0.0) == [True]:
                    accepted.append(won.member.index)

    threads = [threading.Thread(target=work, args=(f"w{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)

    assert sorted(accepted) == list(range(size))
    assert store.head("r").status == "succeeded"
