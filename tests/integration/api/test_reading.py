"""What the API tells of runs, tasks, evidence, workers and queues, while they go on and when they have come home."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from urllib.parse import quote

import pytest
from support.live import Home, LiveCluster
from support.reading import ReadingApi, reading_api
from support.waiting import wait_until

from taskexec.domain.program import Member
from taskexec.domain.states import TaskStatus
from taskexec.store.keys import WISHES, WORKERS, worker_key

ODD = "a/b ü%2F..\\?#&:+"
"""An id with all that means something in a path."""

Fresh = Callable[..., LiveCluster]


@pytest.fixture
def api(live: LiveCluster) -> Iterator[ReadingApi]:
    with reading_api(live) as api:
        yield api


def ended(live: LiveCluster, tasks: list[dict[str, object]]) -> str:
    """Return a run that has ended and was not brought home."""
    run_id = live.submit(tasks)
    await_end(live, run_id)
    return run_id


def await_end(live: LiveCluster, run_id: str) -> None:
    wait_until(lambda: live.store.head(run_id).finished_at is not None, "the end", timeout_s=40.0, diagnose=live.log)


def test_run_and_its_tasks_are_told_as_they_ended(live: LiveCluster, api: ReadingApi) -> None:
    run_id = ended(
        live,
        [
            {"id": "good", "command": "echo done", "title": "The good <b>one</b>"},
            {"id": "bad", "command": "echo no >&2; exit 3"},
            {"id": "after", "depends_on": "bad", "agent": "noop"},
        ],
    )

    run = api.json(f"/runs/{run_id}")
    tasks = api.json(f"/runs/{run_id}/tasks")["tasks"]

    assert (run["run_id"], run["status"], run["tasks"]) == (run_id, "failed", 3)
    assert run["counts"] == {"succeeded": 1, "failed": 1, "skipped": 1}
    assert [failure["task"] for failure in run["failures"]] == ["bad"]
    assert run["workers"] == live.worker_names()
    assert [(task["task"], task["status"], task["reason"], task["because_of"]) for task in tasks] == [
        ("good", "succeeded", None, None),
        ("bad", "failed", "exit", None),
        ("after", "skipped", None, "bad"),
    ]
    assert tasks[1]["exit_status"] == 3
    assert tasks[0]["started_at"] <= tasks[0]["finished_at"]


def test_task_is_told_in_full_by_either_id(live: LiveCluster, api: ReadingApi) -> None:
    run_id = ended(live, [{"id": "first", "agent": "noop"}, {"id": ODD, "command": "echo x", "depends_on": "first"}])

    detail = api.json(api.task(run_id, ODD))
    same = api.json(f"/tasks/{run_id}%3A" + api.task("r", ODD).rpartition("/")[2])

    assert detail == same
    assert detail["id"] == f"{run_id}:{ODD}"
    assert detail["depends_on"] == ["first"]
    assert detail["instructions"]["commands"]
    assert [one["outcome"] for one in detail["tries"]] == ["succeeded"]
    assert api.json(detail["links"]["why"].removeprefix("/api/v1"))["task"] == ODD


def test_tasks_come_page_by_page_and_filtered(live: LiveCluster, api: ReadingApi) -> None:
    tasks: list[dict[str, object]] = [{"id": f"task-{number}", "agent": "noop"} for number in range(25)]
    run_id = ended(live, [*tasks, {"id": "odd", "command": "exit 1", "title": "Other"}])
    path, seen, cursor = f"/runs/{run_id}/tasks", [], None

    while True:
        page = api.json(path, params={"limit": 10, **({"cursor": cursor} if cursor else {})})
        seen += [task["task"] for task in page["tasks"]]
        cursor = page["next"]
        if cursor is None:
            break

    assert seen == [*(task["id"] for task in tasks), "odd"]
    assert [task["task"] for task in api.json(path, params={"status": "failed"})["tasks"]] == ["odd"]
    assert [task["task"] for task in api.json(path, params={"search": "othER"})["tasks"]] == ["odd"]
    assert api.json(path, params={"search": "task-2", "limit": 1})["next"] == "20"
    assert api.json(path, params={"lane": "none of them"})["tasks"] == []


@pytest.mark.parametrize("is_at_home", [False, True], ids=["on the server", "at home"])
def test_evidence_is_the_same_from_the_server_and_from_home(
    live: LiveCluster, api: ReadingApi, is_at_home: bool
) -> None:
    large = "head -c 300000 /dev/zero | tr '\\0' x"
    command = f"echo out; echo err >&2; echo small > $TEK_OUTPUT/small.txt; {large} > $TEK_OUTPUT/large.txt"
    run_id = ended(live, [{"id": ODD, "command": command}])
    if is_at_home:
        live.finish(run_id)

    attempt = api.json(api.task(run_id, ODD, "attempts", "1"))
    files = {file["name"]: file for file in attempt["files"]}

    assert {"stdout.log", "stderr.log"} <= files.keys()
    assert sorted(file["bytes"] for file in files.values())[-1] == 300_000
    for file in files.values():
        answer = api.get(file["href"].removeprefix("/api/v1"))
        assert hashlib.sha256(answer.content).hexdigest() == file["sha256"]
        assert answer.headers["etag"] == f'"{file["sha256"]}"'
        assert answer.headers["content-disposition"].startswith("attachment")
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert attempt["usage"]
    assert api.get(api.task(run_id, ODD, "logs")).text == "out\nerr\n"


def test_ranges_and_versions_of_a_file(live: LiveCluster, api: ReadingApi) -> None:
    run_id = ended(live, [{"id": "a", "command": "printf 0123456789"}])
    path = api.task(run_id, "a", "attempts", "1", "files", "stdout.log")
    tag = api.get(path).headers["etag"]

    part = api.get(path, 206, headers={"Range": "bytes=2-4"})
    rest = api.get(path, 206, headers={"Range": "bytes=-3", "If-Range": tag})
    other = api.get(path, headers={"Range": "bytes=2-4", "If-Range": '"another"'})

    assert (part.text, part.headers["content-range"]) == ("234", "bytes 2-4/10")
    assert rest.text == "789"
    assert other.text == "0123456789"
    assert api.get(path, headers={"Range": "bytes=4-2"}).text == "0123456789"
    assert api.get(path, headers={"Range": "lines=1-2"}).text == "0123456789"
    assert api.get(path, 416, headers={"Range": "bytes=10-"}).headers["content-range"] == "bytes */10"
    assert api.get(path, 304, headers={"If-None-Match": f'"x", {tag}'}).content == b""
    assert api.get(api.task(run_id, "a", "logs"), 206, headers={"Range": "bytes=8-"}).text == "89"


@pytest.mark.parametrize("part", ["", "/graph", "/timeline", "/tasks", "/plan", "/canvas", "/blame"])
def test_what_has_not_changed_is_not_sent_again(live: LiveCluster, api: ReadingApi, part: str) -> None:
    run_id = ended(live, [{"id": f"task-{number}", "agent": "noop"} for number in range(30)])
    path = f"/runs/{run_id}{part}"

    first = api.get(path)
    again = api.get(path, 304, headers={"If-None-Match": first.headers["etag"]})

    assert again.content == b""
    assert again.headers["etag"] == first.headers["etag"]
    assert first.json() == api.get(path, headers={"Accept-Encoding": "identity"}).json()


def test_large_answers_are_compressed_for_who_takes_it(live: LiveCluster, api: ReadingApi) -> None:
    run_id = ended(live, [{"id": f"task-{number}", "agent": "noop"} for number in range(60)])

    for part in ("graph", "timeline", "tasks", "plan"):
        assert api.get(f"/runs/{run_id}/{part}").headers.get("content-encoding") == "gzip", part


def test_runs_come_page_by_page_from_server_and_home(fresh: Fresh) -> None:
    live = fresh()
    live.start_worker()
    homes = [live.carry_out([{"id": "a", "agent": "noop"}]) for _ in range(3)]
    for home in homes[:2]:
        live.store.remove(home.folder.name)
    with reading_api(live) as api:
        seen, cursor = [], None
        while True:
            page = api.json("/runs", params={"limit": 1, **({"cursor": cursor} if cursor else {})})
            seen += page["runs"]
            cursor = page["next"]
            if cursor is None:
                break

    assert [row["run_id"] for row in seen] == sorted((home.folder.name for home in homes), reverse=True)
    assert {row["status"] for row in seen} == {"succeeded"}
    assert all(row["counts"] == {"succeeded": 1} for row in seen)


def test_run_is_served_from_home_when_its_server_is_gone(fresh: Fresh) -> None:
    live = fresh()
    live.start_worker()
    home = live.carry_out([{"id": "a", "command": "echo kept"}, {"id": "b", "depends_on": "a", "command": "exit 1"}])
    run_id = home.folder.name
    with reading_api(live) as api:
        before = {part: api.json(f"/runs/{run_id}{part}") for part in ("/graph", "/timeline", "/ledger")}
        live.server.stop()

        run = api.json(f"/runs/{run_id}")
        with api.events(f"/runs/{run_id}/events") as events:
            names = [event.name for event in events]
        logs = api.get(api.task(run_id, "a", "logs")).text
        with api.events(api.task(run_id, "a", "logs"), params={"follow": True}) as events:
            followed = list(events)
        after = {part: api.json(f"/runs/{run_id}{part}") for part in before}
        api.get("/runs/20990101-000000-000000000", 503)
        why = api.json(api.task(run_id, "b", "why"))

    assert (run["status"], run["is_at_home"]) == ("failed", True)
    assert names == ["changes", "end"]
    assert logs == "kept\n"
    assert [(event.name, event.data.get("text")) for event in followed] == [("log", "kept\n"), ("end", None)]
    for part in ("now_ms", "rate_per_s", "left_s", "eta"):
        for side in (before, after):
            side["/timeline"].pop(part)
    assert after == before
    assert why["task"] == "b"


def test_ledger_is_that_of_the_run(live: LiveCluster, api: ReadingApi) -> None:
    run_id = ended(live, [{"id": "a", "agent": "noop"}, {"id": "b", "agent": "noop", "depends_on": "a"}])
    entries, after = [], 0

    while True:
        page = api.json(f"/runs/{run_id}/ledger", params={"after": after, "limit": 3})
        entries += page["entries"]
        after = page["next"]
        if after is None:
            break
    home = live.finish(run_id)

    assert entries == home.ledger
    assert api.json(f"/runs/{run_id}/ledger", params={"limit": 1000})["entries"] == home.ledger
    of_b = [line for line in home.ledger if line.get("task") == "b"]
    assert api.json(api.task(run_id, "b", "ledger"))["entries"] == of_b
    assert api.json(f"/runs/{run_id}/plan") == json.loads((home.folder / "plan.json").read_text())


def test_attempt_that_was_given_back_shows_nothing_of_the_one_that_followed_under_its_number(fresh: Fresh) -> None:
    live = fresh()
    run_id = live.submit([{"id": "a", "command": "echo done; sleep 0.3"}])
    claimed = live.store.claim(run_id, [Member(0, 1)], worker="leaves", token="leaves/1", lease_s=60.0).members
    assert live.store.release(run_id, [one.member for one in claimed], worker="leaves", token="leaves/1") == 1
    with reading_api(live) as api:
        released = api.json(api.task(run_id, "a"))["tries"]
        live.start_worker(slots=1)
        await_end(live, run_id)
        seen = [api.json(api.task(run_id, "a", "attempts"))["attempts"]]
        live.finish(run_id)
        seen.append(api.json(api.task(run_id, "a"))["tries"])
        last = api.json(api.task(run_id, "a", "attempts", "1"))
        one_file = api.get(api.task(run_id, "a", "attempts", "1", "files", "stdout.log")).text

    assert [one["outcome"] for one in released] == ["given_back", "queued"]
    for given_back, followed in seen:
        assert (given_back["attempt"], followed["attempt"]) == (1, 1)
        assert (given_back["outcome"], followed["outcome"]) == ("given_back", "succeeded")
        assert given_back["worker"] == "leaves"
        assert given_back["started_at"] is None
        assert (given_back["usage"], given_back["files"]) == ({}, [])
        assert followed["usage"]
        assert "stdout.log" in {file["name"] for file in followed["files"]}
    assert last == seen[1][1]
    assert one_file == "done\n"


def test_two_runs_are_compared_task_by_task(live: LiveCluster, api: ReadingApi) -> None:
    one = ended(live, [{"id": "a", "agent": "noop"}, {"id": "b", "agent": "noop"}, {"id": "gone", "agent": "noop"}])
    two = ended(live, [{"id": "a", "agent": "noop"}, {"id": "b", "command": "exit 1"}])

    found = api.json(f"/runs/{one}/compare/{two}")

    assert [run["run_id"] for run in found["runs"]] == [one, two]
    assert not found["is_same_plan"]
    assert (found["tasks"][0]["task"], found["tasks"][0]["status"]) == ("b", ["succeeded", "failed"])
    assert found["only_in"] == [["gone"], []]
    assert found["differences"] == {
        "ended_otherwise": 1,
        "other_attempts": 0,
        "slower": 0,
        "faster": 0,
        "only_in": [1, 0],
    }
    assert found["points"] == []


def test_two_runs_are_compared_in_the_order_that_is_asked_for(live: LiveCluster, api: ReadingApi) -> None:
    def run(**seconds: float) -> str:
        return ended(live, [{"id": name, "command": f"sleep {seconds[name]}"} for name in seconds])

    one, two = run(same=0, slow=0, fast=2, also=0), run(same=0, slow=1, fast=0, also=0)
    path = f"/runs/{one}/compare/{two}"

    found = {order: api.json(path, params={"order": order, "points": 3}) for order in ("slower", "faster", "plan")}
    first = api.json(path, params={"limit": 1})

    ids = {order: [row["task"] for row in body["tasks"]] for order, body in found.items()}
    assert ids["plan"] == ["same", "slow", "fast", "also"]
    assert (ids["slower"][0], ids["slower"][-1]) == ("slow", "fast")
    assert ids["faster"] == ids["slower"][::-1]
    assert [row["task"] for row in first["tasks"]] == ["fast"]
    assert min(first["differences"]["slower"], first["differences"]["faster"]) >= 1
    assert all(len(body["points"]) == 2 for body in found.values())  # every second of four
    assert found["plan"]["points"][1] == {
        "duration_s": found["plan"]["tasks"][2]["duration_s"],
        "status": ["succeeded", "succeeded"],
    }
    api.get(f"{path}?order=other", 422)


def test_workers_and_queues_say_what_there_is(fresh: Fresh) -> None:
    live = fresh()
    run_id = live.submit([{"id": f"task-{number}", "agent": "noop"} for number in range(5)])
    with reading_api(live) as api:
        before = {queue["route"]: queue for queue in api.json("/queues")["queues"]}
        worker = live.start_worker(slots=3)
        await_end(live, run_id)
        after = {queue["route"]: queue for queue in api.json("/queues")["queues"]}
        listed = api.json("/workers")["workers"]
        one = api.json(f"/workers/{worker.name}")
        api.get("/workers/nobody", 404)

    assert (before["cpu"]["queued"] + before["cpu"]["held"], before["cpu"]["consumers"]) == (5, 0)
    assert before["cpu"]["oldest_s"] >= 0
    assert (after["cpu"]["queued"], after["cpu"]["oldest_s"], after["cpu"]["slots"]) == (0, None, 3)
    assert [row["name"] for row in listed] == [one["name"]] == [worker.name]
    assert one["holds"] == []


HOSTILE = [
    "..",
    "%2e%2e",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "..%5c..%5c",
    "%00",
    "a%00b",
    "%ff%fe",
    "%",
    "%zz",
    "x" * 900,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_find_nothing(live: LiveCluster, api: ReadingApi, text: str) -> None:
    run_id = ended(live, [{"id": "a", "agent": "noop"}])
    live.finish(run_id)
    paths = [
        f"/runs/{text}/timeline",
        f"/runs/{text}/tasks/a/logs",
        f"/runs/{run_id}/tasks/{text}/logs",
        f"/runs/{run_id}/tasks/a/attempts/1/files/{text}",
        f"/runs/{run_id}/compare/{text}",
        f"/tasks/{text}",
        f"/workers/{text}",
    ]

    for path in paths:
        raw = f"{api.url}/api/v1{path}".encode()
        answer = raw_get(api, raw)
        assert answer == 404, (path, answer)


def raw_get(api: ReadingApi, url: bytes) -> int:
    """Return the status of a path as it is, which clients would make plain."""
    import http.client

    host, port = api.url.removeprefix("http://").split(":")
    with closing(http.client.HTTPConnection(host, int(port), timeout=20)) as connection:
        connection.putrequest("GET", url.decode("latin-1").removeprefix(api.url), skip_host=False)
        connection.endheaders()
        response = connection.getresponse()
        response.read()
        return response.status


def test_links_out_of_a_folder_lead_nowhere(fresh: Fresh) -> None:
    live = fresh()
    live.start_worker()
    home: Home = live.carry_out([{"id": "a", "command": "echo text > $TEK_OUTPUT/file.txt"}])
    run_id, secret = home.folder.name, live.place.folder / "secret.txt"
    secret.write_text("not yours")
    with reading_api(live) as api:
        name = next(
            file["name"]
            for file in api.json(api.task(run_id, "a", "attempts", "1"))["files"]
            if file["name"].endswith("file.txt")
        )
        live.store.remove(run_id)
        path = home.attempt("a") / name
        path.unlink()
        path.symlink_to(secret)
        href = api.task(run_id, "a", "attempts", "1", "files", name.replace("/", "%2F"))

        answer = api.get(href, 404)

    assert "not yours" not in answer.text


def test_statuses_in_filters_are_checked(live: LiveCluster, api: ReadingApi) -> None:
    run_id = ended(live, [{"id": "a", "agent": "noop"}])

    for status in TaskStatus:
        api.get(f"/runs/{run_id}/tasks", params={"status": status})
    api.get(f"/runs/{run_id}/tasks", 422, params={"status": "fine"})
    api.get(f"/runs/{run_id}/tasks", 400, params={"cursor": "-1"})
    api.get("/runs", 400, params={"cursor": "../x"})


@pytest.mark.parametrize(
    "known",
    ["yesterday", "1795000000000-18446744073709551616", "18446744073709551616", "١-0", "²", "1-", "-1", "1-2-3"],
)
def test_what_is_no_event_is_refused(live: LiveCluster, api: ReadingApi, known: str) -> None:
    run_id = ended(live, [{"id": "a", "agent": "noop"}])
    header = {"Last-Event-ID": known.encode("utf-8")}

    for part in ("", "/tasks/a"):
        path = f"/runs/{run_id}{part}" + ("/logs" if part else "/events")
        answer = api.get(path, 400, params={"follow": True}, headers=header)  # type: ignore[dict-item]
        assert answer.json()["code"] == "request.after"
    assert api.get(f"/runs/{run_id}/events", 400, params={"after": known}).json()["code"] == "request.after"


@pytest.mark.parametrize("known", ["0", "0-0", "18446744073709551615-18446744073709551615", "1"])
def test_ids_of_no_event_that_there_was_tell_the_whole_run(live: LiveCluster, api: ReadingApi, known: str) -> None:
    run_id = ended(live, [{"id": "a", "agent": "noop"}])

    with api.events(f"/runs/{run_id}/events", params={"after": known}) as events:
        assert [event.name for event in events] == ["changes", "end"]


@pytest.mark.parametrize("cursor", ["0-0", "00-000"])
def test_audit_before_its_beginning_is_empty(live: LiveCluster, api: ReadingApi, cursor: str) -> None:
    assert api.json("/audit", params={"cursor": cursor}) == {"entries": [], "next": None}
    api.get("/audit", params={"cursor": "0-1"})
    api.get("/audit", params={"cursor": "9999999999999999999-9999999999999999999"})
    api.get("/audit", 422, params={"cursor": "١-0"})


@pytest.mark.parametrize("name", [ODD, "w@host"])
def test_worker_of_any_name_is_steered(live: LiveCluster, api: ReadingApi, name: str) -> None:
    call = live.cluster.connection.call
    other = live.worker_names()[0]
    call("SET", worker_key(name), call("GET", worker_key(other)))
    call("ZADD", WORKERS, call("ZSCORE", WORKERS, other), name)
    try:
        answer = api.client.post(f"/workers/{quote(name, safe='')}/cordon")
        wish = call("HGET", WISHES, name)
    finally:
        call("ZREM", WORKERS, name)
        call("DEL", worker_key(name))
        call("HDEL", WISHES, name)

    assert (answer.status_code, answer.json(), wish) == (200, {"name": name, "state": "cordoned"}, b"cordoned")
