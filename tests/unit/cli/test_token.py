"""Tests of `tek token`, and of what a token becomes."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import Result

from taskexec.cli.where import find_url
from taskexec.cluster.joining import JOIN_VARIABLE, joined
from taskexec.completion.keys import Identity
from taskexec.domain.join import JoinToken
from taskexec.settings import load_settings

Tek = Callable[..., Result]

URL = "redis://worker:geheim@server:6379/0"
OTHER = Identity.generate().public


@pytest.fixture(autouse=True)
def own_folders(in_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(in_folder / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(in_folder / "state"))


def test_token_holds_the_address_and_the_own_key(call_tek: Tek) -> None:
    outcome = call_tek("token", "--broker", URL)

    key = json.loads(call_tek("keys", "--output", "json").stdout)["key"]
    assert JoinToken.decode(outcome.stdout) == JoinToken(URL, (key,))
    assert "geheim" not in outcome.output.replace(outcome.stdout, "")


def test_token_trusts_what_it_is_told(call_tek: Tek) -> None:
    outcome = call_tek("token", "--broker", URL, "--no-own-key", "--trust", OTHER)

    assert JoinToken.decode(outcome.stdout).trusted_keys == (OTHER,)


def test_place_of_the_server_can_be_another_for_those_who_join(call_tek: Tek) -> None:
    outcome = call_tek("token", "--broker", URL, "--host", "gate.example.org", "--port", "7000")

    assert JoinToken.decode(outcome.stdout).url == "redis://worker:geheim@gate.example.org:7000/0"


def test_saved_token_is_readable_by_its_owner_only_and_not_printed(call_tek: Tek, in_folder: Path) -> None:
    outcome = call_tek("token", "--broker", URL, "--save", "worker.join", "--output", "json")

    path = in_folder / "worker.join"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert JoinToken.decode(path.read_text()).url == URL
    assert json.loads(outcome.stdout) | {"trusted_keys": 0} == {
        "token": None,
        "file": "worker.join",
        "address": "redis://worker:***@server:6379/0",
        "trusted_keys": 0,
    }


def test_certificates_travel_with_the_token(call_tek: Tek, in_folder: Path) -> None:
    for name in ("ca", "cert", "key"):
        (in_folder / f"{name}.pem").write_text(f"PEM of {name}\n")
    url = "rediss://w:geheim@server/0?ssl_ca_certs=ca.pem&ssl_certfile=cert.pem&ssl_keyfile=key.pem"

    token = JoinToken.decode(call_tek("token", "--broker", url).stdout)

    texts = (token.authority, token.certificate, token.private_key)
    assert (token.url, *texts) == ("rediss://w:geheim@server/0", "PEM of ca\n", "PEM of cert\n", "PEM of key\n")


def test_certificates_of_a_token_are_put_into_private_files(in_folder: Path) -> None:
    line = JoinToken("rediss://w:geheim@server/0", (), "CA", "CERT", "KEY").encoded()

    url = joined(load_settings(), line).redis.url

    files = {name: Path(values[0]) for name, values in parse_qs(urlsplit(str(url)).query).items()}
    assert {name: path.read_text() for name, path in files.items()} == {
        "ssl_ca_certs": "CA",
        "ssl_certfile": "CERT",
        "ssl_keyfile": "KEY",
    }
    assert {stat.S_IMODE(path.stat().st_mode) for path in files.values()} == {0o600}


def test_token_counts_for_more_than_the_settings_and_adds_to_what_is_trusted(in_folder: Path) -> None:
    mine = Identity.generate().public
    settings = load_settings({"redis.url": "redis://elsewhere", "security.trusted_keys": mine})

    after = joined(settings, JoinToken(URL, (OTHER,)).encoded())

    assert (after.redis.url, after.security.trusted()) == (URL, (mine, OTHER))


def test_token_of_the_environment_counts_for_less_than_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(JOIN_VARIABLE, JoinToken(URL, (OTHER,)).encoded())

    assert find_url(load_settings(), None) == URL
    assert find_url(load_settings({"redis.url": "redis://elsewhere"}), None) == "redis://elsewhere"
    assert find_url(load_settings(), "redis://asked-for") == "redis://asked-for"


def test_token_in_a_file_is_read_from_there(in_folder: Path) -> None:
    (in_folder / "worker.join").write_text(JoinToken(URL).encoded() + "\n")

    assert joined(load_settings(), "@worker.join").redis.url == URL


@pytest.mark.parametrize(
    ("given", "status", "code"),
    [
        ("tek-join-1.AAAA.000000000000", 2, "token"),
        ("tek-join-9.AAAA.000000000000", 2, "token"),
        ("@nowhere", 2, "usage"),
    ],
)
def test_token_that_cannot_be_used_is_told(call_tek: Tek, given: str, status: int, code: str) -> None:
    outcome = call_tek("worker", "--join", given)

    assert (outcome.exit_code, outcome.stderr.partition(":")[0]) == (status, f"error[{code}]")


def test_server_that_is_away_is_told_without_its_password(call_tek: Tek) -> None:
    outcome = call_tek("worker", "--join", JoinToken("redis://worker:geheim@127.0.0.1:1/0").encoded())

    assert outcome.exit_code == 3
    assert "geheim" not in outcome.output


def test_socket_is_no_address_for_others(call_tek: Tek) -> None:
    assert call_tek("token", "--broker", "unix:///run/server.sock").exit_code == 2
