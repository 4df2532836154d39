"""What the API tells of tasks that say more than most: it is told whole, and secrets in it are told nowhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from support.isolation import Place, environment
from support.live import LiveCluster
from support.reading import ReadingApi, reading_api
from support.waiting import wait_until

from taskexec.plan import build_plan
from taskexec.settings import RunSettings
from taskexec.sources import ReadOptions, read_plan

SECRET = "hunter2-9f31c7"
HERE = f"cat > .env <<E\nPASSWORD=\nUSER=bob\nE\n: --password {SECRET}"
"""What looks like a secret stands at the end of a line here: JSON writes both lines as one."""
TASKS: list[dict[str, Any]] = [
    {
        "id": "a",
        "title": f"Fetch with password={SECRET}",
        "lane": f"token={SECRET}000",
        "command": HERE,
        "retry": {"retries": 1, "delay": "1s", "on": ["exit"]},
        "retries": 1,
        "metadata": {"owner": "bob", "password": SECRET},
        "acceptance_criteria": [f"password={SECRET} is taken", "it ends"],
        "requirements": ["gpu"],
    },
    {"id": "b", "agent": "noop", "title": "plain", "metadata": {"owner": "alice"}},
]


@pytest.fixture(scope="module", params=["on the server", "at home"])
def run_id(
    request: pytest.FixtureRequest,
    shared_cluster: LiveCluster,
    shared_place: Place,
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """A run that has ended."""
    live, path = shared_cluster, tmp_path_factory.mktemp("plan") / f"password={SECRET}.json"
    path.write_text(json.dumps({"tasks": TASKS}))
    with environment(shared_place.environ()):
        run_id = live.cluster.submit(
            build_plan(read_plan(path, ReadOptions())), dry_run=False, run=RunSettings(tag=f"token={SECRET}")
        ).run_id
        wait_until(
            lambda: live.store.head(run_id).finished_at is not None, "the end", timeout_s=40.0, diagnose=live.log
        )
        if request.param == "at home":
            live.finish(run_id)
            live.store.remove(run_id)
    return run_id


@pytest.fixture
def api(live: LiveCluster) -> Iterator[ReadingApi]:
    with reading_api(live) as api:
        yield api


def test_tasks_are_told_whole_and_without_secrets(api: ReadingApi, run_id: str) -> None:
    first, second = (api.json(api.task(run_id, name)) for name in ("a", "b"))

    assert first["metadata"] == {"owner": "bob", "password": "***"}
    assert first["retry"]["delay_s"] == 1.0
    assert first["acceptance_criteria"] == ["password=*** is taken", "it ends"]
    assert first["title"] == "Fetch with password=***"
    assert second["metadata"] == {"owner": "alice"}
    assert first == api.json(f"/tasks/{run_id}%3Aa")


@pytest.mark.parametrize(
    "part", ["", "/graph", "/timeline", "/tasks", "/tasks/a", "/tasks/a/why", "/plan", "/canvas", "/blame"]
)
def test_no_answer_about_a_run_holds_a_secret(api: ReadingApi, run_id: str, part: str) -> None:
    answer = api.get(f"/runs/{run_id}{part}")

    assert SECRET not in answer.text
    answer.json()


def test_lists_of_runs_hold_no_secret(api: ReadingApi, run_id: str) -> None:
    answer = api.get("/runs", params={"limit": 1000})

    (row,) = [row for row in answer.json()["runs"] if row["run_id"] == run_id]
    assert SECRET not in answer.text
    assert row["plan"].endswith("password=***")
    assert row["plan"] == api.json(f"/runs/{run_id}")["plan"]


def test_secrets_in_titles_cannot_be_guessed_by_searching(api: ReadingApi, run_id: str) -> None:
    def found(search: str) -> list[str]:
        return [task["task"] for task in api.json(f"/runs/{run_id}/tasks", params={"search": search})["tasks"]]

    assert (found("password="), found(SECRET)) == (["a"], [])


def test_plan_stays_what_it_is_where_it_says_no_secret(api: ReadingApi, run_id: str) -> None:
    shown = {task["id"]: task for task in api.json(f"/runs/{run_id}/plan")["tasks"]}
    shell = shown["a"]["payload"]["commands"][0]["argv"][2]

    assert shell.startswith("cat > .env <<E\nPASSWORD=\nUSER=bob\nE\n")
    assert shown["b"]["title"] == "plain"
