"""What benchmarks take out of the product is there to be taken out."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_scripts_can_be_measured_without_the_fence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)

    shared, scripts = importlib.import_module("unfenced").cut_sources()

    assert "elseif false then" in scripts["complete"]
    assert "local function line() end" in shared
