"""Tests of `tek workers`: what is free beside what there is, one in full, and rows of any age."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import Result

from taskexec.cli import workers as command
from taskexec.domain.resources import Capacity, Gpu

Tek = Callable[..., Result]

CAPACITY = Capacity(
    cpus=8.0,
    memory_mib=16_384,
    gpus=(Gpu("GPU-1", "Fake H100", 81_920), Gpu("GPU-2", "Fake H100", 81_920)),
    slots=8,
    disk_mib=2048,
    labels=frozenset({"ssd", "zone=a"}),
)
BUSY: dict[str, Any] = {
    "name": "tek-aa@g1",
    "host": "g1",
    "pid": 7,
    "classes": ["cpu", "gpu"],
    "capacity": CAPACITY.to_record(),
    "free": {"cpus": 3.5, "memory_mib": 4096, "gpus": 1.5, "slots": 6, "disk_mib": 1024},
    "state": "cordoned",
    "agents": ["noop", "shell"],
    "version": "0.1.0",
    "protocol": 1,
    "driver": "570.1",
    "notes": ["GPU 2 does not answer and is not offered"],
    "load": {
        "cpu_percent": 34.6,
        "load1": 2.5,
        "memory_available_mib": 9000,
        "gpus": [{"uuid": "GPU-1", "busy_percent": 90, "memory_used_mib": 2048}, {"uuid": "GPU-2"}],
    },
}
OLD: dict[str, Any] = {
    "name": "tek-ab@c1",
    "host": "c1",
    "pid": 8,
    "classes": ["cpu"],
    "capacity": Capacity(cpus=2.0, memory_mib=512, slots=2).to_record(),
}


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Return the list of registrations that the cluster has; tests may change it."""
    listed = [BUSY, OLD]
    cluster = SimpleNamespace(workers=SimpleNamespace(listed=lambda: listed))
    monkeypatch.setattr(command, "open_cluster", lambda *_: cluster)
    return listed


@pytest.mark.usefixtures("rows")
def test_table_shows_what_is_free_of_what_there_is(call_tek: Tek) -> None:
    lines = call_tek("workers").stdout.splitlines()

    shown = [" ".join(line.split()) for line in lines]
    assert shown[0] == "name state classes cpus memory gpus slots labels load"
    assert shown[2:] == [
        "tek-aa@g1 cordoned cpu, gpu 3.5/8 4G/16G 1.5/2 6/8 ssd, zone=a cpu 35 %, gpu 90 %",
        "tek-ab@c1 cpu 2 512M 0 2",
    ]


@pytest.mark.usefixtures("rows")
def test_json_is_what_is_registered(call_tek: Tek) -> None:
    assert json.loads(call_tek("workers", "--output", "json").stdout) == {"workers": [BUSY, OLD]}


@pytest.mark.usefixtures("rows")
def test_names_alone_are_quiet(call_tek: Tek) -> None:
    assert call_tek("workers", "--output", "quiet").stdout.split() == [BUSY["name"], OLD["name"]]


@pytest.mark.usefixtures("rows")
def test_one_worker_is_shown_in_full(call_tek: Tek) -> None:
    shown = [" ".join(line.split()) for line in call_tek("workers", "tek-aa").stdout.splitlines()]

    for line in (
        "state cordoned",
        "driver 570.1",
        "agents noop, shell",
        "labels ssd, zone=a",
        "memory 4G/16G",
        "disk 1G/2G",
        "memory available now 8.8G",
        "note GPU 2 does not answer and is not offered",
        "GPU-1 Fake H100 80G 2G 90 %",
        "GPU-2 Fake H100 80G",
    ):
        assert line in shown


@pytest.mark.usefixtures("rows")
def test_worker_that_says_little_is_shown(call_tek: Tek) -> None:
    outcome = call_tek("workers", OLD["name"])

    assert outcome.exit_code == 0
    assert "GPU" not in outcome.stdout


@pytest.mark.usefixtures("rows")
def test_one_worker_in_json_is_a_list_of_one(call_tek: Tek) -> None:
    assert json.loads(call_tek("workers", "tek-ab@c1", "--output", "json").stdout) == {"workers": [OLD]}


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("name", ["tek-a", "nobody"])
def test_name_that_several_or_none_have_is_refused(name: str, call_tek: Tek) -> None:
    outcome = call_tek("workers", name)

    assert outcome.stdout == ""
    assert all(row["name"] in outcome.stderr for row in (BUSY, OLD))


def test_cluster_without_workers_is_told_when_one_is_looked_for(rows: list[dict[str, Any]], call_tek: Tek) -> None:
    rows.clear()

    assert "no worker is there" in call_tek("workers", "any").stderr
