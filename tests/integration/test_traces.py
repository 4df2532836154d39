"""A run is one trace: its spans arrive at a real receiver, with the right parents, and never cost the run anything."""

from __future__ import annotations

import os
import signal
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator

import pytest
from support.live import Home, LiveCluster, make_plan
from support.receivers import Span, TraceReceiver, trace_receiver
from support.waiting import wait_until

from taskexec.domain.trace import attempt_span_id, root_span_id, trace_id_of
from taskexec.plan import build_plan
from taskexec.sources import read_csv

Start = Callable[..., LiveCluster]


@pytest.fixture
def receiver() -> Iterator[TraceReceiver]:
    with trace_receiver() as receiver:
        yield receiver


def await_spans(receiver: TraceReceiver, count: int) -> list[Span]:
    wait_until(lambda: len(receiver.spans) >= count, f"{count} spans", diagnose=lambda: receiver.spans)
    return receiver.spans


def carry_out(live: LiveCluster, plan: list[dict[str, object]]) -> Home:
    live.start_worker(slots=2)
    return live.carry_out(plan)


def test_a_run_is_one_trace_with_a_span_for_each_attempt(fresh: Start, receiver: TraceReceiver) -> None:
    live = fresh(trace__endpoint=receiver.url)
    (live.project / "steps.py").write_text("import os\ndef told():\n    return os.environ.get('TRACEPARENT')\n")

    home = carry_out(
        live,
        [
            {"id": "shell", "command": "echo $TRACEPARENT"},
            {"id": "python", "agent": "python", "command": "steps:told", "depends_on": "shell"},
            {"id": "bad", "command": 'test "$TEK_ATTEMPT" = 2', "retries": 1},
        ],
    )

    spans = await_spans(receiver, 5)
    run_id = home.summary["run_id"]
    (root,) = (span for span in spans if not span.parent_id)
    attempts = [span for span in spans if span.parent_id]
    assert {span.trace_id for span in spans} == {f"{trace_id_of(run_id):032x}"}
    assert root.span_id == f"{root_span_id(run_id):016x}"
    assert {span.parent_id for span in attempts} == {root.span_id}
    assert sorted((span.name, span.attributes["taskexec.attempt"], span.is_error) for span in attempts) == [
        ("bad", 1, True),
        ("bad", 2, False),
        ("python", 1, False),
        ("shell", 1, False),
    ]
    assert (root.name, root.is_error, root.attributes["taskexec.run"]) == ("run plan.csv", False, run_id)
    assert {span.service for span in attempts} == {"taskexec-worker"}
    assert all(root.start_ns <= span.start_ns <= span.end_ns <= root.end_ns for span in attempts)
    told = f"00-{trace_id_of(run_id):032x}-{attempt_span_id(run_id, 0, 1):016x}-01"
    assert home.stdout("shell").strip() == told
    assert home.record("python")["result"].split("-")[2] == f"{attempt_span_id(run_id, 1, 1):016x}"


def test_attempt_that_is_lost_with_its_worker_has_a_span_all_the_same(fresh: Start, receiver: TraceReceiver) -> None:
    live = fresh(trace__endpoint=receiver.url)
    supervisor = live.start_worker(slots=1)
    run_id = live.submit([{"id": "a", "command": 'test "$TEK_ATTEMPT" = 2 || sleep 60'}])
    live.await_state(run_id, "R1")
    assert supervisor.pid is not None
    os.killpg(supervisor.pid, signal.SIGKILL)

    live.finish(run_id, tend=True)

    spans = await_spans(receiver, 3)
    outcomes = {span.attributes.get("taskexec.attempt"): span.attributes["taskexec.status"] for span in spans}
    assert outcomes == {None: "succeeded", 1: "lost", 2: "succeeded"}


def test_runs_that_are_not_sampled_send_nothing_and_say_so_to_their_processes(
    fresh: Start, receiver: TraceReceiver
) -> None:
    live = fresh(trace__endpoint=receiver.url, trace__sample_ratio=0.0)

    home = carry_out(live, [{"id": "a", "command": "echo $TRACEPARENT"}])

    assert home.stdout("a").strip().endswith("-00")
    assert receiver.requests == []


def test_without_a_receiver_no_process_is_told_of_a_trace(live: LiveCluster) -> None:
    home = live.carry_out([{"id": "a", "command": "env | grep -c TRACEPARENT; true"}])

    assert home.stdout("a") == "0\n"


@pytest.mark.parametrize("fault", ["down", "slow"])
def test_receiver_that_does_not_answer_costs_a_run_nothing(fresh: Start, receiver: TraceReceiver, fault: str) -> None:
    url = receiver.url if fault == "slow" else "http://127.0.0.1:9"
    if fault == "slow":
        import threading

        receiver.hold = threading.Event()
    live = fresh(trace__endpoint=url, trace__timeout_s=1.0)
    live.start_worker(slots=2)
    plan = make_plan([{"id": f"t{number}"} for number in range(500)])
    began = time.monotonic()

    home = live.carry_out(plan)

    assert home.summary["status"] == "succeeded"
    assert time.monotonic() - began < 8.0
    wait_until(lambda: "spans dropped" in live.log(), "word of the spans that were dropped", diagnose=live.log)


def test_spans_that_were_dropped_are_told_prometheus(fresh: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
    live = fresh(trace__endpoint="http://127.0.0.1:9", trace__timeout_s=1.0, metrics__port=port)

    def told() -> bool:
        page = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read()
        return b"taskexec_worker_spans_dropped_total 3.0" in page

    carry_out(live, [{"id": "a"}, {"id": "b"}, {"id": "c", "command": "true"}])

    wait_until(told, "the worker to count the spans that were dropped", diagnose=live.log)


def test_name_of_a_run_holds_no_secret(fresh: Start, receiver: TraceReceiver) -> None:
    live = fresh(trace__endpoint=receiver.url)
    live.start_worker(slots=1)
    draft = read_csv("id\na\n", "folder/token=hunter2-9f31c7.csv")
    run_id = live.cluster.submit(build_plan(draft), dry_run=False).run_id

    live.finish(run_id)

    (root,) = (span for span in await_spans(receiver, 2) if not span.parent_id)
    assert root.name.startswith("run token=***")
    assert "hunter2" not in str([(span.name, span.attributes) for span in receiver.spans])


def test_what_had_the_run_made_is_linked_with_it(
    fresh: Start, receiver: TraceReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = fresh(trace__endpoint=receiver.url)
    monkeypatch.setenv("TRACEPARENT", f"00-{'ab' * 16}-{'cd' * 8}-01")

    carry_out(live, [{"id": "a"}])

    (root,) = (span for span in await_spans(receiver, 2) if not span.parent_id)
    assert root.links == ["ab" * 16]
