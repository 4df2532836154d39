"""Flower beside real runs: the same tasks in the same states as the ledger has them, and nothing for strangers."""

from __future__ import annotations

import contextlib
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.flower import Flower, flower_on
from support.isolation import Place
from support.live import Home, LiveCluster, make_plan
from support.serving import served_api
from support.waiting import wait_until

STATES = {
    "succeeded": "SUCCESS",
    "satisfied": "SUCCESS",
    "failed": "FAILURE",
    "skipped": "REVOKED",
    "cancelled": "REVOKED",
}


@pytest.fixture(scope="module")
def flower(shared_cluster: LiveCluster, shared_place: Place) -> Iterator[Flower]:
    environ = shared_place.environ() | {"TEK_API__PUBLIC_URL": "https://tek.example"}
    with flower_on(shared_cluster.server.url, environ) as flower:
        yield flower


def agree(flower: Flower, home: Home) -> dict[str, dict[str, Any]]:
    """Wait until Flower shows the end of a run; return its tasks by id, held against the ledger."""
    run_id = home.summary["run_id"]
    expected = {task: STATES[status] for task, status in home.statuses.items()}
    wait_until(
        lambda: {task: row["state"] for task, row in flower.tasks_of(run_id).items()} == expected,
        "the states of the ledger in Flower",
        timeout_s=20.0,
        diagnose=lambda: (expected, {task: row["state"] for task, row in flower.tasks_of(run_id).items()}),
    )
    return flower.tasks_of(run_id)


def test_tasks_and_states_are_those_of_the_ledger(live: LiveCluster, flower: Flower) -> None:
    tasks: list[dict[str, object]] = [{"id": f"tiny-{number}", "agent": "noop"} for number in range(60)]
    tasks += [
        {"id": "first", "command": "echo 42"},
        {"id": "second", "command": "true", "depends_on": "first"},
        {"id": "third", "command": "true", "depends_on": "second"},
        {"id": "flaky", "command": '[ "$TEK_ATTEMPT" = 2 ]', "retries": 1},
        {"id": "broken", "command": "echo no >&2; exit 3"},
        {"id": "hopeless", "command": "false", "retries": 1},
        {"id": "after", "command": "true", "depends_on": "broken"},
        {"id": "later", "command": "true", "depends_on": "after"},
        {"id": "done", "command": "true"},
    ]

    home = live.finish(live.submit(make_plan(tasks, satisfied={"done"})))
    shown = agree(flower, home)

    run_id = home.summary["run_id"]
    assert {row["uuid"] for row in shown.values()} == {f"{run_id}.{index}" for index in range(len(tasks))}
    assert {row["name"] for row in shown.values()} == {"tek.noop", "tek.shell"}
    assert shown["first"]["result"] == "42"
    assert shown["first"]["kwargs"] == repr({"run": run_id, "plan": "plan.csv", "task": "first"})
    assert shown["flaky"]["retries"] == 1
    assert "exit status 3" in shown["broken"]["exception"]
    assert shown["after"]["exception"] == "skipped: broken failed"
    assert shown["first"]["worker"] == home.results["first"]["worker"]
    started = {task: row["started"] for task, row in shown.items()}
    assert started["first"] < started["second"] < started["third"]
    assert started["after"] is None


def test_members_of_a_batch_have_times_of_their_own_and_no_batch_is_shown(live: LiveCluster, flower: Flower) -> None:
    home = live.carry_out([{"id": f"t{number}", "command": "sleep 0.02"} for number in range(24)])

    shown = agree(flower, home)

    run_id = home.summary["run_id"]
    assert not [uuid for uuid in flower.json("/api/tasks?limit=100000") if uuid.startswith(f"{run_id}.b")]
    assert all(0.01 < row["runtime"] < 5 for row in shown.values())


def test_task_that_runs_is_started_and_one_that_is_stopped_is_revoked(
    live: LiveCluster, flower: Flower, tmp_path: Path
) -> None:
    sign = tmp_path / "go"
    command = f"while [ ! -e {sign} ]; do sleep 0.02; done"
    run_id = live.submit([{"id": "runs", "command": command}, {"id": "waits", "depends_on": "runs"}])
    wait_until(
        lambda: flower.tasks_of(run_id).get("runs", {}).get("state") == "STARTED", "the task in Flower", timeout_s=20.0
    )

    live.store.stop(run_id, kill=True)
    sign.touch()
    home = live.finish(run_id)

    shown = agree(flower, home)
    assert shown["runs"]["worker"] == live.worker_names()[0]
    assert shown["waits"]["exception"] == "cancelled"


def test_tasks_that_are_retried_by_a_person_run_again_in_flower(
    live: LiveCluster, flower: Flower, tmp_path: Path
) -> None:
    sign = tmp_path / "go"
    home = live.carry_out(
        [{"id": "a", "command": f"test -e {sign}"}, {"id": "b", "command": "true", "depends_on": "a"}]
    )
    agree(flower, home)

    sign.touch()
    live.cluster.submitter.run_again(home.summary["run_id"], [0, 1], why="test")
    again = live.finish(home.summary["run_id"])

    assert set(again.statuses.values()) == {"succeeded"}
    agree(flower, again)


