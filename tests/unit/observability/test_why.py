"""Why a task stands where it stands: each state has its answer, with its figures, from facts alone."""

from __future__ import annotations

import pytest
from support.why_facts import NOW_US, Moment, cluster_of, node, option, story, want

from taskexec.domain.program import Grant
from taskexec.observability.why import Cause, Queue, RunNow, TaskNow, explain


def lines(cause: Cause) -> list[str]:
    return list(cause.lines())


def queued(task: str, s: float = 0.0, **more: object) -> dict[str, object]:
    return {"event": "queued", "task": task, "attempt": 1, "s": s} | more


def running(task: str, s: float = 0.0, attempt: int = 1) -> dict[str, object]:
    return {"event": "running", "task": task, "attempt": attempt, "worker": "w1", "s": s}


def ended(task: str, s: float = 0.0, event: str = "succeeded", **more: object) -> dict[str, object]:
    return {"event": event, "task": task, "attempt": 1, "s": s} | more


TRIAL = "it lost all attempts but one with their workers; such tasks run one at a time, and now it is the turn of"
WINDOW = "16 tasks of its run are in the queue `cpu`, which is as many as its workers need"
BEGIN: dict[str, object] = {"event": "run_started", "s": 100.0}


def test_waiting_follows_the_dependency_that_takes_longest() -> None:
    tasks = {"fast": {"duration_s": 5}, "slow": {"duration_s": 300}, "end": {"depends_on": ["fast", "slow"]}}
    run = story(tasks, BEGIN, queued("fast", 99), running("fast", 60), running("slow", 60))
    moment = Moment({0: TaskNow("R", 1), 1: TaskNow("R", 1)})

    found = lines(explain(run, 2, moment))

    assert found[:3] == [
        "`end` waits for `fast` and `slow` (2 of 2)",
        "  `slow` holds it up the longest",
        "  ~4 min until then, if nothing waits for workers",
    ]
    assert found[3] == "  `slow` is running on `w1` for 1 min (attempt 1)"


def test_waiting_is_explained_down_to_the_arithmetic_of_the_task_at_its_root() -> None:
    run = story({"a": {}, "b": {"depends_on": ["a"]}, "c": {"depends_on": ["b"]}}, BEGIN)
    wanted = want(option(16))
    moment = Moment({0: TaskNow("H", 1, want=wanted)}, cluster_of(node(), wants=(wanted,)))

    found = lines(explain(run, 2, moment))

    assert found[0] == "`c` waits for `b`"
    assert "    `a` has not started: it waits for a place on a worker, for 1 s now" in found
    assert any("is too small: 16 cores needed, it has 8 cores" in line for line in found)


def test_long_chain_is_told_to_a_depth_and_how_to_go_on() -> None:
    names = [f"t{number}" for number in range(20)]
    tasks = {name: {"depends_on": [names[at - 1]] if at else []} for at, name in enumerate(names)}

    found = lines(explain(story(tasks, BEGIN), 19, Moment()))

    assert found[-1].strip() == "`tek why r t12` goes on from there"


def test_chain_of_many_thousands_is_explained() -> None:
    names = [f"t{number}" for number in range(20_000)]
    tasks = {name: {"depends_on": [names[at - 1]] if at else [], "duration_s": 1} for at, name in enumerate(names)}

    cause = explain(story(tasks, BEGIN), len(names) - 1, Moment())

    assert next(cause.find("left")).facts["left_s"] == 19_999


@pytest.mark.parametrize(
    ("now", "kind", "said"),
    [
        (TaskNow("H", 2, due_us=NOW_US + 30_000_000), "delayed", "attempt 2 is due in ~30 s"),
        (
            TaskNow("H", 3, suspect="`b`"),
            "trial",
            f"{TRIAL} `b`",
        ),
        (
            TaskNow("H", 1, backlog=(40, 16)),
            "backlog",
            f"{WINDOW}; 40 tasks of it come before this one",
        ),
        (
            TaskNow("Q", 1, queue=Queue("cpu", 3), queued_us=NOW_US - 2_000_000),
            "queued",
            "it is in the queue `cpu` for 2 s; 3 messages are before it (one may carry several short tasks)",
        ),
        (
            TaskNow("Q", 1, queued_us=NOW_US - 500_000, grant=Grant.decode("1 1000 0 0 0 0 0|w1:")),
            "placed",
            "it was placed on `w1` 500 ms ago; its worker takes it as soon as a process of it is free",
        ),
    ],
)
def test_held_and_queued_tasks_are_told_what_for(now: TaskNow, kind: str, said: str) -> None:
    cause = explain(story({"a": {}}, BEGIN, queued("a", 2)), 0, Moment({0: now}, cluster_of(node("w1"))))

    assert cause.kind == kind
    assert f"  {said}" in lines(cause)


def test_queue_that_nobody_serves_is_told_with_what_to_start() -> None:
    now = TaskNow("Q", 1, queue=Queue("gpu", 0), queued_us=NOW_US)
    moment = Moment({0: now}, cluster_of(node(routes=("cpu",))))

    found = lines(explain(story({"a": {}}, BEGIN, queued("a")), 0, moment))

    assert "  no worker serves the queue `gpu`; start one with `tek worker --class gpu`" in found


