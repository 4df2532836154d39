"""Tests of following a run: what an interrupt does when the server is away."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from taskexec.cli.display import SilentDisplay
from taskexec.cli.follow import end_lines, follow
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


def summary(**fields: Any) -> dict[str, Any]:
    known = {"run_id": "r", "status": "succeeded", "dry_run": False, "started": None, "ended": None, "results": []}
    return known | {"counts": {"succeeded": 2}} | fields


def pending(name: str, state: str) -> dict[str, Any]:
    return {
        "task": "train",
        "attempt": 1,
        "file": name,
        "bytes": 3 * 2**20,
        "host": "node7",
        "spool": "",
        "state": state,
    }


def test_end_says_which_files_are_not_at_home_and_where_they_are(tmp_path: Path) -> None:
    files = [pending("files/model", "pending"), pending("files/old", "gone")]

    lines = list(end_lines(summary(pending_files=files), tmp_path))

    assert lines[-3:] == [
        "not at home: files/model of train (3.0 MiB) is still on node7",
        "not at home: files/old of train (3.0 MiB) is no longer on node7",
        "they come with `tek collect r` once a worker of their host is there",
    ]


def test_files_that_will_never_come_are_not_promised(tmp_path: Path) -> None:
    lines = list(end_lines(summary(pending_files=[pending("files/old", "gone")]), tmp_path))

    assert lines[-1] == "not at home: files/old of train (3.0 MiB) is no longer on node7"


def test_end_says_how_many_tasks_were_cut(tmp_path: Path) -> None:
    lines = list(end_lines(summary(truncated=2), tmp_path))

    assert "evidence of 2 tasks was cut at a limit: see `truncated_bytes` in run.json" in lines


def test_end_shows_a_few_hints_each_once(tmp_path: Path) -> None:
    hints = [["used 3.8 cores on average and asked for 1"], ["one"], ["one", "two"], ["three"]]
    results = [{"task": f"t{number}", "status": "succeeded", "hints": told} for number, told in enumerate(hints)]
    results.append({"task": "quiet", "status": "succeeded"})

    lines = [line for line in end_lines(summary(results=results), tmp_path) if line.startswith(("hint:", "… and"))]

    assert lines == [
        "hint: t0 used 3.8 cores on average and asked for 1",
        "hint: t1 and 1 more one",
        "hint: t2 two",
        "… and 1 more hints (run.json lists all)",
    ]
