"""What is known of a run before its log has been read to the end: its graph, and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import orjson
import pytest

from taskexec.api import live_run
from taskexec.api.live import Hub
from taskexec.api.live_run import LiveRun
from taskexec.api.origins import Happening, order_of
from taskexec.domain.events import LogEntry
from taskexec.observability.timeline import RunTimeline

RUN = "20260101-000000-000000000"
LONG_S = 30.0


class SlowLog:
    """A run whose log is read only when it may be."""

    stamp = None

    def __init__(self) -> None:
        self.is_asked, self.may_go_on = threading.Event(), threading.Event()
        self.entries = [LogEntry("1-0", 1_000_000, "", "A 0 0\nQ 0 1")]

    def begin(self) -> RunTimeline:
        tasks = [{"id": "a", "route": "cpu", "depends_on": []}, {"id": "b", "route": "cpu", "depends_on": ["a"]}]
        return RunTimeline({"tasks": tasks, "digest": "d"})

    def read(self, after: str, *, wait_s: float = 0.0) -> list[LogEntry]:
        self.is_asked.set()
        assert self.may_go_on.wait(LONG_S)
        return [entry for entry in self.entries if order_of(entry.id) > order_of(after)]

    def happened(self, after: str, until: str) -> Iterator[Happening]:
        return iter(())

    def now_us(self) -> int:
        return 2_000_000


@pytest.fixture
def log() -> SlowLog:
    return SlowLog()


@pytest.fixture
def hub(log: SlowLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    monkeypatch.setattr(Hub, "_read", lambda *_: LiveRun(RUN, log))
    return Hub(cast("Any", None), tmp_path)  # it asks the cluster for nothing but what `_read` gives


def test_graph_is_told_while_the_log_is_read_for_the_first_time(hub: Hub, log: SlowLog) -> None:
    reader = threading.Thread(target=hub.run, args=(RUN,))
    reader.start()
    try:
        assert log.is_asked.wait(LONG_S)

        body = orjson.loads(hub.planned(RUN).graph().data)
    finally:
        log.may_go_on.set()
        reader.join(LONG_S)

    assert (body["ids"], body["deps"], body["critical"]) == (["a", "b"], [[], [0]], [0, 1])
    assert hub.run(RUN).timeline.last_id == "1-0"


def test_run_that_was_read_is_taken_up_to_date_before_its_graph_is_told(
    hub: Hub, log: SlowLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_run, "_FRESH_S", -1.0)  # whatever is known is old
    log.may_go_on.set()
    was_unread = hub.planned(RUN).is_unread
    hub.run(RUN)
    log.entries.append(LogEntry("2-0", 2_000_000, "w", "R 0 1"))

    assert was_unread
    assert hub.planned(RUN).timeline.last_id == "2-0"