def test_slots_of_a_queue_are_counted() -> None:
    now = TaskNow("Q", 1, queue=Queue("cpu", 0), queued_us=NOW_US)
    busy = node("w1", slots=2, busy=(("`x`", option(1), 0, ()),))

    found = lines(explain(story({"a": {}}, BEGIN, queued("a")), 0, Moment({0: now}, cluster_of(busy))))

    assert "  1 worker serves it, 1 of 2 slots free" in found


def test_run_that_is_stopped_or_short_of_time_is_told() -> None:
    moment = Moment({0: TaskNow("H", 2, due_us=NOW_US)}, run=RunNow("running", True, NOW_US + 60_000_000))

    found = lines(explain(story({"a": {}}, BEGIN), 0, moment))

    assert "  the run is being stopped: nothing new is started" in found
    assert "  the time of the run is up in ~60 s" in found


def test_running_task_is_told_with_what_it_was_given_and_when_it_should_end() -> None:
    run = story({"a": {"duration_s": 90}}, BEGIN, queued("a", 61), running("a", 60))
    now = TaskNow("R", 1, grant=Grant.decode("1 2000 3584 0 1000 0 0|w1:0"))

    found = lines(explain(run, 0, Moment({0: now})))

    assert found[0] == "`a` is running on `w1` for 1 min (attempt 1)"
    assert "  it was given 2 cores, 3.5G of memory and 1 GPU" in found
    assert "  it should end in ~30 s" in found
    assert "  attempt 1 started on `w1`, 1 s after it was queued" in found


def test_finished_task_is_told_what_made_it_ready_and_what_made_room() -> None:
    done = [ended("a", 90), ended("b", 80, started_at=None)]
    placed = queued("c", 50, on=["w1"], waited_us=30_000_000, after="r:3")
    tasks = {"a": {}, "b": {}, "c": {"depends_on": ["a", "b"]}, "other": {}}
    run = story(tasks, BEGIN, *done, placed, running("c", 49), ended("c", 9))

    found = lines(explain(run, 2, None))

    assert found == [
        "`c` succeeded with 1 attempt",
        "  it was ready 20 s after the start of the run, when `b` succeeded, the last of its 2 dependencies",
        "    the one before, `a`, had succeeded 10 s earlier",
        "  it was placed on `w1` after 30 s, when `other` had ended and made room",
        "  attempt 1 started on `w1`, 1 s after it was queued",
        "  attempt 1 succeeded after 40 s",
    ]


def test_failed_task_is_told_how_each_attempt_ended() -> None:
    first = ended("a", 80, "attempt_failed", reason="exit", exit_status=3)
    last = ended("a", 60, "failed", attempt=2, reason="timeout", error="it ran 10 s")
    run = story({"a": {}}, BEGIN, queued("a", 95), running("a", 90), first, running("a", 70, 2), last)

    found = lines(explain(run, 0, None))

    assert found[0] == "`a` failed after 2 attempts: attempt 2 failed (timeout): it ran 10 s"
    assert "  attempt 1 failed after 10 s (exit 3)" in found


def test_skipped_task_is_told_through_what_and_why_that_failed() -> None:
    tasks = {"a": {}, "b": {"depends_on": ["a"]}, "c": {"depends_on": ["b"]}}
    failed = ended("a", 60, "failed", reason="exit", exit_status=1)
    skips = [{"event": "skipped", "task": name, "because_of": "a", "s": 60} for name in "bc"]

    found = lines(explain(story(tasks, BEGIN, running("a", 70), failed, *skips), 2, None))

    assert found[:2] == ["`c` was skipped, since `a` did not succeed", "  it depends on `b`"]
    assert found[2].startswith("  `a` failed after 1 attempt")


def test_cancelled_task_is_told_what_cancelled_it() -> None:
    failed = ended("a", 60, "failed", entry="7", reason="exit")
    cancelled = {"event": "cancelled", "task": "b", "entry": "7", "s": 60}

    fast = explain(story({"a": {}, "b": {}}, BEGIN, failed, cancelled), 1, None)
    stopped = explain(story({"a": {}, "b": {}}, BEGIN, cancelled), 1, None)
    late = explain(story({"a": {}, "b": {}}, BEGIN, {"event": "time_is_up"}, cancelled), 1, None)

    assert fast.text == "`b` was cancelled: `a` failed, and the run stops at the first failure (fail-fast)"
    assert stopped.text == "`b` was cancelled: the run was stopped"
    assert late.text == "`b` was cancelled: the time of the run was up"


def test_task_that_was_done_before_says_so() -> None:
    run = story({"a": {"satisfied": True}}, BEGIN, {"event": "satisfied", "task": "a", "taken_from": {"run": "old"}})

    assert explain(run, 0, None).text == "`a` was done before the run; it was taken over from run old"


def test_unfinished_task_without_its_server_is_told_from_the_ledger() -> None:
    assert explain(story({"a": {}}, BEGIN, queued("a")), 0, None).text == "`a` is queued, as far as was brought home"


def test_answer_has_a_form_for_programs() -> None:
    cause = Cause("top", "text", (Cause("below", "more", facts={"n": 1}),))

    assert cause.to_json() == {"kind": "top", "text": "text", "causes": [{"kind": "below", "text": "more", "n": 1}]}
