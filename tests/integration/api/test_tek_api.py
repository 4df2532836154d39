"""`tek api`, `tek up --api` and `tek token`: how the API begins, who is let in first, and how it ends."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from support.serving import problem_of
from support.tek import Started, Tek, tek_place
from support.waiting import wait_until

pytestmark = pytest.mark.xdist_group("tek-api")


@pytest.fixture
def tek() -> Iterator[Tek]:
    with tek_place() as tek:
        yield tek


@pytest.fixture(scope="module")
def shared_node() -> Iterator[Tek]:
    with tek_place() as tek:
        tek("up", "--workers", 0).expect(0)
        try:
            yield tek
        finally:
            tek.end_node()


@pytest.fixture
def node(shared_node: Tek) -> Tek:
    """`tek` beside a node without workers, on which there are no tokens."""
    for token_id in shared_node("token", "list", "--output", "quiet").expect(0).stdout.split():
        shared_node("token", "revoke", token_id).expect(0)
    return shared_node


def first_words(started: Started) -> Any:
    assert started.process.stdout is not None
    lines = []
    for line in started.process.stdout:
        lines.append(line)
        if line.startswith("}"):
            return json.loads("".join(lines))
    raise AssertionError(started.finish())


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_node_with_an_api_takes_a_plan_over_http_and_ends_with_it(tek: Tek) -> None:
    state = tek("up", "--api", "--set", "api.port=0", "--output", "json").expect(0).json
    api = state["api"]
    try:
        made = httpx2.post(
            f"{api['url']}/api/v1/runs",
            content="id,command\na,echo hi\n",
            headers=bearer(api["token"]) | {"Content-Type": "text/csv"},
        )
        run_id = made.json()["run_id"]
        waited = tek("watch", run_id)
        told = json.loads((tek.place.folder / "state" / "taskexec" / "up.json").read_text())["api"]
    finally:
        tek("down").expect(0)

    assert made.status_code == 201
    assert waited.status == 0, waited
    assert told == api
    assert api["login_url"] == f"{api['url']}/login#token={api['token']}"
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"{api['url']}/healthz")


def test_api_of_a_node_is_started_again_when_it_dies_and_ends_when_the_node_is_killed(tek: Tek) -> None:
    state = tek("up", "--workers", 0, "--api", "--set", "api.port=0", "--output", "json").expect(0).json
    url, headers = state["api"]["url"], bearer(state["api"]["token"])

    def process() -> psutil.Process | None:
        for child in psutil.Process(state["pid"]).children():
            with contextlib.suppress(psutil.NoSuchProcess):  # it may be a zombie
                if "node_api" in " ".join(child.cmdline()):
                    return child
        return None

    def answers() -> bool:
        with contextlib.suppress(httpx2.TransportError):
            return httpx2.get(f"{url}/api/v1/session", headers=headers).status_code == 200
        return False

    first = process()
    assert first is not None
    first.kill()
    wait_until(lambda: (process() or first).pid != first.pid and answers(), "the API to be back", timeout_s=20.0)

    psutil.Process(state["pid"]).kill()
    wait_until(lambda: not answers(), "the API to end with its node")


def test_first_start_prints_a_token_for_an_admin_and_later_ones_do_not(node: Tek) -> None:
    first = node.start("api", "--port", 0, "--output", "json")
    told = first_words(first)
    session = httpx2.get(f"{told['url']}/api/v1/session", headers=bearer(told["token"])).json()
    first.signal(signal.SIGINT)
    ended = first.finish()
    second = node.start("api", "--port", 0, "--output", "json")
    later = first_words(second)
    second.signal(signal.SIGTERM)

    assert session["role"] == "admin"
    assert told["login_url"] == f"{told['url']}/login#token={told['token']}"
    assert ended.status == second.finish().status == 0
    assert "Traceback" not in ended.stderr
    assert (later["token"], later["login_url"]) == (None, None)


def test_second_signal_ends_it_at_once(node: Tek) -> None:
    served = node.start("api", "--port", 0, "--output", "json")
    told = first_words(served)
    parts = urlsplit(told["url"])
    with socket.create_connection((parts.hostname, parts.port)) as slow:
        slow.sendall(
            f"POST /api/v1/plans HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {told['token']}\r\n"
            "Content-Type: text/csv\r\nContent-Length: 10\r\n\r\n".encode()
        )
        wait_until(lambda: httpx2.get(f"{told['url']}/healthz").status_code == 200, "the API")
        began = time.monotonic()
        served.signal(signal.SIGTERM)
        wait_until(lambda: not _listens(parts.port), "the API to stop listening")
        served.signal(signal.SIGTERM)
        status = served.finish(10.0).status

    assert status == 0
    assert time.monotonic() - began < 3.0


def _listens(port: int | None) -> bool:
    return any(
        connection.laddr.port == port and connection.status == psutil.CONN_LISTEN
        for connection in psutil.net_connections("tcp")
        if connection.laddr
    )


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "example.org"])
def test_address_that_others_reach_is_refused_without_tls(node: Tek, host: str) -> None:
    refused = node("api", "--host", host).expect(2)

    assert "--insecure" in refused.stderr
    assert refused.stdout == ""


def test_address_that_others_reach_is_possible_when_asked_for(node: Tek) -> None:
    served = node.start("api", "--host", "0.0.0.0", "--insecure", "--port", 0, "--output", "json")
    told = first_words(served)

    assert httpx2.get(told["url"].replace("0.0.0.0", "127.0.0.1") + "/healthz").status_code == 200
    served.signal(signal.SIGTERM)
    assert served.finish().status == 0


def test_tls_is_served_with_a_certificate(node: Tek) -> None:
    cert, key = _certificate(node.cwd)
    served = node.start("api", "--port", 0, "--tls-cert", cert, "--tls-key", key, "--output", "json")
    told = first_words(served)
    context = ssl.create_default_context(cafile=str(cert))
    with httpx2.Client(base_url=told["url"], verify=context) as client:
        session = client.post("/api/v1/session", json={"token": told["token"]})

    assert told["url"].startswith("https://127.0.0.1:")
    assert "Secure" in session.headers["Set-Cookie"]
    served.signal(signal.SIGTERM)
    assert served.finish().status == 0


def test_certificate_that_cannot_be_used_is_told(node: Tek) -> None:
    cert, key = _certificate(node.cwd)
    key.write_text("nothing")

    both = node("api", "--port", 0, "--tls-cert", cert, "--tls-key", key).expect(2)
    one = node("api", "--port", 0, "--tls-cert", cert).expect(2)

    assert "cannot be used" in both.stderr
    assert "Traceback" not in both.stderr
    assert "--tls-key" in one.stderr


def _certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    cert_path, key_path = folder / "cert.pem", folder / "key.pem"
    cert_path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    key_path.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))
    return cert_path, key_path


def test_taken_port_is_told_and_the_usual_one_is_evaded(node: Tek) -> None:
    first = node.start("api", "--output", "json")
    second = node.start("api", "--output", "json")
    urls = [first_words(first)["url"], first_words(second)["url"]]
    taken = node("api", "--port", urlsplit(urls[0]).port).expect(3)

    assert urls[0] != urls[1]
    assert "cannot listen" in taken.stderr
    for started in (first, second):
        started.signal(signal.SIGINT)
        assert started.finish().status == 0


def test_tokens_are_made_listed_and_revoked(node: Tek) -> None:
    made = node(
        "token", "new", "ci", "--role", "submitter", "--expires", "30d", "--agents", "noop,shell", "--output", "json"
    )
    text = node("token", "new", "lab", "--role", "viewer").expect(0).stdout.strip()
    served = node.start("api", "--port", 0, "--output", "json")
    url = first_words(served)["url"]

    token = made.expect(0).json
    assert token["token"].startswith(f"tek_{token['id']}_")
    assert (token["agents"], token["routes"], token["expires_at"] is None) == (["noop", "shell"], None, False)
    assert httpx2.get(f"{url}/api/v1/session", headers=bearer(text)).json()["name"] == "lab"
    listed = node("token", "list", "--output", "json").json["tokens"]
    assert [(row["name"], row["role"]) for row in listed] == [("ci", "submitter"), ("lab", "viewer")]
    assert "token" not in listed[0]

    node("token", "revoke", "lab").expect(0)

    problem_of(httpx2.get(f"{url}/api/v1/session", headers=bearer(text)), 401, "access.token")
    assert node("token", "list", "--output", "quiet").stdout.split() == [token["id"]]
    node("token", "revoke", "lab").expect(2)
    served.signal(signal.SIGINT)
    assert served.finish().status == 0


def test_wrong_words_about_tokens_are_told(node: Tek) -> None:
    for arguments in (
        ("new", "x"),
        ("new", "x", "--role", "king"),
        ("new", "", "--role", "admin"),
        ("new", "x", "--role", "admin", "--expires", "soon"),
        ("new", "x", "--role", "admin", "--expires", "0"),
        ("new", "x", "--role", "admin", "--routes", "tpu"),
        ("revoke", "nobody"),
    ):
        assert node("token", *arguments).expect(2).stderr.startswith("error["), arguments
    assert node("token", "list", "--output", "quiet").stdout == ""


def test_option_before_a_subcommand_is_refused(node: Tek) -> None:
    assert "--host" in node("token", "--host", "x", "list").expect(2).stderr
