"""Tests of the Celery app: the addresses it is given, and the backend that it makes of them."""

from __future__ import annotations

import ssl
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from kombu.transport.redis import Channel

from taskexec.broker import LatchBackend, broker_url, make_app, result_url
from taskexec.broker.messages import HEADER


def broker_parameters(url: str) -> dict[str, Any]:
    """Return what kombu's Redis transport would connect with."""
    client = make_app(url).connection_for_write()
    channel: Any = Channel.__new__(Channel)
    channel.connection = SimpleNamespace(client=client, default_port=6379)
    channel.max_connections = 1
    parameters: dict[str, Any] = channel._connparams()
    return parameters


def backend_of(url: str) -> Any:
    backend = make_app(url).backend
    assert isinstance(backend, LatchBackend)
    return backend


PLACE = ("host", "port", "path", "db", "username", "password")


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://there:6390/2", {"host": "there", "port": 6390, "db": 2}),
        ("redis://user:pw@there/0", {"host": "there", "port": 6379, "db": 0, "username": "user", "password": "pw"}),
        ("unix:///run/tek/server.sock", {"path": "/run/tek/server.sock", "db": 0}),
        ("unix:///run/tek/server.sock?db=3", {"path": "/run/tek/server.sock", "db": 3}),
        ("unix:///run/s.sock?db=1&password=p%40w", {"path": "/run/s.sock", "db": 1, "password": "p@w"}),
        ("unix://user:pw@/run/s.sock", {"path": "/run/s.sock", "db": 0, "username": "user", "password": "pw"}),
    ],
)
def test_broker_and_backend_reach_the_same_server(url: str, place: dict[str, Any]) -> None:
    for parameters in (broker_parameters(url), backend_of(url).connparams):
        found = {name: parameters[name] for name in PLACE if parameters.get(name) is not None}
        assert found == place


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("rediss://there:6390/1", ssl.CERT_REQUIRED),
        ("rediss://there:6390/1?ssl_cert_reqs=none", ssl.CERT_NONE),
    ],
)
def test_certificates_are_verified_unless_the_address_says_otherwise(url: str, expected: ssl.VerifyMode) -> None:
    for parameters in (broker_parameters(url), backend_of(url).connparams):
        assert parameters["ssl_cert_reqs"] == expected
        assert issubclass(parameters["connection_class"], redis.SSLConnection)


def test_addresses_carry_a_scheme_of_their_own_for_results() -> None:
    assert broker_url("redis://there:6379/0") == "redis://there:6379/0"
    assert result_url("redis://there:6379/0") == "tekredis+redis://there:6379/0"
    assert broker_url("unix:///s?db=2") == "redis+socket:///s?virtual_host=2"
    assert result_url("unix:///s?db=2") == "tekredis+socket:///s?virtual_host=2"


class SpyLatch:
    """Notes what reaches it."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def complete(self, request: Any, *, key: str, result: bytes, retry: bytes) -> None:
        self.calls.append(("complete", key, result, retry))

    def lose(self, request: Any, error: BaseException) -> None:
        self.calls.append(("lose", type(error)))

    def revoke(self, task_id: str) -> None:
        self.calls.append(("revoke", task_id))


def request_of(**values: Any) -> Any:
    return SimpleNamespace(**{HEADER: {"run": "r", "members": [[0, 1]]}, **values})


def backend_with(latch: SpyLatch) -> LatchBackend:
    backend = make_app("redis://localhost:1/0", latch=latch).backend
    assert isinstance(backend, LatchBackend)
    return backend


def test_success_of_an_attempt_goes_to_the_latch_and_not_to_redis() -> None:
    latch = SpyLatch()
    backend = backend_with(latch)

    backend.mark_as_done("r.0", "value", request=request_of(tek_performed=object()))

    ((name, key, result, retry),) = latch.calls
    assert (name, key, retry) == ("complete", "celery-task-meta-r.0", b"")
    assert backend.decode(result)["status"] == "SUCCESS"
    assert backend.decode(result)["task_id"] == "r.0"


def test_batch_stores_nothing_of_its_own() -> None:
    latch = SpyLatch()

    backend_with(latch).mark_as_done("r.b1", None, request=request_of())

    assert latch.calls == []


def test_failure_brings_its_twin_for_a_retry() -> None:
    latch = SpyLatch()
    backend = backend_with(latch)

    backend.mark_as_failure("r.0", ValueError("no"), request=request_of(tek_performed=object()))

    ((name, _, result, retry),) = latch.calls
    assert name == "complete"
    assert (backend.decode(result)["status"], backend.decode(retry)["status"]) == ("FAILURE", "RETRY")


def test_failure_without_an_attempt_is_a_lost_one() -> None:
    latch = SpyLatch()

    backend_with(latch).mark_as_failure("r.0", RuntimeError(), request=request_of())

    assert latch.calls == [("lose", RuntimeError)]
