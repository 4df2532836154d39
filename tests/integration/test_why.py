"""`tek why` on a live cluster: what it names as a change starts the task, and each state has its answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.live import LiveCluster, make_plan
from support.waiting import wait_until

from taskexec.cluster import worker_supervisor
from taskexec.domain.resources import Capacity, Gpu, Route
from taskexec.observability.why import Cause, Story, explain

pytestmark = pytest.mark.xdist_group("why")

Fresh = Callable[..., LiveCluster]
GPU_WORKER = Capacity(cpus=8.0, memory_mib=8192, gpus=(Gpu("a", "", 24576), Gpu("b", "", 24576)), slots=4)


def start(live: LiveCluster, capacity: Capacity) -> str:
    log = live.place.folder / "worker.log"
    supervisor = worker_supervisor(live.cluster, routes=tuple(Route), capacity=capacity, log_path=log)
    live.supervisors.append(supervisor)
    supervisor.start()
    live.await_worker(supervisor)
    return supervisor.name


def story_of(live: LiveCluster, run_id: str) -> Story:
    from taskexec.cluster.places import RunPlace
    from taskexec.cluster.snapshot import take_snapshot

    place = RunPlace(run_id, live.settings.evidence.runs_dir / run_id, live.cluster)
    snapshot = take_snapshot(place, with_ledger=True)
    return Story(run_id, snapshot.plan, snapshot.ledger)


def ask_why(live: LiveCluster, run_id: str, task: str) -> Cause:
    story = story_of(live, run_id)
    return explain(story, story.index_of[task], live.cluster.present(story))


def until(sign: Path) -> str:
    return f"while [ ! -e {sign} ]; do sleep 0.05; done"


def held_cluster(fresh: Fresh) -> tuple[LiveCluster, str, Path]:
    """Give a cluster of one worker with two GPUs, of which a task holds one, and the sign that ends it."""
    live = fresh()
    worker = start(live, GPU_WORKER)
    sign = live.project / "go"
    plan = make_plan([{"id": "train-7", "command": until(sign), "gpus": 1, "duration": "14m"}])
    holder = live.submit(plan)
    live.await_state(holder, "R1")
    return live, worker, sign


def test_making_the_change_that_is_named_starts_the_task(fresh: Fresh) -> None:
    live, worker, sign = held_cluster(fresh)
    asks: dict[str, object] = {"id": "wide", "gpus": 2, "gpu_memory": "24G", "command": "true"}
    run_id = live.submit(make_plan([asks]))
    live.await_state(run_id, "H1")

    cause = ask_why(live, run_id, "wide")

    text = "\n".join(cause.lines())
    assert f"worker `{worker}`: 2 GPUs with 24G needed, 1 of 2 free\n" in text
    assert "`train-7` of run" in text
    assert "holds 1 GPU for another ~14 min" in text
    (first, *_) = cause.find("change")
    assert (first.text, first.facts) == ("it would start now with gpus=1", {"write": {"gpus": "1"}})
    changed = live.submit(make_plan([asks | first.facts["write"]]))
    assert live.finish(changed).statuses == {"wide": "succeeded"}
    assert live.state(run_id) == "H1"
    sign.touch()
    live.finish(run_id)


def test_joining_the_worker_that_is_named_starts_the_task(fresh: Fresh) -> None:
    live, _, sign = held_cluster(fresh)
    run_id = live.submit(make_plan([{"id": "large", "cpus": 8, "memory": "8G", "gpus": 2, "command": "true"}]))
    live.await_state(run_id, "H1")

    offer = next(
        change.facts["worker"] for change in ask_why(live, run_id, "large").find("change") if "worker" in change.facts
    )

    gpus = tuple(Gpu(f"new-{number}", "", offer["gpu_memory_mib"]) for number in range(offer["gpus"]))
    start(live, Capacity(cpus=offer["cpus"], memory_mib=offer["memory_mib"], gpus=gpus, slots=1))
    assert live.finish(run_id).statuses == {"large": "succeeded"}
    sign.touch()


def test_each_state_on_the_way_has_its_answer(fresh: Fresh) -> None:
    live, _, sign = held_cluster(fresh)
    tasks = [
        {"id": "first", "gpus": 2, "command": "true", "duration": "30s"},
        {"id": "second", "depends_on": "first", "command": "true"},
        {"id": "flaky", "command": "exit 3", "retries": 1, "retry_delay": "1h"},
    ]
    run_id = live.submit(make_plan(tasks))
    live.await_state(run_id, "H2", index=2)

    waiting = ask_why(live, run_id, "second")
    held = ask_why(live, run_id, "flaky")

    assert waiting.text == "`second` waits for `first`"
    assert [cause.kind for cause in waiting.causes] == ["left", "wanting"]
    assert list(waiting.find("change"))
    assert (held.kind, held.causes[0].text) == ("delayed", "attempt 2 is due in ~60 min")
    live.store.stop(run_id, kill=True)
    sign.touch()


def test_what_ended_is_told_by_what_made_it_start(fresh: Fresh) -> None:
    live, worker, sign = held_cluster(fresh)
    run_id = live.submit(
        make_plan([{"id": "a", "command": "true"}, {"id": "b", "depends_on": "a", "gpus": 2, "command": "true"}])
    )
    live.await_state(run_id, "H1", index=1)
    sign.touch()
    home = live.finish(run_id)
    story = Story(
        run_id, {"tasks": [{**task, "depends_on": task["depends_on"]} for task in plan_of(home.folder)]}, home.ledger
    )

    cause = explain(story, 1, None)

    assert cause.kind == "succeeded"
    (ready,) = cause.find("ready")
    assert "when `a` succeeded" in ready.text
    (placed,) = cause.find("placed")
    assert placed.facts["on"] == [worker]
    assert placed.text.endswith("had ended and made room")


def plan_of(folder: Path) -> list[dict[str, object]]:
    import json

    tasks: list[dict[str, object]] = json.loads((folder / "plan.json").read_text())["tasks"]
    return tasks


def test_task_without_needs_is_told_its_queue(fresh: Fresh) -> None:
    live = fresh()
    name = start(live, Capacity(cpus=1.0, memory_mib=1024, slots=1))
    sign = live.project / "go"
    both = [{"id": "a", "command": until(sign)}, {"id": "b", "command": until(sign), "priority": 1}]
    run_id = live.submit(make_plan(both))  # of unlike priority, so that no batch takes them together
    wait_until(lambda: sorted(live.store.states(run_id).values()) == ["Q1", "R1"], "one to start", timeout_s=20)
    queued = next("ab"[index] for index, state in live.store.states(run_id).items() if state == "Q1")
    cause = ask_why(live, run_id, queued)
    assert cause.kind == "queued"
    assert any(f"worker `{name}`: 0 of 1 slots free" in line for line in cause.lines())
    sign.touch()
    live.finish(run_id)


def test_messages_before_it_are_counted_and_missing_workers_told(fresh: Fresh) -> None:
    live = fresh()
    runs = [live.submit(make_plan([{"id": name, "command": "true"}])) for name in ("one", "two", "three")]
    urgent = live.submit(make_plan([{"id": "four", "command": "true", "priority": 9}]))

    answers = [ask_why(live, run_id, name) for run_id, name in zip(runs, ("one", "two", "three"), strict=True)]

    assert [next(cause.find("queue")).facts["before"] for cause in answers] == [1, 2, 3]
    assert next(ask_why(live, urgent, "four").find("queue")).facts["before"] == 0
    assert next(answers[0].find("nobody")).text.endswith("start one with `tek worker --class cpu`")


def test_backlog_of_a_run_is_counted(fresh: Fresh) -> None:
    live = fresh()
    tasks = [{"id": f"t{number}", "command": "true"} for number in range(600)]
    run_id = live.submit(make_plan(tasks))

    cause = ask_why(live, run_id, "t599")

    (window,) = cause.find("window")
    assert cause.kind == "backlog"
    assert window.facts["before"] + window.facts["queued"] == 599


def test_uncordoning_the_worker_that_is_named_starts_the_task(fresh: Fresh) -> None:
    live = fresh()
    name = start(live, GPU_WORKER)
    live.cluster.workers.wish(name, "cordoned")
    run_id = live.submit(make_plan([{"id": "a", "cpus": 2, "command": "true"}]))
    live.await_state(run_id, "H1")

    changes = [change.facts for change in ask_why(live, run_id, "a").find("change")]

    assert {"uncordon": name} in changes
    live.cluster.workers.wish(name, "ready")
    assert live.finish(run_id).statuses == {"a": "succeeded"}
