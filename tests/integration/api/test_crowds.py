"""Many who ask at once, some of them to do harm: others are answered all the same."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx2
import pytest
from support.live import LiveCluster
from support.serving import ServedApi, problem_of, served_api
from support.waiting import wait_until

WRONG = f"tek_0123456789ab_{'A' * 43}"


@pytest.fixture
def small(live: LiveCluster) -> Iterator[ServedApi]:
    """An API that answers 10 requests at once."""
    with served_api(live, connections=10, idle_s=5, body_time_s=60) as served:
        yield served


def send_head(served: ServedApi, connection: socket.socket, path: str, *headers: str) -> None:
    """Begin a request whose body does not come."""
    lines = (f"POST {path} HTTP/1.1", "Host: a", "Content-Type: application/json", "Content-Length: 1000", *headers)
    connection.sendall("\r\n".join((*lines, "", "{")).encode())


def answer_on(connection: socket.socket) -> tuple[int, str]:
    """Return the status, and the code of the problem."""
    data = b""
    while b"\r\n\r\n" not in data or not data.endswith(b"}"):
        piece = connection.recv(65_536)
        assert piece, data
        data += piece
    return int(data[9:12]), json.loads(data.partition(b"\r\n\r\n")[2])["code"]


@pytest.mark.parametrize("path", ["/api/v1/tasks", "/api/v1/runs", "/api/v1/tokens", "/api/v1/nothing"])
@pytest.mark.parametrize("header", [(), (f"Authorization: Bearer {WRONG}",)], ids=["none", "wrong"])
def test_body_of_a_stranger_is_not_read(served: ServedApi, path: str, header: tuple[str, ...]) -> None:
    with served.connect() as connection:
        connection.settimeout(3.0)  # less than a body is waited for
        send_head(served, connection, path, *header)

        assert answer_on(connection) == (401, "access.token")


def test_logins_that_do_not_come_keep_nobody_out(small: ServedApi) -> None:
    with ExitStack() as stack, small.client("viewer") as client:
        waiting = [stack.enter_context(small.connect()) for _ in range(8)]
        for connection in waiting:
            send_head(small, connection, "/api/v1/session")

        refused = [answer_on(connection) for connection in waiting[5:]]

        assert refused == [(429, "rate.at_once")] * 3
        assert client.get("/api/v1/session").status_code == 200


def test_readers_with_one_token_leave_room(small: ServedApi, live: LiveCluster) -> None:
    run_id = live.submit([{"id": "a", "command": "sleep 600"}])
    try:
        with ExitStack() as stack, small.client("viewer") as reader, small.client("submitter") as other:
            for _ in range(5):
                stream = stack.enter_context(reader.stream("GET", f"/api/v1/runs/{run_id}/events"))
                assert stream.status_code == 200

            problem_of(reader.get("/api/v1/session"), 429, "rate.at_once")
            for _ in range(2):
                stack.enter_context(other.stream("GET", f"/api/v1/runs/{run_id}/events"))
            problem_of(other.get(f"/api/v1/runs/{run_id}/events"), 503, "server.busy")
            assert other.get("/api/v1/session").status_code == 200

            stack.close()
            wait_until(lambda: reader.get("/api/v1/session").status_code == 200, "the readers to have left")
    finally:
        live.store.stop(run_id, kill=True)


def test_address_that_guesses_waits_and_a_valid_token_from_there_does_not(live: LiveCluster) -> None:
    with (
        served_api(live, failure_rate=3) as served,
        served.client(WRONG) as guesser,
        served.client("viewer") as client,
        served.client(None) as browser,
    ):
        answers = [guesser.get("/api/v1/session").status_code for _ in range(5)]

        assert answers == [401] * 3 + [429] * 2
        assert client.get("/api/v1/session").status_code == 200
        assert browser.post("/api/v1/session", json={"token": served.tokens["viewer"]}).status_code == 200
        assert browser.get("/api/v1/session").status_code == 200


def test_addresses_behind_a_proxy_are_told_apart_where_it_is_trusted(live: LiveCluster) -> None:
    def guess(served: ServedApi, address: str) -> int:
        headers = {"Authorization": "Bearer tek_x", "X-Forwarded-For": address}
        return httpx2.get(f"{served.url}/api/v1/session", headers=headers).status_code

    with served_api(live, failure_rate=1, proxies="127.0.0.0/8") as trusting:
        assert [guess(trusting, address) for address in ("10.1.1.1", "10.1.1.1", "10.1.1.2")] == [401, 429, 401]
    with served_api(live, failure_rate=1) as wary:
        assert [guess(wary, address) for address in ("10.1.1.1", "10.1.1.2")] == [401, 429]


def test_token_that_logs_in_too_often_waits(live: LiveCluster) -> None:
    with served_api(live, rate=3) as served, served.client(None) as browser:
        login = {"token": served.tokens["viewer"]}
        answers = [browser.post("/api/v1/session", json=login).status_code for _ in range(4)]

    assert answers == [200] * 3 + [429]


def test_nobody_learns_where_the_server_of_a_cluster_is(fresh: Callable[..., LiveCluster]) -> None:
    live = fresh()
    with (
        served_api(live, collect=False) as served,
        served.client(WRONG) as stranger,
        served.client("viewer") as viewer,
    ):
        assert stranger.get("/api/v1/session").status_code == 401
        live.server.stop()
        answers = [
            stranger.get("/api/v1/session"),
            stranger.post("/api/v1/tasks", json={}),
            viewer.get("/api/v1/workers"),
            stranger.post("/api/v1/session", json={"token": WRONG}),
        ]

        for answer in answers:
            problem = problem_of(answer, 503, "cluster.connection")
            assert "redis" not in answer.text.lower(), answer.text
            assert live.server.url.rpartition(":")[2] not in problem["detail"]
            assert answer.headers["Retry-After"]
        assert "does not answer" in served.log.read_text()
