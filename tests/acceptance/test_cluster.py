"""A cluster that stays up: nodes, submissions, looking at runs, workers that join and leave, Flower."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.tek import Tek
from support.waiting import wait_until

from taskexec.completion.ledger import check_chain

pytestmark = pytest.mark.xdist_group("node")

REPOSITORY = Path(__file__).parents[2]


def submitted(node: Tek, tasks: list[dict[str, object]], *options: object) -> str:
    shape = node("submit", node.write("plan.csv", list(tasks)), "--output", "json", *options).expect(0).json
    assert shape["status"] == "running"
    return str(shape["run_id"])


@contextmanager
def blocked(node: Tek, name: str, *further: dict[str, object], status: int = 0) -> Iterator[tuple[str, Path]]:
    """Give a run with a task that prints a line and waits for a file, and the file; `status` is told of its end."""
    sign, said = node.cwd / f"{name}.go", node.cwd / f"{name}.said"
    command = f"echo begun; touch {said}; while [ ! -e {sign} ]; do sleep 0.02; done; echo ended"
    run_id = submitted(node, [{"id": "a", "command": command}, {"id": "b", "depends_on": "a"}, *further])
    try:
        wait_until(said.exists, "the start of the task", timeout_s=20)
        yield run_id, sign
    finally:
        sign.touch()
        node("watch", run_id).expect(status)


def test_up_says_where_the_server_is_and_up_again_is_the_same_node(node: Tek) -> None:
    first = json.loads((node.cwd / "up.json").read_text())

    second = node("up", "--output", "json").expect(0).json

    assert second == first
    assert {"redis_url", "workers", "api", "flower"} <= set(first)
    assert len(first["workers"]) == 1


def test_down_where_nothing_is_up_is_harmless(tek: Tek) -> None:
    assert tek("down").expect(0).stderr == "nothing was up\n"


def test_down_ends_all_that_up_started_and_the_runs_are_known_after_the_next_up(tek: Tek) -> None:
    tek("up", "--concurrency", 1).expect(0)
    tek("submit", tek.write("plan.csv", "id\na\n"), "--wait").expect(0)

    tek("down").expect(0)
    tek.place.assert_nothing_is_left()
    tek("up", "--workers", 0).expect(0)
    runs = tek("runs", "--output", "json").expect(0).json["runs"]
    tek("down").expect(0)

    assert [run["status"] for run in runs] == ["succeeded"]


def test_killed_node_takes_its_processes_along_and_up_starts_another(tek: Tek) -> None:
    first = tek("up", "--concurrency", 1, "--output", "json").expect(0).json
    subprocess.run(["kill", "-9", str(first["pid"])], check=True)
    wait_until(lambda: not tek.place.processes(), "the end of all", timeout_s=20, diagnose=tek.place.listing)

    second = tek("up", "--concurrency", 1, "--output", "json").expect(0).json
    tek("down").expect(0)

    assert second["pid"] != first["pid"]


def test_waited_submission_exits_with_the_outcome_and_brings_the_evidence_home(node: Tek) -> None:
    plan = node.write("plan.csv", [{"id": "a", "command": "echo hello"}, {"id": "b", "command": "false"}])

    outcome = node("submit", plan, "--wait", "--output", "json").expect(1)

    assert outcome.json["counts"] == {"succeeded": 1, "failed": 1}
    assert node.home(outcome).stdout("a") == "hello\n"


def test_submission_that_no_worker_could_run_exits_with_4(node: Tek) -> None:
    outcome = node("submit", node.write("big.csv", [{"id": "a", "cpus": 9999}])).expect(4)

    assert "error[needs.unmet]" in outcome.stderr


def test_status_watch_and_events_agree_on_a_finished_run(node: Tek) -> None:
    run_id = submitted(node, [{"id": "a", "command": "true"}, {"id": "b", "depends_on": "a"}])

    watched = node("watch", run_id, "--output", "json").expect(0).json
    status = node("status", run_id, "--output", "json").expect(0).json
    events = node("events", run_id, "--output", "json").expect(0).json

    assert (watched["run_id"], watched["status"]) == (run_id, "succeeded")
    assert (status["status"], status["counts"]) == ("succeeded", {"succeeded": 2})
    assert set(status) >= {"run_id", "status", "folder", "counts"}
    assert [event["id"] for event in events] == ["a", "b"]
    for event in events:
        assert event["status"] == "succeeded"
        assert event["attempts"] == 1
        assert event["started_at"] <= event["finished_at"]
        assert event["worker"]


def test_events_of_a_run_list_every_transition_when_asked(node: Tek) -> None:
    run_id = submitted(node, [{"id": "a", "command": "true"}])
    node("watch", run_id).expect(0)

    lines = node("events", run_id, "--all", "--output", "json").expect(0).json

    assert [line["event"] for line in lines] == [
        *("submitted", "run_started", "queued", "running", "succeeded", "run_ended", "signed"),
    ]
    assert [line["seq"] for line in lines] == [1, 2, 3, 4, 5, 6, 7]


def test_runs_lists_what_was_submitted_newest_first(node: Tek) -> None:
    first = submitted(node, [{"id": "a"}])
    node("watch", first).expect(0)
    run_id = submitted(node, [{"id": "a"}])
    node("watch", run_id).expect(0)

    runs = node("runs", "--output", "json").expect(0).json["runs"]

    assert {first, run_id} <= {run["run_id"] for run in runs}
    assert [run["run_id"] for run in runs] == sorted((run["run_id"] for run in runs), reverse=True)
    assert set(runs[0]) >= {"run_id", "plan", "status", "submitted_at"}


def test_workers_lists_the_nodes_worker_with_what_it_has(node: Tek) -> None:
    (worker,) = node("workers", "--output", "json").expect(0).json["workers"]

    assert set(worker) >= {"name", "host", "pid", "classes", "capacity", "state"}
    assert worker["capacity"]["slots"] == 3


def test_status_of_a_run_that_goes_on_exits_with_0(node: Tek) -> None:
    with blocked(node, "status") as (run_id, _):
        status = node("status", run_id, "--output", "json").expect(0).json

    assert (status["status"], status["counts"]) == ("running", {"running": 1, "waiting": 1})


def test_logs_show_what_a_running_task_has_written_and_follow_it_to_its_end(node: Tek) -> None:
    with blocked(node, "logs") as (run_id, sign):
        wait_until(lambda: node("logs", run_id, "a").expect(0).stdout == "begun\n", "the first line")
        following = node.start("logs", "-f", run_id, "a")
        assert following.process.stdout is not None
        first = following.process.stdout.readline()
        sign.touch()
        rest = following.finish().expect(0).stdout

    assert (first, rest) == ("begun\n", "ended\n")


def test_logs_of_a_task_that_has_not_started_say_so(node: Tek) -> None:
    with blocked(node, "unstarted") as (run_id, _):
        outcome = node("logs", run_id, "b").expect(0)

    assert (outcome.stdout, outcome.stderr) == ("", "task `b` has not started\n")


def test_submission_in_which_all_is_done_has_succeeded_when_it_returns(node: Tek) -> None:
    plan = {
        "version": 2,
        "tasks": [{"id": "a", "satisfied": True}, {"id": "b", "depends_on": ["a"], "satisfied": True}],
    }

    shape = node("submit", node.write("done.json", json.dumps(plan)), "--output", "json").expect(0).json

    assert (shape["status"], shape["counts"]) == ("succeeded", {"satisfied": 2})
    status = node("status", shape["run_id"], "--output", "json").expect(0).json
    assert (status["status"], status["counts"]) == ("succeeded", {"satisfied": 2})
    assert "was done before the run" in node("logs", "-f", shape["run_id"], "a").expect(0).stderr
    assert node("watch", shape["run_id"], "--output", "quiet").expect(0).stdout == "succeeded\n"


def test_logs_keep_the_streams_of_a_task_apart(node: Tek) -> None:
    run_id = submitted(node, [{"id": "a", "command": "echo out; echo err >&2"}])
    node("watch", run_id).expect(0)

    both = node("logs", run_id, "a").expect(0)
    only = node("logs", run_id, "a", "--stream", "stderr").expect(0)

    assert (both.stdout, both.stderr) == ("out\n", "err\n")
    assert (only.stdout, only.stderr) == ("", "err\n")


@pytest.mark.parametrize("arguments", [("status", "nothing"), ("logs", "nothing", "a"), ("events", "nothing")])
def test_unknown_run_exits_with_2(node: Tek, arguments: tuple[str, ...]) -> None:
    assert "error[not_found]" in node(*arguments).expect(2).stderr


def test_interrupted_watch_leaves_the_run_alone(node: Tek) -> None:
    with blocked(node, "watch", {"id": "c", "command": "false"}, status=1) as (run_id, _):
        watching = node.start("watch", run_id)
        assert watching.process.stderr is not None
        seen = watching.process.stderr.readline()
        watching.signal(signal.SIGINT)
        outcome = watching.finish().expect(130)
        status = node("status", run_id, "--output", "json").expect(0).json["status"]

    assert seen == "failed: c\n"
    assert status == "running"
    assert "goes on" in outcome.stderr


def test_evidence_collected_twice_is_the_same(node: Tek) -> None:
    run_id = submitted(node, [{"id": "a", "command": "echo x"}, {"id": "b", "command": "false"}])
    node("watch", run_id).expect(1)

    first = node("collect", run_id, "--output", "json").expect(1).json
    second = node("collect", run_id, "--runs-dir", "elsewhere", "--output", "json").expect(1).json

    homes = [node.cwd / shape["folder"] for shape in (first, second)]
    assert homes[0] != homes[1]
    assert [home_head(home) for home in homes] == [home_head(homes[0])] * 2
    for name in ("ledger.jsonl", "tasks/a/attempt-1/result.json", "tasks/a/attempt-1/stdout.log", "run.json"):
        assert (homes[0] / name).read_bytes() == (homes[1] / name).read_bytes()
    with (homes[1] / "ledger.jsonl").open("rb") as lines:
        assert check_chain(lines) is None


def home_head(folder: Path) -> str:
    return str(json.loads((folder / "run.json").read_text())["ledger_head"])


@pytest.mark.parametrize(
    "program",
    ["tek worker --class cpu", "workers/gpu.py", pytest.param("workers/cpu.py", marks=pytest.mark.slow)],
)
def test_worker_joins_serves_and_leaves_on_term(tek: Tek, program: str) -> None:
    url = tek("up", "--workers", 0, "--output", "json").expect(0).json["redis_url"]
    route = "gpu" if "gpu" in program else "cpu"
    if program.startswith("tek"):
        started = tek.start("worker", "--class", "cpu", "--concurrency", 1, "--broker", url)
    else:
        script = (sys.executable, str(REPOSITORY / program))
        started = tek.start("--concurrency", 1, "--broker", url, program=script)
    workers: list[dict[str, Any]] = wait_until(
        lambda: tek("workers", "--output", "json").json["workers"], "the worker", timeout_s=20
    )

    tek("submit", tek.write("plan.csv", [{"id": "a", "command": "true", "queue": route}]), "--wait").expect(0)
    started.signal(signal.SIGTERM)
    started.finish().expect(0)
    left = tek("workers", "--output", "json").expect(0).json["workers"]
    tek("down").expect(0)

    assert [worker["classes"] for worker in workers] == [[route]]
    assert left == []


def test_worker_that_is_told_to_stop_twice_kills_what_runs(tek: Tek) -> None:
    url = tek("up", "--workers", 0, "--output", "json").expect(0).json["redis_url"]
    started = tek.start("worker", "--concurrency", 1, "--broker", url)
    wait_until(lambda: tek("workers", "--output", "json").json["workers"], "the worker", timeout_s=20)
    tek("submit", tek.write("plan.csv", [{"id": "a", "command": "sh -c 'touch begun; sleep 300'"}])).expect(0)
    wait_until((tek.cwd / "begun").exists, "the start of the task", timeout_s=20)

    started.signal(signal.SIGINT)
    started.signal(signal.SIGTERM)
    status = started.finish().status
    tek("down").expect(0)

    assert status == 130
    tek.place.assert_nothing_is_left()


def get(url: str, credentials: str | None = None) -> tuple[int, str]:
    request = urllib.request.Request(url)
    if credentials is not None:
        request.add_header("Authorization", "Basic " + base64.b64encode(credentials.encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, ""


@pytest.fixture(scope="module")
def flower(node: Tek) -> Iterator[dict[str, str]]:
    started = node.start("flower", "--output", "json")
    assert started.process.stdout is not None
    text = ""
    for line in started.process.stdout:
        text += line
        if line.startswith("}"):
            break
    yield json.loads(text)
    started.signal(signal.SIGTERM)
    started.finish().expect(0)


@pytest.mark.parametrize("path", ["/api/workers", "/", "/api/tasks", "/workers"])
def test_flower_lets_nobody_in_without_credentials(flower: dict[str, str], path: str) -> None:
    assert get(flower["url"] + path)[0] == 401
    assert get(flower["url"] + path, "tek:guess")[0] == 401


def test_flower_lists_the_worker_to_who_has_credentials(node: Tek, flower: dict[str, str]) -> None:
    (name,) = json.loads((node.cwd / "up.json").read_text())["workers"]
    credentials = f"{flower['user']}:{flower['password']}"

    status, body = wait_until(
        lambda: (answer := get(f"{flower['url']}/api/workers?refresh=1", credentials))[1] != "{}" and answer,
        "the worker in Flower",
        timeout_s=20,
    )

    assert status == 200
    assert name in json.loads(body)


def test_flower_lists_tasks_by_agent_and_with_their_ids(node: Tek, flower: dict[str, str]) -> None:
    credentials = f"{flower['user']}:{flower['password']}"

    def seen() -> dict[str, Any]:
        node("submit", node.write("f.csv", [{"id": "my-own-task", "command": "true"}]), "--wait").expect(0)
        tasks: dict[str, Any] = json.loads(get(f"{flower['url']}/api/tasks", credentials)[1])
        return {uuid: task for uuid, task in tasks.items() if "my-own-task" in str(task["args"])}

    tasks = wait_until(seen, "the task in Flower", timeout_s=30)

    assert {task["name"] for task in tasks.values()} == {"tek.shell"}


def test_flower_changes_nothing_unless_it_is_told_that_it_may(flower: dict[str, str]) -> None:
    request = urllib.request.Request(f"{flower['url']}/api/task/async-apply/tek.attempt", data=b"{}", method="POST")
    credentials = base64.b64encode(f"{flower['user']}:{flower['password']}".encode()).decode()
    request.add_header("Authorization", f"Basic {credentials}")

    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=20)

    assert refused.value.code in {401, 403, 404, 405}
    refused.value.close()


def test_drained_worker_leaves_and_the_node_goes_on_without_it(tek: Tek) -> None:
    first, second = tek("up", "--workers", 2, "--concurrency", 1, "--output", "json").expect(0).json["workers"]
    try:
        tek("cordon", second[:10]).expect(0)
        states = {row["name"]: row["state"] for row in tek("workers", "--output", "json").expect(0).json["workers"]}
        tek("uncordon", second[:10]).expect(0)

        left = tek("drain", first[:10], "--wait", "--timeout", 20, "--output", "json").expect(0).json
        outcome = tek("submit", tek.write("plan.csv", [{"id": "a", "command": "true"}]), "--wait").expect(0)
        there = [row["name"] for row in tek("workers", "--output", "json").expect(0).json["workers"]]
        classes = tek.write("nodes.yaml", "classes: {cpu: {cpus: 1, max: 3}}")
        figures = tek("autoscale", "--classes", classes, "--output", "json").expect(0).json["classes"]
    finally:
        tek("down").expect(0)

    assert states == {first: "ready", second: "cordoned"}
    assert (left, there) == ({"name": first, "state": "left"}, [second])
    assert outcome.status == 0
    assert figures["cpu"]["now"] == 1
