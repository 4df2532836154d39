"""What a task writes and how far it is comes as it happens, through reconnects, retries and restarts of the server."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest
from support.live import LiveCluster
from support.reading import ReadingApi, reading_api
from support.waiting import wait_until

from taskexec.api.log_readers import LogReaders

ROUTES = {name: import_module(f"taskexec.api.routes.{name}") for name in ("logs", "progress")}
Fresh = Callable[..., LiveCluster]


@pytest.fixture
def api(live: LiveCluster) -> Iterator[ReadingApi]:
    with reading_api(live) as api:
        yield api


def steps(signs: Path, count: int, line: str = "line $i é") -> str:
    """Return a command that says a line and goes on only when a sign tells that it was seen."""
    step = f"echo '{line}' | sed s/\\$i/$i/; until [ -e {signs}/$i ]; do sleep 0.02; done; i=$((i+1))"
    return f"i=1; while [ $i -le {count} ]; do {step}; done"


def test_log_comes_while_the_task_runs_and_ends_with_it(live: LiveCluster, api: ReadingApi, tmp_path: Path) -> None:
    run_id = live.submit([{"id": "a", "command": steps(tmp_path, 3)}])

    with api.events(api.task(run_id, "a", "logs"), params={"follow": True}) as events:
        for number in range(1, 4):
            event = events.take("log")
            assert (event.data["text"], event.data["stream"]) == (f"line {number} é\n", "stdout")
            assert event.data["offset"] == (number - 1) * len("line 1 é\n".encode())
            text = api.get(api.task(run_id, "a", "logs"), params={"stream": "stdout"})
            assert text.text == "".join(f"line {n} é\n" for n in range(1, number + 1))
            assert text.headers["tek-log"] == "growing"
            (tmp_path / str(number)).write_text("")
        rest = [event.name for event in events]

    assert rest == ["end"]
    assert api.get(api.task(run_id, "a", "logs")).headers["tek-log"] == "whole"


def test_log_goes_on_where_its_reader_left(live: LiveCluster, api: ReadingApi, tmp_path: Path) -> None:
    run_id = live.submit([{"id": "a", "command": f"echo first >&2; {steps(tmp_path, 4)}"}])
    texts, last = [], None

    for number in range(1, 5):
        headers = {"Last-Event-ID": last} if last else {}
        with api.events(api.task(run_id, "a", "logs"), params={"follow": True}, headers=headers) as events:
            for event in events:
                texts.append(event.data["text"])
                last = event.id
                if event.data["stream"] == "stdout":
                    break
        (tmp_path / str(number)).write_text("")

    assert sorted(texts) == ["first\n", *(f"line {number} é\n" for number in range(1, 5))]


def test_log_of_all_attempts_is_followed(live: LiveCluster, api: ReadingApi) -> None:
    run_id = live.submit([{"id": "a", "command": "echo try $TEK_ATTEMPT; [ $TEK_ATTEMPT = 3 ]", "retries": 2}])
    wait_until(lambda: live.store.states(run_id).get(0, "").startswith(("S", "F")), "its end")

    with api.events(api.task(run_id, "a", "logs"), params={"follow": True, "attempt": 2}) as events:
        second = [event.data for event in events]

    assert [data.get("text") for data in second] == ["try 2\n", None]
    assert api.get(api.task(run_id, "a", "logs"), params={"attempt": 1}).text == "try 1\n"
    assert api.get(api.task(run_id, "a", "logs")).text == "try 3\n"
    api.get(api.task(run_id, "a", "logs"), 404, params={"attempt": 4})


def test_log_is_followed_through_a_restart_of_the_server(fresh: Fresh, tmp_path: Path) -> None:
    live = fresh()
    live.start_worker()
    run_id = live.submit([{"id": "a", "command": steps(tmp_path, 2)}])
    with reading_api(live) as api, api.events(api.task(run_id, "a", "logs"), params={"follow": True}) as events:
        texts = [events.take("log").data["text"]]
        assert live.server.pid is not None
        os.kill(live.server.pid, signal.SIGKILL)
        wait_until(live.server.tend, "the server to be started again")
        for number in (1, 2):
            (tmp_path / str(number)).write_text("")
        texts += [event.data["text"] for event in events if event.name == "log"]

    assert "".join(texts) == "line 1 é\nline 2 é\n"


def test_only_so_many_follow_logs(live: LiveCluster, api: ReadingApi) -> None:
    run_id = live.submit([{"id": "a", "command": "sleep 30"}])
    path = api.task(run_id, "a", "logs")
    api.services.live.log_readers = LogReaders(most=1)

    with api.events(path, params={"follow": True}):
        refused = api.get(path, 503, params={"follow": True})
        assert api.get(path).text == ""

    assert refused.json()["code"] == "server.logs"
    live.store.stop(run_id, kill=True)


def test_progress_is_what_the_task_says(live: LiveCluster, api: ReadingApi, tmp_path: Path) -> None:
    run_id = live.submit([{"id": "a/b", "command": steps(tmp_path, 3, "::progress 0.$i step $i")}])
    seen = []

    with api.events(f"/tasks/{run_id}%3Aa%2Fb/progress") as events:
        for event in events:
            if event.name == "progress" and event.data["current_step"]:
                seen.append((event.data["progress"], event.data["estimated"]))
                (tmp_path / str(len({one[0] for one in seen}))).write_text("")
            last = event

    told = list(dict.fromkeys(seen))
    assert told[0][0] == 0.1
    assert told[-1][0] == 1.0
    assert not any(estimated for _, estimated in told)
    assert (last.name, last.data) == ("end", {"status": "succeeded"})


def test_progress_is_estimated_where_the_task_says_nothing(live: LiveCluster, api: ReadingApi) -> None:
    run_id = live.submit([{"id": "a", "command": "sleep 2.5", "duration": "5"}])

    with api.events(api.task(run_id, "a", "progress")) as events:
        told = [event.data for event in events if event.name == "progress"]

    running = [data for data in told if data["status"] == "running"]
    assert running
    assert all(data["estimated"] and data["expected_end"] > data["at"] for data in running)
    assert [data["progress"] for data in running] == sorted(data["progress"] for data in running)
    assert (told[-1]["status"], told[-1]["progress"]) == ("succeeded", 1.0)


class Counted(LogReaders):
    """Counts the reads."""

    count = 0

    async def read(self, call):  # type: ignore[no-untyped-def]
        Counted.count += 1
        return await super().read(call)


@pytest.mark.parametrize("part", ["progress", "logs"])
def test_nobody_hurries_while_the_server_is_away(fresh: Fresh, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    live = fresh()
    run_id = live.submit([{"id": "a", "agent": "noop"}])
    monkeypatch.setattr(ROUTES["logs"], "HEARTBEAT_S", 0.4)
    monkeypatch.setattr(ROUTES["progress"], "HEARTBEAT_S", 0.4)
    with reading_api(live) as api:
        api.services.live.log_readers = Counted()
        with api.events(api.task(run_id, "a", part), params={"follow": True}) as events:
            wait_until(lambda: Counted.count > 1, "a first look")
            live.server.stop()
            before = Counted.count
            events.await_comments(4)

    assert Counted.count - before < 12


@pytest.mark.parametrize("part", ["progress", "logs"])
def test_reader_of_a_run_that_nobody_knows_any_more_is_let_go(
    fresh: Fresh, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    live = fresh()
    run_id = live.submit([{"id": "a", "agent": "noop"}])
    monkeypatch.setattr(ROUTES["logs"], "HEARTBEAT_S", 0.2)
    monkeypatch.setattr(ROUTES["progress"], "_GONE_S", 1.0)
    with reading_api(live) as api, api.events(api.task(run_id, "a", part), params={"follow": True}) as events:
        if part == "progress":
            events.take("progress")
        live.lose_all_data()
        last = list(events)[-1]

    assert (last.name, last.data) == ("reset", {"reason": "the server knows this run no more"})
