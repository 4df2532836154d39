"""A plan that is sent with curl is seen on its page, in Flower and by `tek watch`, as `tek events` tells it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page
from support.browser import chromium, window
from support.flower import Flower
from support.tek import Tek, tek_place
from support.waiting import wait_until

STATES = {"succeeded": "SUCCESS", "failed": "FAILURE", "skipped": "REVOKED"}
"""What Flower calls statuses."""


@dataclass
class Api:
    """The API of the node."""

    url: str
    tokens: dict[str, str]


@pytest.fixture(scope="module")
def up() -> Iterator[tuple[Tek, Any]]:
    """A node with API and Flower, and what `tek up` said of it."""
    with tek_place() as tek:
        yield tek, tek("up", "--api", "--flower", "--concurrency", 2, "--output", "json").expect(0).json
        tek.end_node()


def plan_text() -> str:
    """Return a plan of three layers; one task fails, one is tried twice."""
    rows = ["id,command,depends_on,retries"]
    rows += [f"first-{n},sleep 0.2,,0" for n in range(12)]
    rows += [f"second-{n},sleep 0.1,first-{n}; first-{(n + 1) % 12},0" for n in range(12)]
    rows += ["bad,exit 3,first-0,0", "after,true,bad; second-0,0", "last,test $TEK_ATTEMPT = 2,second-1; second-2,1"]
    return "\n".join(rows) + "\n"


def send(api: Api, plan: Path) -> str:
    """Submit a plan with curl, as the guide says; return its run."""
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("no curl on PATH")
    header = f"Authorization: Bearer {api.tokens['admin']}"
    command = [curl, "--silent", "--fail-with-body", "-H", header, "-H", "Content-Type: text/csv"]
    command += ["--data-binary", f"@{plan}", f"{api.url}/api/v1/runs?name={plan.name}"]
    made = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=30).stdout)
    return str(made["run_id"])


def rows_of(page: Page) -> dict[str, str]:
    """Return the status of every task as the table of the page shows it."""
    script = """() => [...document.querySelectorAll("table.tasks tbody tr")].map(
        (row) => [row.cells[0].innerText.trim().split("\\n")[0], row.cells[1].innerText.trim()])"""
    return {task: status.split()[-1] for task, status in page.evaluate(script)}


def test_page_flower_and_watch_tell_what_events_tell(up: tuple[Tek, Any]) -> None:
    tek, said = up
    api = Api(said["api"]["url"], {"admin": said["api"]["token"]})
    flower = Flower(said["flower"])

    with chromium() as browser, window(browser, api) as opened:
        run_id = send(api, tek.cwd / tek.write("plan.csv", plan_text()))
        watch = tek.start("watch", run_id, "--output", "json")
        page = opened.open_run(run_id, "tasks")
        seen_live = set(rows_of(page).values())
        watched = watch.finish().expect(1).json
        events = tek("events", run_id, "--output", "json").expect(0).json
        statuses = {event["id"]: event["status"] for event in events}
        shown = wait_until(
            lambda: rows_of(page) == statuses and rows_of(page),
            "the page",
            timeout_s=20,
            diagnose=lambda: rows_of(page),
        )

    assert seen_live - {"succeeded"}, "the page was opened while the run went on"
    assert shown == statuses
    assert watched["counts"] == dict(Counter(statuses.values()))
    assert (statuses["bad"], statuses["after"], statuses["last"]) == ("failed", "skipped", "succeeded")
    in_flower = wait_until(
        lambda: (tasks := flower.tasks_of(run_id)) and len(tasks) == len(statuses) and tasks, "Flower", timeout_s=20
    )
    expected = {task: STATES[status] for task, status in statuses.items()}
    wait_until(
        lambda: {task: told["state"] for task, told in flower.tasks_of(run_id).items()} == expected,
        "the same states in Flower",
        timeout_s=20,
        diagnose=lambda: str(in_flower),
    )
