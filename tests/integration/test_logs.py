"""What real workers log: JSON in a file, with the run that each line is about, Celery's lines among them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from support.live import LiveCluster
from support.waiting import wait_until

from taskexec.domain.trace import trace_id_of

Start = Callable[..., LiveCluster]


def logged(live: LiveCluster) -> list[dict[str, Any]]:
    text = (live.place.folder / "worker.log").read_text()
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def test_lines_of_celery_name_run_worker_and_trace(fresh: Start) -> None:
    live = fresh(log__level="info")
    supervisor = live.start_worker(slots=1)

    home = live.carry_out([{"id": "a", "command": "false"}])

    run_id = home.summary["run_id"]

    def about_the_run() -> list[dict[str, Any]]:
        return [line for line in logged(live) if line.get("run") == run_id]

    wait_until(lambda: len(about_the_run()) >= 2, "a line of its end", diagnose=live.log)
    about = about_the_run()
    assert {line["logger"] for line in about} == {"celery.worker.strategy", "celery.app.trace"}
    assert {line["worker"] for line in logged(live)} == {supervisor.name}
    assert {line["trace_id"] for line in about} == {f"{trace_id_of(run_id):032x}"}
    assert {line["index"] for line in about} == {0}


def test_lines_for_people_are_no_json(fresh: Start) -> None:
    live = fresh(log__level="info", log__format="human")
    live.start_worker(slots=1)

    live.carry_out([{"id": "a"}])

    text = (live.place.folder / "worker.log").read_text()
    assert "{" not in text.splitlines()[0]
    assert "worker=" in text


def test_worker_loads_nothing_of_this_before_it_is_needed() -> None:
    program = "import sys, taskexec.runtime.worker, taskexec.cluster.client; print(*sorted(sys.modules))"

    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()

    # redis imports OpenTelemetry's metrics by itself where they are installed
    assert (
        set(loaded) & {"structlog", "opentelemetry.exporter", "opentelemetry.sdk.trace", "httpx2", "apprise"} == set()
    )
