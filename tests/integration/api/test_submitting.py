"""Plans and tasks that are sent become runs, once for each key, and nothing of the server's is read for them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from weakref import WeakValueDictionary

import httpx2
import pytest
from fastapi import Request
from support.hosts import EXECUTABLE
from support.live import LiveCluster
from support.serving import ServedApi, problem_of, served_api

from taskexec.api.access import Caller, Role
from taskexec.api.keys import answer_once
from taskexec.api.problems import Problem
from taskexec.completion.keys import KeyFolder
from taskexec.errors import ConnectionLost
from taskexec.store.keys import run_key

CSV = "id,command,depends_on\na,echo one,\nb,echo two,a\n"
FORMS = [
    ("text/csv", CSV),
    ("text/markdown", "## Queue A — Build\n\n- [ ] **A1** Build\n- [ ] **A2** Test\n"),
    ("application/yaml", "tasks:\n  a:\n    command: echo one\n  b:\n    command: echo two\n    depends_on: [a]\n"),
    ("application/x-yaml", "tasks:\n  a:\n    command: echo one\n  b:\n    depends_on: [a]\n"),
    ("application/json", '{"tasks": [{"id": "a", "command": "echo one"}, {"id": "b", "depends_on": ["a"]}]}'),
    ("text/plain; charset=utf-8", CSV),
]


@pytest.fixture
def client(served: ServedApi, live: LiveCluster) -> Iterator[httpx2.Client]:
    with served.client("submitter") as client:
        yield client


def post(
    client: httpx2.Client, text: str | bytes, kind: str = "text/csv", path: str = "/api/v1/runs", **more: Any
) -> Any:
    headers = {"Content-Type": kind} | more.pop("headers", {})
    return client.post(path, content=text, headers=headers, **more)


@pytest.mark.parametrize(("kind", "text"), FORMS, ids=[kind for kind, _ in FORMS])
def test_plan_of_each_content_type_is_checked(client: httpx2.Client, kind: str, text: str) -> None:
    checked = post(client, text, kind, "/api/v1/plans")

    assert checked.status_code == 200, checked.text
    assert checked.json()["summary"]["tasks"] == 2
    assert checked.json()["digest"].startswith("sha256:")


def test_plan_that_is_submitted_runs_in_the_name_of_its_sender(client: httpx2.Client, live: LiveCluster) -> None:
    made = post(client, CSV, params={"tag": "nightly", "weight": 2, "fail_fast": True})

    assert made.status_code == 201
    run_id = made.json()["run_id"]
    assert made.headers["Location"] == f"/api/v1/runs/{run_id}" == made.json()["links"]["self"]
    assert made.json() | {"warnings": 0, "links": 0} == {
        "run_id": run_id,
        "status": "running",
        "counts": {"waiting": 2},
        "tasks": 2,
        "warnings": 0,
        "links": 0,
    }
    home = live.finish(run_id)
    assert home.statuses == {"a": "succeeded", "b": "succeeded"}
    assert home.stdout("b") == "two\n"
    meta = live.cluster.connection.call("HMGET", run_key(run_id, "meta"), "payers", "weight", "fail_fast")
    assert meta == [b"u:submitter t:nightly", b"2.0", b"1"]


def test_plan_comes_as_a_file_of_a_form_with_its_hooks(client: httpx2.Client, live: LiveCluster) -> None:
    files = {
        "plan": ("sot.md", b"## Queue A \xe2\x80\x94 Build\n\n- [ ] **A1** Build\n", "text/markdown"),
        "hooks": ("hooks.json", b'{"A1": {"commands": [{"cmd": ["echo", "from the hook"]}]}}', "application/json"),
    }

    made = client.post("/api/v1/runs", files=files)

    assert made.status_code == 201, made.text
    home = live.finish(made.json()["run_id"])
    assert list(home.statuses.values()) == ["succeeded"]
    assert home.stdout(next(iter(home.statuses))) == "from the hook\n"


def test_dry_run_performs_nothing(client: httpx2.Client, live: LiveCluster, tmp_path: Path) -> None:
    marker = tmp_path / "marker"

    made = post(client, f"id,command\na,touch {marker}\n", params={"dry_run": True})

    assert live.finish(made.json()["run_id"]).statuses == {"a": "succeeded"}
    assert not marker.exists()


def test_faults_of_a_plan_are_all_listed_with_their_places(client: httpx2.Client, served: ServedApi) -> None:
    before = served.runs()

    problem = problem_of(
        post(client, "id,command,depends_on\na,true,x\nb,true,y\n", params={"name": "../../etc/nightly.csv"}),
        422,
        "plan.rejected",
    )

    assert [fault["code"] for fault in problem["faults"]] == ["plan.unknown_dependency"] * 2
    assert [fault["places"] for fault in problem["faults"]] == [
        [{"file": "nightly.csv", "line": line, "column": 8}] for line in (2, 3)
    ]
    assert served.runs() == before


def test_what_no_worker_could_run_is_refused_unless_workers_will_come(client: httpx2.Client) -> None:
    plan = "id,command,cpus\na,true,5000\n"

    refused = post(client, plan)
    accepted = post(client, plan, params={"wait_for_workers": True})

    problem = problem_of(refused, 409, "needs.unmet")
    assert problem["faults"]
    assert accepted.status_code == 201
    assert accepted.json()["warnings"]
    stopped = client.post(f"/api/v1/runs/{accepted.json()['run_id']}/stop", json={"kill": True})
    assert stopped.json()["status"] == "cancelled"


def test_what_an_expected_worker_could_run_is_accepted(live: LiveCluster, tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text("workers:\n  - {name: big, cpus: 5000}\n")

    expecting = served_api(live, f"--set=cluster.expected={path}", collect=False)
    with expecting as served, served.client("submitter") as client:
        accepted = post(client, "id,command,cpus\na,true,5000\n")
        refused = post(client, "id,command,cpus\na,true,5001\n")
        client.post(f"/api/v1/runs/{accepted.json()['run_id']}/stop", json={"kill": True})

    assert (accepted.status_code, len(accepted.json()["warnings"])) == (201, 1)
    (fault,) = problem_of(refused, 409, "needs.unmet")["faults"]
    assert "`big`, which is expected" in fault["message"]


def test_faults_of_the_file_of_expected_workers_are_the_servers_and_only_where_it_is_needed(
    live: LiveCluster, tmp_path: Path
) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text("workers:\n  - {name: big, cpus: 5000}\n")

    expecting = served_api(live, f"--set=cluster.expected={path}", collect=False)
    with expecting as served, served.client("submitter") as client:
        path.write_text("workers: none\n")
        fits = post(client, "id,command\na,true\n")
        large = post(client, "id,command,cpus\na,true,5000\n")
        foreign = post(client, "id,agent,payload\na,nobody,{}\n")
        told = served.log.read_text()

    assert fits.status_code == 201, fits.text
    for answer in large, foreign:
        assert problem_of(answer, 500, "settings")["faults"] == []
        assert "cluster.yaml" not in answer.text
    assert f"{path}:1" in told


def test_api_does_not_start_with_a_file_of_expected_workers_that_cannot_be_used(live: LiveCluster) -> None:
    path = live.project / "none.yaml"
    command = [EXECUTABLE, "api", "--set=api.port=0", f"--set=cluster.expected={path}"]
    environ = live.place.environ() | {"TEK_REDIS_URL": live.server.url}

    done = subprocess.run(command, cwd=live.project, env=environ, capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stdout) == (2, "")
    assert str(path) in done.stderr


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("application/yaml", "include: {path}\ntasks:\n  a:\n    command: 'true'\n"),
        ("application/yaml", "include:\n  - secret.yaml\ntasks:\n  a:\n    command: 'true'\n"),
        ("text/plain", "include: [{path}]\n"),
    ],
)
def test_plan_that_includes_files_of_the_server_is_refused(
    client: httpx2.Client, live: LiveCluster, kind: str, text: str
) -> None:
    secret = live.project / "secret.yaml"
    secret.write_text("tasks:\n  planted:\n    command: echo planted\n")

    answer = post(client, text.replace("{path}", str(secret)), kind, "/api/v1/plans", params={"name": str(secret)})

    assert answer.status_code == 422, answer.text
    assert "planted" not in answer.text
    assert any(fault["code"] == "workflow.include" for fault in answer.json()["faults"]), answer.text


def test_hooks_and_manifest_beside_the_server_do_not_count(client: httpx2.Client, live: LiveCluster) -> None:
    beside = live.project / "hooks.json"
    beside.write_text('{"a": "echo planted"}')
    try:
        checked = post(client, "id\na\n", path="/api/v1/plans", params={"name": str(live.project / "plan.csv")})
    finally:
        beside.unlink()

    assert checked.json()["tasks"][0]["agent"] == "noop"
    assert "planted" not in checked.text


def test_same_key_is_the_same_run(client: httpx2.Client, served: ServedApi) -> None:
    key = {"Idempotency-Key": "nightly-2026-11-22"}

    first, again = post(client, CSV, headers=key), post(client, CSV, headers=key)

    assert first.status_code == again.status_code == 201
    assert again.json() == first.json()
    assert again.headers["Location"] == first.headers["Location"]
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    with served.client("admin") as other:  # a key is its caller's own
        assert post(other, CSV, headers=key).json()["run_id"] != first.json()["run_id"]


@pytest.mark.parametrize(
    "change",
    [{"text": CSV + "c,true,\n"}, {"kind": "text/plain"}, {"params": {"dry_run": True}}],
    ids=["body", "type", "query"],
)
def test_same_key_with_another_request_is_refused(
    client: httpx2.Client, served: ServedApi, change: dict[str, Any]
) -> None:
    key = {"Idempotency-Key": f"changed-{next(iter(change))}"}
    post(client, CSV, headers=key)
    before = served.runs()

    answer = post(client, **{"text": CSV, "headers": key} | change)

    problem_of(answer, 422, "idempotency.mismatch")
    assert served.runs() == before


def test_same_key_at_the_same_time_is_one_run(client: httpx2.Client, served: ServedApi) -> None:
    before, answers = served.runs(), []

    def submit() -> None:
        answers.append(post(client, CSV, headers={"Idempotency-Key": "at-once"}))

    threads = [threading.Thread(target=submit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["run_id"] for answer in answers}) == 1
    assert len(served.runs() - before) == 1


def test_refused_request_leaves_its_key_free(client: httpx2.Client) -> None:
    key = {"Idempotency-Key": "corrected"}

    problem_of(post(client, "id,depends_on\na,b\n", headers=key), 422, "plan.rejected")

    assert post(client, CSV, headers=key).status_code == 201


def test_submission_that_could_not_be_journaled_leaves_its_key_free(live: LiveCluster, tmp_path: Path) -> None:
    key = {"Idempotency-Key": "no-room"}
    folder = tmp_path / "runs"
    folder.write_text("in the way")
    with (
        served_api(live, f"--set=evidence.runs_dir={folder}", collect=False) as served,
        served.client("submitter") as client,
    ):
        refused = problem_of(post(client, CSV, headers=key), 507, "evidence.unwritable")
        folder.unlink()

        corrected = post(client, CSV + "c,true,\n", headers=key)

    assert "no-room" not in str(refused)
    assert corrected.status_code == 201, corrected.text
    live.store.stop(corrected.json()["run_id"], kill=True)


def test_key_is_kept_while_nobody_knows_what_came_of_its_request(live: LiveCluster) -> None:
    services = SimpleNamespace(cluster=live.cluster, settings=live.settings, key_locks=WeakValueDictionary())
    request = Request({"type": "http", "app": SimpleNamespace(state=SimpleNamespace(services=services)), "state": {}})
    caller = Caller("t", "t", Role.SUBMITTER)
    asked: list[str | None] = []

    async def make(key: str | None) -> dict[str, Any]:
        asked.append(key)
        if len(asked) == 1:
            raise ConnectionLost("the answer was lost")
        return {"run_id": "r", "links": {"self": "/r"}}

    with pytest.raises(ConnectionLost):
        asyncio.run(answer_once(request, caller, "lost", "digest", make))
    with pytest.raises(Problem) as caught:
        asyncio.run(answer_once(request, caller, "lost", "another", make))
    again = asyncio.run(answer_once(request, caller, "lost", "digest", make))

    assert caught.value.code == "idempotency.mismatch"
    assert (again.status_code, asked) == (201, ["api:t:lost"] * 2)


def test_described_task_runs_as_it_is_described(client: httpx2.Client, live: LiveCluster) -> None:
    made = client.post(
        "/api/v1/tasks",
        json={
            "description": "Count to three\nand stop",
            "id": "count",
            "command": "seq 3",
            "priority": "high",
            "execution_mode": "auto",
            "requirements": {"cpus": 2, "memory": "64M"},
            "deadline": "2199-01-01T00:00:00Z",
            "stakeholders": ["ada@example.org", "Grace"],
            "retries": 1,
        },
        headers={"Idempotency-Key": "count"},
    )

    assert made.status_code == 201, made.text
    run_id = made.json()["run_id"]
    assert made.json()["id"] == f"{run_id}:count"
    assert made.headers["Location"] == f"/api/v1/runs/{run_id}/tasks/count"
    home = live.finish(run_id)
    assert home.stdout("count") == "1\n2\n3\n"
    (task,) = json.loads((home.folder / "plan.json").read_text())["tasks"]
    assert (task["title"], task["priority"], task["cpus"], task["memory_mib"], task["retries"]) == (
        "Count to three",
        6,
        2.0,
        64,
        1,
    )
    assert task["deadline_at"].startswith("2199-01-01")
    assert task["metadata"] == {
        "stakeholders": "ada@example.org, Grace",
        "description": "Count to three\nand stop",
    }


def test_described_task_may_only_be_tried(client: httpx2.Client, live: LiveCluster, tmp_path: Path) -> None:
    marker = tmp_path / "marker"

    made = client.post(
        "/api/v1/tasks",
        json={"description": "x", "command": ["touch", str(marker)], "execution_mode": "dry-run"},
    )

    assert live.finish(made.json()["run_id"]).statuses == {"task": "succeeded"}
    assert not marker.exists()


BAD_TASKS: list[tuple[dict[str, Any], str, str]] = [
    ({}, "request.invalid", "body.description"),
    ({"description": "x"}, "task.instructions", ""),
    ({"description": "x", "command": "true", "execution_mode": "strict"}, "task.execution_mode", "strict"),
    ({"description": "x", "command": "true", "colour": "red"}, "request.invalid", "body.colour"),
    ({"description": "x", "command": "true", "retries": "many"}, "request.invalid", "body.retries"),
    ({"description": "x", "command": "true", "requirements": {"cpu": 1}}, "request.invalid", "body.requirements.cpu"),
    ({"description": "x", "command": "true", "priority": "soonish"}, "plan.rejected", "soonish"),
    ({"description": "x", "command": "true", "requirements": {"memory": "4Q"}}, "plan.rejected", "4Q"),
    ({"description": "x", "agent": "shell", "payload": {"commands": "rm"}}, "plan.rejected", ""),
    ({"description": "x", "agent": "no-such-agent"}, "plan.rejected", "no-such-agent"),
]


@pytest.mark.parametrize(("body", "code", "told"), BAD_TASKS, ids=[str(body)[-40:] for body, _, _ in BAD_TASKS])
def test_bad_task_is_told_and_not_submitted(
    client: httpx2.Client, served: ServedApi, body: dict[str, Any], code: str, told: str
) -> None:
    before = served.runs()

    problem = problem_of(client.post("/api/v1/tasks", json=body), 422, code)

    assert told in str(problem)
    assert served.runs() == before


def test_what_is_submitted_is_signed_by_the_server(client: httpx2.Client, live: LiveCluster) -> None:
    run_id = post(client, CSV).json()["run_id"]

    key = KeyFolder(live.place.folder / "home" / ".config" / "taskexec" / "keys").identity().public
    assert live.store.signed_head(run_id).key == key
    live.finish(run_id)
