"""Tests of where the API and Flower are found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from taskexec.cluster.doors import api_address, flower_address, flower_of_run, flower_of_task
from taskexec.settings import Settings, load_settings


def settings_in(folder: Path, up: Any = None, **given: object) -> Settings:
    if up is not None:
        (folder / "up.json").write_text(up if isinstance(up, str) else json.dumps(up))
    return load_settings({"embedded.data_dir": folder, **given}, environ={}, cwd=folder)


def test_settings_win_over_what_is_up(tmp_path: Path) -> None:
    up = {"api": {"url": "http://127.0.0.1:1"}, "flower": {"url": "http://127.0.0.1:2/"}}
    public = {"api.public_url": "https://a.example/", "flower.public_url": "https://f.example/"}

    both, only_up = settings_in(tmp_path, up, **public), settings_in(tmp_path)

    assert (api_address(both), flower_address(both)) == ("https://a.example", "https://f.example")
    assert (api_address(only_up), flower_address(only_up)) == ("http://127.0.0.1:1", "http://127.0.0.1:2")


@pytest.mark.parametrize("up", [None, "{", "[]", {}, {"api": None, "flower": None}, {"api": "x", "flower": {}}])
def test_nothing_is_known_where_nothing_is_up(tmp_path: Path, up: Any) -> None:
    settings = settings_in(tmp_path, up)

    assert (api_address(settings), flower_address(settings)) == (None, None)
    assert flower_of_run(settings, "r") is None


def test_links_to_flower_are_those_of_its_address(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, **{"flower.public_url": "https://f.example"})

    assert flower_of_task(settings, "r", 3) == "https://f.example/task/r.3"
    assert str(flower_of_run(settings, "r")).startswith("https://f.example/tasks?name=tek.")
