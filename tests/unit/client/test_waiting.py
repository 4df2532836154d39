"""Tests of waiting for a run that ends, and goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from taskexec.client.sync import Run
from taskexec.client.values import Change
from taskexec.domain.states import RunStatus

ENDED = {RunStatus.SUCCEEDED, RunStatus.FAILED}


class Story:
    """A door to a run that ends as often as its story says, and is what it says then when it is asked."""

    def __init__(self, *told: tuple[RunStatus, RunStatus]) -> None:
        self._told = list(told)
        self._asked = ""
        self.after: list[str | None] = []

    def events(self, run_id: str, *, after: str | None, until: float | None) -> Iterator[Change]:
        self.after.append(after)
        status, self._asked = self._told.pop(0)
        if status in ENDED:
            yield Change(f"{len(self.after)}-0", [], {}, status, True)
        elif until is not None:
            time.sleep(max(until - time.monotonic(), 0.0))

    def run(self, run_id: str, **_: Any) -> Mapping[str, Any]:
        nothing = dict.fromkeys(("submitted_at", "started", "ended"))
        words = {"run_id": run_id, "plan": "p.csv", "user": "", "tag": ""}
        return {**nothing, **words, "status": self._asked, "counts": {}, "tasks": 0, "dry_run": False}


def wait(story: Any, timeout_s: float | None = None) -> RunStatus:
    return Run(story, "r").wait(timeout_s).status


def test_run_that_was_reopened_at_once_is_waited_for_on() -> None:
    story = Story((RunStatus.FAILED, RunStatus.RUNNING), (RunStatus.SUCCEEDED, RunStatus.SUCCEEDED))

    assert wait(story) is RunStatus.SUCCEEDED
    assert story.after == [None, "1-0"]


def test_time_that_is_up_is_an_error_of_whoever_gave_one() -> None:
    with pytest.raises(TimeoutError):
        wait(Story((RunStatus.RUNNING, RunStatus.RUNNING)), 0.01)


def test_run_that_was_reopened_is_waited_for_until_the_time_is_up() -> None:
    story = Story((RunStatus.FAILED, RunStatus.RUNNING), (RunStatus.RUNNING, RunStatus.RUNNING))

    with pytest.raises(TimeoutError):
        wait(story, 0.3)
    assert len(story.after) == 2
