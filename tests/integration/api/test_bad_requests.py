"""Requests that are wrong, too large, too slow or too many get the right status and a problem, and change nothing."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx2
import pytest
from support.live import LiveCluster
from support.serving import PROBLEM_TYPE, ServedApi, problem_of, served_api
from support.waiting import wait_until

MIB = 1024 * 1024
CSV = {"Content-Type": "text/csv"}


@pytest.fixture
def client(served: ServedApi, live: LiveCluster) -> Iterator[httpx2.Client]:
    before = served.runs()
    with served.client("submitter") as client:
        yield client
    assert served.runs() == before, "a bad request has changed something"


def chunks(count: int, size: int = MIB) -> Iterator[bytes]:
    for _ in range(count):
        yield b"x" * size


def raw(served: ServedApi, sent: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send bytes as they are; return status, headers and body of the answer."""
    with served.connect() as connection:
        connection.sendall(sent)
        return answer_on(connection)


def answer_on(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    data = b""
    while piece := connection.recv(65_536):
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(status.split()[1]), headers, body


def test_announced_body_above_the_limit_is_refused_at_once(client: httpx2.Client) -> None:
    problem_of(client.post("/api/v1/runs", content=b"x" * (33 * MIB), headers=CSV), 413, "request.size")


def test_body_in_chunks_above_the_limit_is_refused(client: httpx2.Client) -> None:
    problem_of(client.post("/api/v1/runs", content=chunks(33), headers=CSV), 413, "request.size")


@pytest.mark.parametrize("path", ["/api/v1/tasks", "/api/v1/session", "/api/v1/runs/x/retry"])
def test_bodies_that_are_no_plans_have_a_lower_limit(client: httpx2.Client, path: str) -> None:
    problem_of(client.post(path, content=chunks(2), headers={"Content-Type": "application/json"}), 413, "request.size")


WRONG: list[tuple[str, str, bytes, dict[str, str], int, str]] = [
    ("no json", "/api/v1/tasks", b"{", {"Content-Type": "application/json"}, 400, "request.json"),
    (
        "broken utf-8",
        "/api/v1/tasks",
        b'{"description": "\xff"}',
        {"Content-Type": "application/json"},
        400,
        "request.malformed",
    ),
    ("half a pair", "/api/v1/tasks", b'{"description": "\\ud800", "agent": "noop"}', {}, 422, "request.invalid"),
    ("a list", "/api/v1/tasks", b"[]", {"Content-Type": "application/json"}, 422, "request.invalid"),
    ("deep json", "/api/v1/tasks", b"[" * 100_000, {"Content-Type": "application/json"}, 400, "request.malformed"),
    (
        "deep plan",
        "/api/v1/runs",
        b'{"tasks":' + b"[" * 100_000,
        {"Content-Type": "application/json"},
        422,
        "plan.rejected",
    ),
    ("plan of broken utf-8", "/api/v1/runs", b"id,command\n\xff,true\n", CSV, 422, "plan.rejected"),
    ("plan of zeros", "/api/v1/runs", b"\0" * 100, CSV, 422, "plan.rejected"),
    ("empty plan", "/api/v1/runs", b"", CSV, 422, "request.empty"),
    ("gzip", "/api/v1/runs", b"\x1f\x8b" + b"x" * 50, CSV, 422, "plan.rejected"),
    ("unknown type", "/api/v1/runs", b"<plan/>", {"Content-Type": "application/xml"}, 415, "request.type"),
    ("unknown query", "/api/v1/runs?dryrun=1", b"id\na\n", CSV, 422, "request.invalid"),
    ("query of the wrong type", "/api/v1/runs?weight=heavy", b"id\na\n", CSV, 422, "request.invalid"),
    ("not a number", "/api/v1/runs?weight=nan", b"id\na\n", CSV, 422, "request.invalid"),
    ("bad key", "/api/v1/runs", b"id\na\n", CSV | {"Idempotency-Key": "a b"}, 422, "idempotency.key"),
    ("no form", "/api/v1/runs", b"x", {"Content-Type": "multipart/form-data"}, 400, "request.malformed"),
    ("cut form", "/api/v1/runs", b"--x\r\n", {"Content-Type": "multipart/form-data; boundary=x"}, 422, "request.form"),
    (
        "unknown field",
        "/api/v1/runs/x/stop",
        b'{"kil": true}',
        {"Content-Type": "application/json"},
        422,
        "request.invalid",
    ),
    (
        "truth as text",
        "/api/v1/runs/x/stop",
        b'{"kill": "perhaps"}',
        {"Content-Type": "application/json"},
        422,
        "request.invalid",
    ),
    ("unknown run", "/api/v1/runs/20200101-000000-000000000/stop", b"", {}, 404, "not_found"),
    ("no run at all", "/api/v1/runs/%7Btek%7D:*/stop", b"", {}, 404, "not_found"),
    ("encoded slashes", "/api/v1/runs/..%2F..%2Fetc/retry", b"", {}, 404, "not_found"),
]


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "code"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG]
)
def test_wrong_request_is_told(
    client: httpx2.Client, path: str, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    problem_of(client.post(path, content=body, headers={"Content-Type": "application/json"} | headers), status, code)


def test_what_is_not_there_and_what_is_not_possible_are_told(client: httpx2.Client) -> None:
    problem_of(client.get("/api/v1/unicorns"), 404, "not_found")
    answer = client.put("/api/v1/tokens")

    problem_of(answer, 405, "request.method")
    assert {"GET", "POST"} <= set(answer.headers["Allow"].split(", "))


def test_every_answer_has_the_headers_of_safety(client: httpx2.Client) -> None:
    for answer in (
        client.get("/healthz"),
        client.get("/api/v1/nothing"),
        client.post("/api/v1/tasks", content=chunks(2)),
    ):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert answer.headers["X-Request-Id"]
        assert "server" not in answer.headers


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nx",
        b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 40_000 + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 50 + b"\r\n\r\n",
    ],
    ids=["nonsense", "length", "two lengths", "long path", "many headers", "tls"],
)
def test_what_is_no_http_is_told(served: ServedApi, live: LiveCluster, sent: bytes) -> None:
    status, headers, body = raw(served, sent)

    assert status in (400, 401, 404)
    if status == 400:
        assert headers["content-type"] == PROBLEM_TYPE
        assert json.loads(body)["code"] == "request.malformed"


