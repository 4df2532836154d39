"""Tests of `tek config`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Tek = Callable[..., Result]


def test_value_and_origin_are_shown(in_folder: Path, call_tek: Tek, monkeypatch: pytest.MonkeyPatch) -> None:
    (in_folder / "tek.toml").write_text("[worker]\nlease_s = 3\n")
    monkeypatch.setenv("TEK_REDIS_URL", "redis://:geheim@there")

    outcome = call_tek("config", "--output", "json", "--set", "run.fail_fast=true")

    settings = {entry["key"]: entry for entry in json.loads(outcome.stdout)["settings"]}
    assert (settings["worker.lease_s"]["value"], settings["worker.lease_s"]["origin"]) == (3, "tek.toml:2")
    assert settings["redis.url"]["value"] == "redis://:***@there"
    assert (settings["run.fail_fast"]["value"], settings["run.fail_fast"]["origin"]) == (True, "command line")
    assert settings["flower.host"]["origin"] == "default"


@pytest.mark.parametrize("form", ["table", "quiet"])
def test_every_form_names_every_setting(form: str, call_tek: Tek) -> None:
    keys = [entry["key"] for entry in json.loads(call_tek("config", "--output", "json").stdout)["settings"]]

    shown = call_tek("config", "--output", form).stdout

    assert all(key in shown for key in keys)


def test_faults_name_file_and_line(in_folder: Path, call_tek: Tek) -> None:
    (in_folder / "other.toml").write_text("[worker]\nlease_s = -1\n")

    outcome = call_tek("config", "--config", "other.toml")

    assert outcome.exit_code == 2
    assert "  at other.toml:2\n" in outcome.stderr


@pytest.mark.parametrize("arguments", [["--set", "worker.lease_s"], ["--set", "=3"], ["--env", "none"]])
def test_wrong_options_are_refused(arguments: list[str], call_tek: Tek) -> None:
    assert call_tek("config", *arguments).exit_code == 2
