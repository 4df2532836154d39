"""The Python client against a real cluster: over the API and straight on the server, with the same outcome."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.live import LiveCluster
from support.serving import ServedApi
from support.waiting import wait_until

from taskexec import AsyncClient, Client, RunStatus, TaskStatus, WorkflowBuilder
from taskexec.errors import (
    ConnectionLost,
    InputError,
    NeedsUnmet,
    NotFound,
    PlanRejected,
    Refused,
    TekError,
    UsageError,
)

Connect = Callable[..., dict[str, Any]]


@pytest.fixture(params=["api", "server"])
def where(request: pytest.FixtureRequest, live: LiveCluster, served: ServedApi) -> dict[str, Any]:
    """How a client connects: over the API, and straight to the server."""
    if request.param == "api":
        return {"address": served.url, "token": served.tokens["submitter"]}
    runs_dir = str(live.settings.evidence.runs_dir)
    return {"address": live.server.url, "settings": {"evidence.runs_dir": runs_dir}}


@pytest.fixture
def client(where: dict[str, Any]) -> Iterator[Client]:
    with Client(**where) as client:
        yield client


def some_work() -> WorkflowBuilder:
    flow = WorkflowBuilder("some work")
    parts = [flow.add(f"part-{number}", call="steps:make", args=[number]) for number in (1, 2, 3)]
    parts >> flow.add("total", call="steps:total")
    flow.add("words", "echo out; echo err >&2; echo 42")
    return flow


def test_submitted_workflow_is_waited_for_and_gives_its_results(client: Client) -> None:
    run = client.submit(some_work())

    info = run.wait(40)

    assert info.status is RunStatus.SUCCEEDED
    assert info.succeeded
    assert info.counts == {"succeeded": 5}
    results = run.results()
    assert results["part-2"] == {"n": 2}
    assert results["total"] == 6
    assert results["words"] == "out\n42"
    assert run.status is RunStatus.SUCCEEDED


def test_tasks_attempts_files_and_logs_are_there(client: Client, tmp_path: Path) -> None:
    flow = WorkflowBuilder()
    flow.add("flaky", 'echo "try $TEK_ATTEMPT"; echo "é" >&2; [ "$TEK_ATTEMPT" = 2 ]', retries=1)
    flow.add("bad", "echo no; exit 3") >> flow.add("after", "true")
    run = client.submit(flow)
    info = run.wait(40)

    tasks = {task.task: task for task in run.tasks()}
    flaky = run.task("flaky")

    assert info.status is RunStatus.FAILED
    statuses = {name: task.status for name, task in tasks.items()}
    expected = {"flaky": TaskStatus.SUCCEEDED, "bad": TaskStatus.FAILED, "after": TaskStatus.SKIPPED}
    assert statuses == expected
    assert (tasks["bad"].reason, tasks["bad"].exit_status, tasks["after"].because_of) == ("exit", 3, "bad")
    assert [attempt.outcome for attempt in flaky.tries] == ["failed", "succeeded"]
    assert {file.name for file in flaky.tries[1].files} == {"stdout.log", "stderr.log"}
    assert "".join(chunk.text for chunk in run.logs("flaky") if chunk.stream == "stdout") == "try 2\n"
    assert "".join(chunk.text for chunk in run.logs("flaky", attempt=1) if chunk.stream == "stderr") == "é\n"
    assert run.read_file("flaky", "stdout.log", attempt=1) == b"try 1\n"
    assert run.save_file("bad", "stdout.log", tmp_path / "out").read_text() == "no\n"
    with pytest.raises(NotFound):
        run.read_file("bad", "nothing.txt")
    with pytest.raises(NotFound):
        run.task("nobody")


def test_events_tell_every_change_once_and_can_be_gone_on_with(client: Client) -> None:
    run = client.submit(some_work())

    changes = list(run.events())
    seen = {change.task: change.status for one in changes for change in one.tasks}
    again = list(run.events(after=changes[0].id))

    assert changes[-1].is_final
    assert changes[-1].counts == {"succeeded": 5}
    assert set(seen.values()) == {TaskStatus.SUCCEEDED}
    assert len(seen) == 5
    assert all(change.id > changes[0].id for change in again)


def test_log_is_followed_while_a_task_runs_and_a_run_is_stopped(client: Client, tmp_path: Path) -> None:
    flow = WorkflowBuilder()
    flow.add("long", "echo begun; sleep 300") >> flow.add("never", "true")
    run = client.submit(flow)

    first = next(iter(run.logs("long", follow=True)))
    with pytest.raises(TimeoutError):
        run.wait(0.3)
    run.stop(kill=True)
    info = run.wait(30)

    assert (first.attempt, first.stream, first.text) == (1, "stdout", "begun\n")
    assert info.status is RunStatus.CANCELLED
    assert {task.status for task in run.tasks()} == {TaskStatus.CANCELLED}


def test_tasks_that_failed_run_again(client: Client, tmp_path: Path) -> None:
    sign = tmp_path / "sign"
    flow = WorkflowBuilder()
    flow.add("a", f"test -e {sign}") >> flow.add("b", "true")
    run = client.submit(flow)
    assert run.wait(30).status is RunStatus.FAILED
    sign.touch()

    again = run.retry()

    assert set(again) == {"a", "b"}
    assert wait_until(lambda: run.info().succeeded, "the second life", timeout_s=30)


def test_runs_are_listed_newest_first(client: Client) -> None:
    first, second = (client.submit(some_work()) for _ in range(2))

    listed = [info.run_id for info in client.runs(2)]

    assert listed == [second.run_id, first.run_id]
    assert client.run(first.run_id).wait(40).plan == "some work"
    second.wait(40)


def test_workers_are_listed(client: Client, live: LiveCluster) -> None:
    (worker,) = client.workers()

    assert worker.name == live.worker_names()[0]
    assert (worker.slots, worker.state) == (4, "ready")


def test_plan_of_a_file_is_read_here_and_checked(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "nightly.csv"
    path.write_text("id,command,depends_on\na,true,\nb,true,a\n")

    checked = client.check(path)

    assert (checked.tasks, checked.digest[:7]) == (2, "sha256:")
    path.write_text("id,command,depends_on\na,true,b\nb,true,a\n")
    with pytest.raises(PlanRejected) as refused:
        client.submit(str(path))
    (fault,) = refused.value.faults()
    assert (fault.code, fault.places[0].file) == ("plan.cycle", str(path))


def test_same_key_is_the_same_run(client: Client) -> None:
    flow, key = some_work(), f"once-{next(_NUMBERS)}"

    first, second = (client.submit(flow, key=key) for _ in range(2))

    assert first.run_id == second.run_id
    first.wait(40)


_NUMBERS = itertools.count(1)


@pytest.mark.parametrize(
    ("do", "kind", "code"),
    [
        (lambda client: client.run("no-such-run").info(), NotFound, "not_found"),
        (lambda client: list(client.run("no-such-run").events()), NotFound, "not_found"),
        (lambda client: list(client.run("no-such-run").logs("x", follow=True)), NotFound, "not_found"),
        (lambda client: client.run("no-such-run").stop(), NotFound, "not_found"),
        (lambda client: client.run("../etc").info(), NotFound, "not_found"),
        (lambda client: client.submit(too_large()), NeedsUnmet, "needs.unmet"),
        (lambda client: client.submit(unknown_agent()), PlanRejected, "plan.rejected"),
    ],
)
def test_errors_are_the_same_over_both_ways(client: Client, do: Any, kind: type[TekError], code: str) -> None:
    with pytest.raises(kind) as refused:
        do(client)

    assert refused.value.code == code
    assert refused.value.faults()


def too_large() -> WorkflowBuilder:
    flow = WorkflowBuilder()
    flow.add("huge", "true", cpus=9000)
    return flow


def unknown_agent() -> WorkflowBuilder:
    flow = WorkflowBuilder()
    flow.add("odd", agent="no-such-agent")
    return flow


def test_token_without_the_role_is_refused(served: ServedApi, live: LiveCluster) -> None:
    with Client(served.url, token=served.tokens["viewer"]) as client, pytest.raises(Refused):
        client.submit(some_work())
    with Client(served.url, token="tek_wrong") as client, pytest.raises(Refused):
        client.workers()


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "redis://127.0.0.1:9/0"])
def test_address_where_nobody_answers(live: LiveCluster, address: str) -> None:
    with pytest.raises(ConnectionLost):
        Client(address).workers()


def test_token_and_settings_belong_to_one_way_each(live: LiveCluster, served: ServedApi) -> None:
    with pytest.raises(UsageError):
        Client(live.server.url, token="tek_x")
    with pytest.raises(UsageError):
        Client(served.url, settings={"run.tag": "x"})
    with pytest.raises(InputError):
        Client("ftp://elsewhere")


def test_coroutines_do_the_same(where: dict[str, Any]) -> None:
    async def use() -> tuple[Any, ...]:
        async with AsyncClient(**where) as client:
            runs = [await client.submit(some_work()) for _ in range(3)]
            infos = await asyncio.gather(*(run.wait(40) for run in runs))
            changes = [change async for change in runs[0].events()]
            tasks = [task.task async for task in runs[0].tasks()]
            text = "".join([chunk.text async for chunk in runs[0].logs("words") if chunk.stream == "stdout"])
            with pytest.raises(NotFound):
                await (await client.run("no-such-run")).info()
            return infos, changes, tasks, text, await runs[1].results(), [info async for info in client.runs(1)]

    infos, changes, tasks, text, results, runs = asyncio.run(use())

    assert {info.status for info in infos} == {RunStatus.SUCCEEDED}
    assert changes[-1].is_final
    assert tasks == ["part-1", "part-2", "part-3", "total", "words"]
    assert text == "out\n42\n"
    assert results["total"] == 6
    assert len(runs) == 1


def test_loop_goes_on_while_something_waits(where: dict[str, Any]) -> None:
    async def use() -> int:
        flow = WorkflowBuilder()
        flow.add("a", "sleep 0.5")
        turns = 0
        async with AsyncClient(**where) as client:
            waiting = asyncio.ensure_future((await client.submit(flow)).wait(40))
            while not waiting.done():
                turns += 1
                await asyncio.sleep(0.01)
            await waiting
        return turns

    assert asyncio.run(use()) > 10


def test_run_that_is_removed_has_no_end_to_wait_for(live: LiveCluster) -> None:
    with Client(live.server.url, settings={"evidence.runs_dir": str(live.settings.evidence.runs_dir)}) as client:
        flow = WorkflowBuilder()
        flow.add("a", "true")
        run = client.submit(flow)
        run.wait(30)
        last = [change.id for change in run.events()][-1]
        live.store.remove(run.run_id)
        with pytest.raises(NotFound):
            list(run.events(after=last))


def test_server_that_is_away_for_a_moment_ends_neither_events_nor_logs(
    fresh: Callable[..., LiveCluster], tmp_path: Path
) -> None:
    live, sign = fresh(), tmp_path / "sign"
    live.start_worker(slots=2)
    flow = WorkflowBuilder()
    flow.add("a", f"echo before; while [ ! -e {sign} ]; do sleep 0.05; done; echo after")
    where: dict[str, Any] = {
        "address": live.server.url,
        "settings": {"evidence.runs_dir": str(live.settings.evidence.runs_dir)},
    }
    with Client(**where) as client, ThreadPoolExecutor(2) as threads:
        run = client.submit(flow)
        events, log = run.events(), run.logs("a", follow=True)
        begun, first = next(events), next(log)
        rest, later = threads.submit(list, events), threads.submit(list, log)
        assert live.server.pid is not None
        os.kill(live.server.pid, signal.SIGKILL)
        wait_until(live.server.tend, "the server to be started again")
        sign.touch()

        changes = [begun, *rest.result(60)]
        texts = [chunk.text for chunk in (first, *later.result(60))]

        assert run.wait(30).succeeded
    assert changes[-1].is_final
    assert len({change.id for change in changes}) == len(changes)
    assert "".join(texts) == "before\nafter\n"


def test_run_that_only_its_folder_knows_and_that_has_not_ended_has_no_end_to_wait_for(
    fresh: Callable[..., LiveCluster],
) -> None:
    live = fresh()
    with Client(live.server.url, settings={"evidence.runs_dir": str(live.settings.evidence.runs_dir)}) as client:
        flow = WorkflowBuilder()
        flow.add("a", "true")
        run = client.submit(flow, wait_for_workers=True)
        live.lose_all_data()
        with pytest.raises(NotFound):
            run.wait()


def test_what_an_expected_worker_could_run_is_accepted(live: LiveCluster, tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text("workers:\n  - {name: big, cpus: 5000}\n")
    settings = {"evidence.runs_dir": str(live.settings.evidence.runs_dir), "cluster.expected": str(path)}
    flows = [WorkflowBuilder() for _ in range(2)]
    for flow, cpus in zip(flows, (5000, 5001), strict=True):
        flow.add("a", "true", cpus=cpus)

    with Client(live.server.url, settings=settings) as client:
        run = client.submit(flows[0])
        with pytest.raises(NeedsUnmet):
            client.submit(flows[1])
        run.stop(kill=True)


def test_file_of_a_run_that_goes_on_is_read(client: Client, tmp_path: Path) -> None:
    sign = tmp_path / "sign"
    flow = WorkflowBuilder()
    flow.add("early", "echo there")
    flow.add("late", f"while [ ! -e {sign} ]; do sleep 0.05; done")
    run = client.submit(flow)
    wait_until(lambda: run.task("early").status is TaskStatus.SUCCEEDED, "the early task", timeout_s=30)

    early = run.read_file("early", "stdout.log")
    results = run.results()
    sign.touch()

    assert early == b"there\n"
    assert results == {"early": "there"}
    assert run.wait(30).succeeded


def test_task_that_says_more_than_most_is_told(client: Client) -> None:
    flow = WorkflowBuilder()
    flow.add("a", "echo out", title="A task", metadata={"owner": "bob"}, acceptance_criteria=["it ends"], retries=1)
    run = client.submit(flow)
    run.wait(40)

    assert (run.task("a").title, run.task("a").status) == ("A task", TaskStatus.SUCCEEDED)
    assert run.read_file("a", "stdout.log") == b"out\n"