@pytest.fixture
def impatient(live: LiveCluster) -> Iterator[ServedApi]:
    with served_api(live, idle_s=0.5, body_time_s=1.0, connections=10) as served:
        yield served


def _head(served: ServedApi, length: int, role: str = "submitter", more: str = "") -> bytes:
    token = served.tokens[role]
    return (
        f"POST /api/v1/runs HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: text/csv\r\nContent-Length: {length}\r\n{more}\r\n"
    ).encode()


def test_head_that_does_not_come_is_not_waited_for(impatient: ServedApi) -> None:
    with impatient.connect() as silent, impatient.connect() as slow:
        slow.sendall(b"GET / HT")

        assert answer_on(slow)[0] == 408
        assert answer_on(silent)[0] == 408


def test_body_that_does_not_come_is_not_waited_for(impatient: ServedApi) -> None:
    before = impatient.runs()
    with impatient.connect() as slow:
        slow.sendall(_head(impatient, 100) + b"id,command\n")
        status, headers, body = answer_on(slow)

    assert (status, headers["content-type"], json.loads(body)["code"]) == (408, PROBLEM_TYPE, "request.slow")
    assert impatient.runs() == before


def test_body_that_drips_is_not_waited_for(impatient: ServedApi) -> None:
    with impatient.connect() as slow:
        slow.sendall(_head(impatient, 1_000_000))
        slow.settimeout(0.1)
        seen: list[bytes] = []

        def drip() -> bool:
            """Send one byte more; true once an answer came."""
            try:
                slow.sendall(b"x")
                seen.append(slow.recv(65_536))
            except TimeoutError:
                return False
            except ConnectionError:
                return True
            return True

        wait_until(drip, "the answer to a body that drips", timeout_s=10.0)

    assert seen[0].startswith(b"HTTP/1.1 408 ")


def _fill(served: ServedApi, count: int, stack: ExitStack) -> Callable[[], None]:
    """Have requests wait for their bodies; return what keeps them waiting."""
    waiting = [stack.enter_context(served.connect()) for _ in range(count)]
    for number, connection in enumerate(waiting):
        role = ("submitter", "approver")[number % 2]  # one token has no more than half of the places
        connection.sendall(_head(served, 1_000_000, role, "Expect: 100-continue\r\n"))
        assert b" 100 " in connection.recv(65_536)  # it has its place, and its body is waited for

    def feed() -> None:
        for connection in waiting:
            connection.sendall(b"x")

    return feed


def test_flood_of_requests_is_told_to_come_back_and_passes(live: LiveCluster) -> None:
    with served_api(live, connections=10, idle_s=5, body_time_s=60) as served:
        with ExitStack() as stack:
            feed = _fill(served, 10, stack)
            feed()
            with served.client("viewer") as client:
                wait_until(lambda: client.get("/api/v1/session").status_code == 503, "the API to be busy")
                refused = client.get("/api/v1/session")
                assert client.get("/healthz").status_code == 200
            problem_of(refused, 503, "server.busy")
            assert refused.headers["Retry-After"] == "1"
        with served.client("viewer") as client:
            wait_until(lambda: client.get("/api/v1/session").status_code == 200, "the API to have room")


def test_flood_of_connections_is_cut_and_passes(live: LiveCluster) -> None:
    with served_api(live, connections=10, idle_s=1.0) as served:
        with ExitStack() as stack:
            flood = [stack.enter_context(served.connect()) for _ in range(60)]
            cut = 0
            for connection in flood:
                try:
                    cut += connection.recv(1) == b""
                except ConnectionError:
                    cut += 1
            assert cut >= 40
        with served.client("viewer") as client:
            assert client.get("/api/v1/session").status_code == 200
