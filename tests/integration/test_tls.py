"""TLS with certificates of clients, and joining by nothing but a token, on loopback."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.deployed import Deployed, serving, tls_program
from support.isolation import Place, new_place
from support.tek import EXECUTABLE
from support.waiting import wait_until

from taskexec.domain.join import JoinToken
from taskexec.errors import ConnectionLost
from taskexec.store.connection import Connection
from taskexec.store.embedded import ServerProgram

pytestmark = [pytest.mark.xdist_group("tls"), pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with new_place() as place:
        yield place


@pytest.fixture(scope="module", params=["front", "native"])
def deployed(request: pytest.FixtureRequest, place: Place, server_program: ServerProgram) -> Iterator[Deployed]:
    """A server behind TLS: that of the server itself where one on PATH was built with it, and that of a front."""
    native = tls_program() if request.param == "native" else None
    if request.param == "native" and native is None:
        pytest.skip("no valkey-server or redis-server on PATH was built with TLS")
    folder = place.folder / request.param
    folder.mkdir()
    with serving(server_program, folder, place.environ(), with_tls=True, native=native) as deployed:
        yield deployed


def address(deployed: Deployed, role: str, **files: Path | str) -> str:
    token = JoinToken.decode((deployed.secrets / f"{role}.join").read_text())
    return token.url_with({name: str(path) for name, path in files.items()})


def environ(place: Place, name: str, **more: str) -> dict[str, str]:
    """Return the environment of a user of its own: another home, other keys."""
    folder = place.folder / name
    own = {"HOME": str(folder), "XDG_STATE_HOME": str(folder / "state"), "XDG_CONFIG_HOME": str(folder / "config")}
    return place.environ() | own | more


def test_worker_joins_by_its_token_alone_and_performs_what_the_submitter_signed(
    place: Place, deployed: Deployed
) -> None:
    work = deployed.secrets.parent / "work"
    keys = deployed.secrets.parent / "submitter-keys"
    for folder in (work, keys):
        folder.mkdir()
    (keys / "identity.pem").write_bytes((deployed.secrets / "identity.pem").read_bytes())
    (keys / "identity.pem").chmod(0o600)
    (work / "plan.csv").write_text("id,command,depends_on\na,echo hi,\nb,echo there,a\n")
    log = place.folder / "joined.log"
    with log.open("wb") as output:
        worker = subprocess.Popen(
            [EXECUTABLE, "worker", "--concurrency", "1", "--join", deployed.join("worker")],
            cwd=work,
            env=environ(place, "worker"),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    submitter = environ(place, "submitter", TEK_JOIN=deployed.join("submitter"), TEK_SECURITY_KEYS_DIR=str(keys))

    def tek(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [EXECUTABLE, *arguments, "--output", "json"]
        return subprocess.run(command, cwd=work, env=submitter, capture_output=True, text=True, timeout=60, check=False)

    try:
        wait_until(
            lambda: json.loads(tek("workers").stdout)["workers"], "the worker", timeout_s=40, diagnose=log.read_text
        )
        outcome = tek("submit", "plan.csv", "--wait")
    finally:
        worker.terminate()
        status = worker.wait(30)

    assert (outcome.returncode, status) == (0, 0), (outcome, log.read_text())
    assert json.loads(outcome.stdout)["counts"] == {"succeeded": 2}
    assert deployed.password("worker") not in log.read_text()


def test_client_with_its_certificate_enters(deployed: Deployed) -> None:
    files = {"ssl_ca_certs": "ca.crt", "ssl_certfile": "monitor.crt", "ssl_keyfile": "monitor.key"}

    connection = Connection(address(deployed, "monitor", **{name: deployed.secrets / f for name, f in files.items()}))

    connection.ping()
    connection.close()


def test_client_without_certificate_is_refused(deployed: Deployed) -> None:
    connection = Connection(address(deployed, "monitor", ssl_ca_certs=deployed.secrets / "ca.crt"))

    with pytest.raises(ConnectionLost):
        connection.ping()


def test_server_of_an_unknown_authority_is_not_trusted(deployed: Deployed) -> None:
    connection = Connection(address(deployed, "monitor"))

    with pytest.raises(ConnectionLost) as caught:
        connection.ping()

    assert "certificate" in caught.value.message
    assert deployed.password("monitor") not in caught.value.message


def test_server_under_a_name_that_its_certificate_lacks_is_not_trusted(deployed: Deployed) -> None:
    context = ssl.create_default_context(cafile=deployed.secrets / "ca.crt")
    context.load_cert_chain(deployed.secrets / "monitor.crt", deployed.secrets / "monitor.key")
    with (
        socket.create_connection(("127.0.0.1", deployed.port), timeout=5) as plain,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        context.wrap_socket(plain, server_hostname="another.example.org")
