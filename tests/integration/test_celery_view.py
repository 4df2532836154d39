"""Runs as Celery sees them: results by task id, the states between, and tasks that are not ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery.exceptions import TimeoutError as ResultMissing
from support.live import LiveCluster
from support.waiting import wait_until

from taskexec.broker import make_app
from taskexec.store.keys import run_key

Fresh = Callable[..., LiveCluster]


@pytest.fixture
def app(live: LiveCluster) -> Iterator[Any]:
    app: Any = make_app(live.server.url)
    yield app
    app.backend.client.close()
    app.close()


def states(app: Any, run_id: str, count: int) -> list[str]:
    return [app.AsyncResult(f"{run_id}.{index}").state for index in range(count)]


def test_result_of_a_task_is_celerys(live: LiveCluster, app: Any) -> None:
    run_id = live.submit([{"id": "good", "command": "echo 42"}, {"id": "bad", "command": "false"}])

    live.finish(run_id)

    assert states(app, run_id, 2) == ["SUCCESS", "FAILURE"]
    assert app.AsyncResult(f"{run_id}.0").get(timeout=5) == "42"
    assert "exit status 1" in str(app.AsyncResult(f"{run_id}.1").result)


def test_waiting_for_a_result_is_woken_by_its_completion(live: LiveCluster, app: Any, tmp_path: Path) -> None:
    sign = tmp_path / "go"
    run_id = live.submit([{"id": "a", "command": f"while [ ! -e {sign} ]; do sleep 0.02; done; echo done"}])
    result = app.AsyncResult(f"{run_id}.0")
    with pytest.raises(ResultMissing):
        result.get(timeout=0.2)

    sign.touch()

    assert result.get(timeout=10) == "done"
    live.finish(run_id)


def test_failed_attempt_with_retries_left_is_retry_and_never_failure(
    live: LiveCluster, app: Any, tmp_path: Path
) -> None:
    sign = tmp_path / "go"
    command = f'[ "$TEK_ATTEMPT" = 2 ] || exit 1; while [ ! -e {sign} ]; do sleep 0.02; done'
    run_id = live.submit([{"id": "a", "command": command, "retries": 1}])
    live.await_state(run_id, "R2")

    between = states(app, run_id, 1)
    sign.touch()
    live.finish(run_id)

    assert between == ["RETRY"]
    assert states(app, run_id, 1) == ["SUCCESS"]


def test_members_of_batches_have_results_of_their_own(live: LiveCluster, app: Any) -> None:
    commands = ["false" if number % 10 == 3 else "true" for number in range(40)]
    run_id = live.submit([{"id": f"t{number}", "command": command} for number, command in enumerate(commands)])

    live.finish(run_id)

    assert int(live.cluster.connection.call("HGET", run_key(run_id, "meta"), "batches")) > 0
    expected = ["FAILURE" if command == "false" else "SUCCESS" for command in commands]
    assert states(app, run_id, 40) == expected


def test_ordinary_celery_task_succeeds_on_the_same_app(live: LiveCluster, app: Any) -> None:
    result = app.send_task("celery.accumulate", args=["x", "y"], kwargs={"index": 1}, queue="cpu")

    assert result.get(timeout=10) == "y"


def test_ordinary_celery_task_fails_as_celery_has_it(live: LiveCluster, app: Any) -> None:
    result = app.send_task("celery.accumulate", args=["x"], kwargs={"index": 9}, queue="cpu")

    with pytest.raises(IndexError):
        result.get(timeout=10)
    assert result.state == "FAILURE"


def test_celery_inspection_sees_the_worker_and_its_tasks(live: LiveCluster, app: Any) -> None:
    found = wait_until(lambda: app.control.inspect(timeout=2.0).registered(), "an answer of the worker")

    (tasks,) = found.values()
    assert {"tek.attempt", "tek.batch"} <= {task.split()[0] for task in tasks}


def test_task_revoked_through_celery_while_it_is_queued_is_done_all_the_same(fresh: Fresh, tmp_path: Path) -> None:
    live = fresh()
    live.start_worker(slots=1)
    app: Any = make_app(live.server.url)
    sign = tmp_path / "go"
    blocking = {"id": "blocking", "command": f"while [ ! -e {sign} ]; do sleep 0.02; done"}
    run_id = live.submit([blocking, {"id": "queued", "command": "true"}])
    task_id = f"{run_id}.1"
    live.await_state(run_id, "R1", 0)
    live.await_state(run_id, "Q1", 1)
    app.control.revoke(task_id)
    assert app.control.ping(timeout=5.0, limit=1)  # answered after what was sent before it

    sign.touch()
    home = live.finish(run_id)

    assert home.results["queued"]["status"] == "succeeded"
    assert app.AsyncResult(task_id).state == "SUCCESS"
    app.close()
