"""How the pool children of a worker end."""

from __future__ import annotations

import os

import pytest

from taskexec.runtime.worker import _end_child


class Closing:
    """Stands for an attendant."""

    def __init__(self) -> None:
        self.steps: list[object] = []

    def close(self) -> None:
        self.steps.append("closed")


@pytest.mark.parametrize(("status", "steps"), [(0, ["closed", 0]), (155, ["closed"]), (None, ["closed"])])
def test_child_that_was_asked_to_end_does_so_at_once_and_leaves_others_to_the_pool(
    monkeypatch: pytest.MonkeyPatch, status: int | None, steps: list[object]
) -> None:
    closing = Closing()
    monkeypatch.setattr(os, "_exit", closing.steps.append)

    _end_child(closing, status)  # type: ignore[arg-type]  # it is only closed

    assert closing.steps == steps
