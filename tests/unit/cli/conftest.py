"""What the tests of commands share: `tek` run in this process, in a folder of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from taskexec.cli.main import tek

Tek = Callable[..., Result]


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty folder the current one, without any of our variables."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("TEK_")]:
        monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def call_tek(in_folder: Path) -> Tek:
    """Return a function that runs `tek` with the given arguments."""

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(tek, list(arguments), prog_name="tek")

    return call
