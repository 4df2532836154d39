"""Tests of following a run: what an interrupt does when the server is away."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from taskexec.cli.display import SilentDisplay
from taskexec.cli.follow import follow
from taskexec.errors import ConnectionLost


class _Collector:
    """A run that ends at its third step."""

    def __init__(self) -> None:
        self.view: Any = None
        self._steps = 0

    def step(self, *, wait_s: float) -> bool:
        self._steps += 1
        return self._steps >= 3


def test_stop_that_did_not_reach_the_server_is_sent_again() -> None:
    calls: list[bool] = []

    def stop(kill: bool) -> None:
        calls.append(kill)
        if len(calls) == 1:
            raise ConnectionLost("away")

    interrupts: Any = SimpleNamespace(count=1)
    collector: Any = _Collector()

    follow(collector, SilentDisplay(), interrupts, stop=stop)

    assert calls == [False, False]