def test_flower_that_is_started_later_shows_what_went_before(live: LiveCluster, shared_place: Place) -> None:
    home = live.carry_out([{"id": "early", "command": "true"}, {"id": "late", "command": "false"}])

    with flower_on(live.server.url, shared_place.environ(), "--set", "flower.max_tasks=100") as second:
        agree(second, home)


def test_workers_are_there_without_sending_events(live: LiveCluster, flower: Flower) -> None:
    (name,) = live.worker_names()

    def row() -> dict[str, Any]:
        rows = flower.json("/workers?json=1")["data"]
        return next((row for row in rows if row["hostname"] == name), {})

    shown = wait_until(lambda: row().get("status") and row(), "the worker in Flower", timeout_s=20.0)

    assert shown["sw_ident"] == "taskexec"
    assert [row["hostname"] for row in flower.json("/workers?json=1")["data"]] == [name]


OPEN_IN_FLOWER = ["/metrics", "/healthcheck", "/static/js/flower.js", "/login", "/nothing", "/", "/tasks", "/broker"]


@pytest.mark.parametrize("path", OPEN_IN_FLOWER)
@pytest.mark.parametrize("credentials", [None, "tek:guess", "tek:", ":"])
def test_nothing_is_answered_without_credentials(flower: Flower, path: str, credentials: str | None) -> None:
    answer = flower.ask(path, credentials=credentials)

    assert answer.status == 401
    assert answer.text == "Access denied"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "HEAD"])
def test_no_method_passes_without_credentials(flower: Flower, method: str) -> None:
    assert flower.ask("/api/tasks", credentials=None, method=method).status == 401


def test_unauthenticated_api_of_flower_cannot_be_switched_on(live: LiveCluster, shared_place: Place) -> None:
    environ = shared_place.environ() | {"FLOWER_UNAUTHENTICATED_API": "true"}

    with flower_on(live.server.url, environ) as flower:
        assert flower.ask("/api/workers", credentials=None).status == 401


@pytest.mark.parametrize(
    "path",
    [
        "/api/task/async-apply/tek.attempt",
        "/api/task/send-task/tek.attempt",
        "/api/task/revoke/x",
        "/api/worker/shutdown/x",
        "/api/worker/pool/grow/x",
    ],
)
def test_nothing_is_changed_unless_it_is_asked_for(flower: Flower, path: str) -> None:
    assert flower.ask(path, method="POST", data=b"{}").status == 403


@pytest.mark.parametrize("path", ["/", "/workers", "/tasks", "/broker", "/metrics", "/healthcheck"])
def test_pages_are_there_for_who_has_credentials(live: LiveCluster, flower: Flower, path: str) -> None:
    assert flower.ask(path).status == 200


def test_page_of_a_task_leads_to_its_run_page(live: LiveCluster, flower: Flower) -> None:
    home = live.carry_out([{"id": "a <b>&", "command": "true"}])
    agree(flower, home)
    run_id = home.summary["run_id"]

    page = flower.ask(f"/task/{run_id}.0").text

    assert f'id="run-page" href="https://tek.example/runs/{run_id}#task=a%20%3Cb%3E%26"' in page
    assert "<b>&" not in page


def test_api_leads_to_the_tasks_of_a_run_in_flower(live: LiveCluster, flower: Flower) -> None:
    home = live.carry_out([{"id": "a", "command": "true"}])
    agree(flower, home)
    run_id = home.summary["run_id"]

    with served_api(live, f"--set=flower.public_url={flower.url}") as api, api.client("viewer") as client:
        run = client.get(f"/api/v1/runs/{run_id}").json()
        task = client.get(f"/api/v1/runs/{run_id}/tasks/a").json()

    assert flower.ask(run["flower"].removeprefix(flower.url)).status == 200
    assert f"{run_id}.0" in flower.ask(task["links"]["flower"].removeprefix(flower.url)).text


def test_root_of_a_task_leads_to_the_list_of_its_run(live: LiveCluster, flower: Flower) -> None:
    home = live.carry_out([{"id": "a", "command": "true"}])
    agree(flower, home)
    run_id = home.summary["run_id"]

    answer = flower.ask(f"/task/{run_id}")
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(answer.headers["Location"]).query)
    found = flower.json(f"/api/tasks?search={urllib.parse.quote('name:' + query['name'][0])}")

    assert answer.status == 302
    assert list(found) == [f"{run_id}.0"]


def test_metrics_have_kinds_and_workers_and_nothing_of_tasks_or_runs(live: LiveCluster, flower: Flower) -> None:
    home = live.carry_out([{"id": f"unbounded-{number}", "agent": "noop"} for number in range(40)])
    agree(flower, home)

    text = flower.ask("/metrics").text

    assert 'task="tek.noop"' in text
    assert "unbounded" not in text
    assert home.summary["run_id"] not in text


def test_workers_send_no_events_of_tasks_for_one_who_watches(live: LiveCluster, flower: Flower) -> None:
    with contextlib.closing(live.cluster.connection.client.pubsub(ignore_subscribe_messages=True)) as events:
        events.psubscribe("/0.celeryev/task.*")  # a worker's own heartbeat is one message in two seconds, asked or not
        wait_until(lambda: events.get_message(timeout=1) is None and events.subscribed, "the subscription")

        agree(flower, live.carry_out([{"id": "a", "command": "true"}]))

        assert events.get_message(timeout=0.2) is None
