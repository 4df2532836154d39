"""Tests of `tek drain`, `cordon` and `uncordon`: the wish reaches the worker that the beginning of a name means."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import Result

from taskexec.cli import drain as command

Tek = Callable[..., Result]


class FakeWorkers:
    """Registrations, which go when they have been listed so often."""

    def __init__(self) -> None:
        self.wishes: list[tuple[str, str]] = []
        self.looks_left = 3

    def listed(self) -> list[dict[str, Any]]:
        self.looks_left -= 1
        names = ["tek-aa@g1", "tek-ab@c1"] if self.looks_left >= 0 else ["tek-ab@c1"]
        return [{"name": name} for name in names]

    def wish(self, name: str, state: str) -> None:
        self.wishes.append((name, state))


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> FakeWorkers:
    found = FakeWorkers()
    monkeypatch.setattr(command, "open_cluster", lambda *_: SimpleNamespace(workers=found))
    monkeypatch.setattr(command, "_ROUND_S", 0.0)
    return found


@pytest.mark.parametrize(("name", "state"), [("drain", "draining"), ("cordon", "cordoned"), ("uncordon", "ready")])
def test_wish_reaches_the_worker_that_the_beginning_of_a_name_means(
    name: str, state: str, workers: FakeWorkers, call_tek: Tek
) -> None:
    result = call_tek(name, "tek-aa", "--output", "json")

    assert (result.exit_code, workers.wishes) == (0, [("tek-aa@g1", state)])
    assert json.loads(result.stdout) == {"name": "tek-aa@g1", "state": state}


@pytest.mark.parametrize("name", ["tek-a", "nobody"])
def test_name_that_means_no_one_worker_wishes_nothing(name: str, workers: FakeWorkers, call_tek: Tek) -> None:
    assert call_tek("drain", name).exit_code == 2
    assert workers.wishes == []


def test_drain_waits_until_the_worker_is_gone_when_asked_to(workers: FakeWorkers, call_tek: Tek) -> None:
    result = call_tek("drain", "tek-aa", "--wait", "--output", "json")

    assert json.loads(result.stdout)["state"] == "left"
    assert workers.looks_left < 0


def test_drain_that_takes_too_long_is_told(workers: FakeWorkers, call_tek: Tek) -> None:
    workers.looks_left = 1_000_000_000

    assert call_tek("drain", "tek-aa", "--wait", "--timeout", "0").exit_code == 3
