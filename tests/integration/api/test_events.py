"""The events of a run come to every reader once and in order, however often it comes back, until the run has ended."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib import import_module
from typing import Any

import pytest
from support.live import LiveCluster
from support.reading import Event, ReadingApi, reading_api
from support.waiting import wait_until

from taskexec.api.fan import Fan, Message, Overtaken
from taskexec.api.guard import TokenGuard
from taskexec.cluster.histories import live_timeline
from taskexec.domain.api_token import new_token
from taskexec.observability.timeline import RunTimeline
from taskexec.store.tokens import TokenStore

Fresh = Callable[..., LiveCluster]


@pytest.fixture
def api(live: LiveCluster) -> Iterator[ReadingApi]:
    with reading_api(live) as api:
        yield api


class Folded:
    """What a reader knows who takes in events."""

    def __init__(self) -> None:
        self.letters: dict[int, str] = {}
        self.attempts: dict[tuple[int, int], list[Any]] = {}
        self.ends: list[tuple[int, int, str]] = []
        self.ids: list[str] = []
        self.counts: dict[str, int] = {}

    def take(self, event: Event) -> None:
        assert event.id is not None
        self.ids.append(event.id)
        for index, letter, *_ in event.data["tasks"]:
            self.letters[index] = letter
        for row in event.data["attempts"]:
            self.attempts[row[0], row[1]] = row
            if row[5] is not None:
                self.ends.append((row[0], row[1], row[7]))
        self.counts = event.data["counts"]

    def assert_agrees(self, timeline: RunTimeline) -> None:
        """Hold what was folded against the log as the server has it."""
        letters = {"succeeded": "S", "failed": "F", "skipped": "X", "cancelled": "C", "satisfied": "P"}
        assert self.counts == timeline.view.tally()
        assert {index: letters[span.status] for index, span in enumerate(timeline.spans)} == self.letters
        for index, span in enumerate(timeline.spans):
            for attempt in {attempt.number: attempt for attempt in span.attempts}.values():
                row = self.attempts[index, attempt.number]
                assert (row[6], row[7], row[8]) == (attempt.worker, attempt.outcome[0], attempt.reason)
        ends = [end for end in self.ends if end[2] != "g"]  # what is given back keeps its number
        assert len(ends) == len(set(ends)), "an end was told twice"
        given_back = sum(attempt.outcome == "given_back" for span in timeline.spans for attempt in span.attempts)
        assert len(self.ends) - len(ends) <= given_back
        ids = [tuple(map(int, one.split("-"))) for one in self.ids]
        assert ids == sorted(set(ids)), "ids do not grow"


def tasks(count: int, seconds: float = 0.05) -> list[dict[str, object]]:
    found: list[dict[str, object]] = [{"id": f"t{n}", "command": f"sleep {seconds}"} for n in range(count)]
    found[1] = {"id": "t1", "command": "exit 1", "retries": 2}
    found[2] = {"id": "t2", "agent": "noop", "depends_on": "t1"}
    return found


def test_reader_who_leaves_and_comes_back_misses_nothing_and_gets_nothing_twice(
    live: LiveCluster, api: ReadingApi
) -> None:
    steps = [{"id": "s0", "command": "sleep 0.3"}]  # so that something happens long enough for some visits
    steps += [{"id": f"s{n}", "command": "sleep 0.3", "depends_on": f"s{n - 1}"} for n in range(1, 8)]
    run_id = live.submit([*tasks(60), *steps])
    folded, last, has_ended, visits = Folded(), None, False, 0

    while not has_ended:
        headers = {"Last-Event-ID": last} if last else {}
        with api.events(f"/runs/{run_id}/events", headers=headers) as events:
            visits += 1
            for number, event in enumerate(events):
                if event.name == "end":
                    has_ended = True
                    break
                folded.take(event)
                last = event.id
                if number == visits % 3:
                    break

    assert visits > 3
    folded.assert_agrees(live_timeline(live.store, run_id))


def test_events_go_on_from_the_timeline(live: LiveCluster, api: ReadingApi) -> None:
    run_id = live.submit(tasks(60, seconds=0.1))
    wait_until(lambda: api.json(f"/runs/{run_id}/timeline")["done"] > 3, "some tasks")
    found = api.json(f"/runs/{run_id}/timeline")
    folded = Folded()
    folded.letters, folded.counts = dict(enumerate(found["statuses"])), found["counts"]
    folded.attempts = {(row[0], row[1]): [*row[:6], found["workers"][row[6]], *row[7:]] for row in found["attempts"]}
    folded.ends = [(row[0], row[1], row[7]) for row in found["attempts"] if row[5] is not None]

    with api.events(f"/runs/{run_id}/events", params={"after": found["last_id"]}) as events:
        for event in events:
            if event.name == "end":
                break
            folded.take(event)

    folded.assert_agrees(live_timeline(live.store, run_id))


def test_many_readers_get_the_same_bytes(live: LiveCluster, api: ReadingApi) -> None:
    run_id = live.submit([{"id": "gate", "command": "sleep 1.5"}, *({**t, "depends_on": "gate"} for t in tasks(30))])
    seen: list[list[Event]] = [[] for _ in range(20)]

    def read(number: int) -> None:
        with api.events(f"/runs/{run_id}/events") as events:
            seen[number].extend(events)

    readers = [threading.Thread(target=read, args=(number,)) for number in range(len(seen))]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(40.0)

    assert all(events[-1].name == "end" for events in seen)
    tails = [[event for event in events if event.name == "changes"][1:] for events in seen]
    shortest = min(map(len, tails))
    assert shortest > 1
    assert all(tail[-shortest:] == tails[0][-shortest:] for tail in tails)


def test_run_is_followed_only_while_it_has_readers(
    live: LiveCluster, api: ReadingApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskexec.api.live_run._GRACE_S", 0.0)
    run_id = live.submit([{"id": "a", "command": "sleep 3"}])
    hub = api.services.live

    api.json(f"/runs/{run_id}/timeline")
    before = hub.followed
    with api.events(f"/runs/{run_id}/events") as events:
        events.take("changes")
        during = hub.followed

    assert before == []
    assert during == [run_id]
    wait_until(lambda: hub.followed == [], "the follower to end")
    assert not [thread for thread in threading.enumerate() if thread.name == f"follow {run_id}"]
    live.store.stop(run_id, kill=True)


def test_run_that_is_reopened_is_heard_of_by_who_stays(live: LiveCluster, api: ReadingApi) -> None:
    run_id = live.submit([{"id": "a", "command": "test -e again || exit 1"}])
    with api.events(f"/runs/{run_id}/events") as events:
        assert events.take("end").data == {"status": "failed"}
        last = events.last_id
    (live.project / "again").write_text("")

    with api.events(f"/runs/{run_id}/events", params={"after": last}) as events:
        assert events.take("end").data == {"status": "failed"}
        live.cluster.submitter.run_again(run_id, [0], why="a test")
        statuses = [event.data["status"] for event in events]

    assert statuses[-1] == "succeeded"


def test_reader_who_does_not_read_is_told_and_cut_and_the_others_go_on(
    live: LiveCluster, api: ReadingApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = live.submit([{"id": "a", "command": "sleep 30"}])
    run = api.services.live.run(run_id)
    run.fan = Fan(most_messages=50)
    host, port = api.url.removeprefix("http://").split(":")
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect((host, int(port)))
        slow.sendall(f"GET /api/v1/runs/{run_id}/events HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        slow.recv(100)
        last = run.timeline.last_id
        with api.events(f"/runs/{run_id}/events", params={"after": last}) as quick:
            for _ in range(400):
                run.fan.publish(Message(last, last, b"event: filler\ndata: {}" + b" " * 60_000 + b"\n\n"))
                next(iter(quick))

            slow.settimeout(20.0)
            received = b""
            while data := slow.recv(1_000_000):
                received += data
                if received.endswith(b"0\r\n\r\n"):
                    break

    assert b"event: reset" in received[-400:]
    assert b"fallen behind" in received[-400:]
    assert received.count(b"event: filler") < 400
    live.store.stop(run_id, kill=True)


def test_reader_outlasts_the_server(fresh: Fresh) -> None:
    live = fresh()
    live.start_worker()
    run_id = live.submit([{"id": "a", "command": "sleep 0.5"}, {"id": "b", "depends_on": "a", "command": "sleep 2"}])
    folded = Folded()
    with reading_api(live) as api, api.events(f"/runs/{run_id}/events") as events:
        folded.take(events.take("changes"))
        assert live.server.pid is not None
        os.kill(live.server.pid, signal.SIGKILL)
        wait_until(live.server.tend, "the server to be started again")
        for event in events:
            if event.name == "changes":
                folded.take(event)

    folded.assert_agrees(live_timeline(live.store, run_id))


def test_reader_outlasts_a_server_that_comes_back_empty(fresh: Fresh) -> None:
    live = fresh()
    live.start_worker()
    run_id = live.submit([{"id": "a", "agent": "noop"}, {"id": "b", "depends_on": "a", "command": "sleep 4"}])
    live.await_state(run_id, "R1", 1)
    folded = Folded()
    with reading_api(live) as api, api.events(f"/runs/{run_id}/events") as events:
        folded.take(events.take("changes"))
        with closing(live.cluster.collector(run_id)) as collector:
            wait_until(lambda: collector.step(wait_s=0.0) or collector.is_up_to_date, "the first life at home")
        live.lose_all_data()
        live.cluster.submitter.take_up(run_id)
        finished = threading.Thread(target=lambda: live.finish(run_id, tend=True))
        finished.start()
        for event in events:
            if event.name == "changes":
                folded.take(event)
            else:
                assert event.name == "end", event
        finished.join(30.0)

        assert folded.letters == {0: "S", 1: "S"}
        assert api.json(f"/runs/{run_id}/timeline")["statuses"] == "SS"
    with reading_api(live) as other:  # one that has not seen the first life
        assert other.json(f"/runs/{run_id}/timeline")["statuses"] == "SS"


def test_reader_who_has_fallen_behind_is_told() -> None:
    fan = Fan(most_messages=3)
    for number in range(5):
        fan.publish(Message(f"{number}", f"{number + 1}", b"x"))

    with pytest.raises(Overtaken):
        fan.since(1, most_bytes=100)
    assert len(fan.since(2, most_bytes=100)) == 3
    assert len(fan.since(2, most_bytes=1)) == 1
    assert fan.place_after("3") == 3
    assert fan.place_after("5") == fan.end == 5
    assert fan.place_after("1") is None


def test_waiting_reader_is_woken() -> None:
    fan = Fan()

    async def read() -> bool:
        waiting = asyncio.ensure_future(fan.wait(0, 10.0))
        await asyncio.sleep(0)
        await asyncio.to_thread(fan.publish, Message("0", "1", b"x"))
        return await waiting

    assert asyncio.run(read())


@pytest.mark.parametrize("kind", ["token", "session"])
def test_open_stream_ends_with_the_token_that_it_was_asked_for_with(
    live: LiveCluster, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(import_module("taskexec.api.routes.events"), "HEARTBEAT_S", 0.2)
    monkeypatch.setattr("taskexec.api.sse._CHECK_S", 0.1)
    run_id = live.submit([{"id": "a", "command": "sleep 60"}])
    store = TokenStore(live.cluster.connection)
    token, text = new_token("reader", "viewer", now=time.time())
    store.add(token)
    with reading_api(live) as api:
        api.services.guard = TokenGuard(store, live.settings.api)
        if kind == "token":
            api.client.headers["Authorization"] = f"Bearer {text}"
        else:
            assert api.client.post("/session", json={"token": text}).status_code == 200
        with api.events(f"/runs/{run_id}/events") as events:
            events.take("changes")
            events.await_comments(3)  # it goes on as long as the token counts
            if kind == "token":
                store.remove(token.token_id)
            else:
                assert api.client.delete("/session", headers={"X-Tek-Request": "1"}).status_code == 204
            last = list(events)[-1]
        again = api.client.get(f"/runs/{run_id}/events")

    live.store.stop(run_id, kill=True)
    assert (last.name, last.data) == ("reset", {"reason": "access"})
    assert again.status_code == 401
