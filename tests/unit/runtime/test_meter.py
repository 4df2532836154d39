"""What processes of a worker count, each in its own row."""

from __future__ import annotations

import os
import threading

import pytest
from prometheus_client.parser import text_string_to_metric_families

from taskexec.domain.counts import OTHER
from taskexec.runtime.meter import KINDS_MOST, Board
from taskexec.runtime.watched import MetricsAddress, WorkerStanding, worker_page
from taskexec.store.nodes import NodeView


def in_child(count: int, board: Board, place: int) -> None:
    """Count in a process of its own, which has a place in a pool, and dies."""
    pid = os.fork()
    if not pid:
        from billiard.process import current_process

        current_process().index = place
        for _ in range(count):
            board.meter().ended("shell", "succeeded", "", 0.1, 0)
        os._exit(9)
    os.waitpid(pid, 0)


def test_counts_of_processes_outlive_them_and_are_summed_up() -> None:
    board = Board(["shell"], 2)
    board.meter().ended("shell", "succeeded", "", 0.1, 0)

    for place, count in ((0, 5), (1, 7), (0, 2)):
        in_child(count, board, place)

    assert [*board.endings(board.total())] == [("shell", "succeeded", "", 15)]


def test_more_processes_than_were_expected_do_no_harm() -> None:
    board = Board(["shell"], 1)

    in_child(3, board, 7)

    assert [*board.endings(board.total())] == [("shell", "succeeded", "", 3)]


def test_threads_lose_nothing() -> None:
    board = Board(["shell"], 0)
    meter = board.meter()

    def work() -> None:
        for _ in range(2000):
            meter.ended("shell", "succeeded", "", 0.01, 1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    total = board.total()
    assert board.evidence_bytes(total) == 8000
    (histogram,) = (found for kind, found in board.work(total) if kind == "shell")
    assert sum(histogram.counts) == 8000


def test_durations_are_counted_by_route_agent_and_script() -> None:
    board = Board(["shell"], 0)
    meter = board.meter()

    meter.dispatched("gpu", 0.02, 32)
    meter.dispatched("nowhere", 0.02, 32)
    meter.ended("shell", "failed", "exit", 2.0, 0)
    meter.called("claim", 0.0002)
    meter.called("a new one", 9.0)
    meter.lapsed(2)

    total = board.total()
    assert {route: sum(found.counts) for route, found in board.dispatch(total)} == {
        "cpu": 0,
        "gpu": 32,
        "distributed": 0,
    }
    assert {kind: found.total for kind, found in board.work(total)}["shell"] == 2.0
    assert {name: found.total for name, found in board.scripts(total) if found.total} == {"claim": 0.0002, OTHER: 9.0}
    assert board.lapsed(total) == 2


@pytest.mark.parametrize("kind", ["", "ünlaut", 'x"}', "a" * 65, "unheard-of"])
def test_agents_that_are_not_told_apart_count_as_other(kind: str) -> None:
    board = Board([kind] if kind != "unheard-of" else [], 0)

    board.meter().ended(kind, "failed", "exit", 0.0, 0)

    assert [*board.endings(board.total())] == [(OTHER, "failed", "exit", 1)]


def test_there_are_only_so_many_agents_and_ours_are_among_them() -> None:
    board = Board([f"a{number}" for number in range(1000)], 0)

    assert len(board.kinds) == KINDS_MOST + 1
    assert {"noop", "python", "shell", OTHER} <= set(board.kinds)


def test_reason_that_is_none_is_counted_without_one() -> None:
    board = Board([], 0)

    board.meter().ended("shell", "failed", "a new reason", -1.0, 0)

    assert [*board.endings(board.total())] == [("shell", "failed", "", 1)]


def test_page_of_a_worker_tells_its_gpus_and_what_is_taken() -> None:
    record = {
        "version": "1",
        "load": {
            "cpu_percent": 50.0,
            "disk_free_mib": 3,
            "gpus": [{"uuid": "u", "busy_percent": 25, "memory_used_mib": 1, "memory_total_mib": 4}],
        },
    }
    view = NodeView("w", frozenset(), [8000, 1024, 10, 4, 1000, 4], [6000, 512, 10, 1, 500, 4])

    page = worker_page("w", Board([], 0), WorkerStanding(record, view, "draining")).decode()

    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }
    assert found["taskexec_worker_cores_used",] == 2
    assert found["taskexec_worker_memory_bytes",] == 2**30
    assert found["taskexec_worker_slots_used",] == 3
    assert found["taskexec_worker_gpu_held_ratio", "0"] == 0.5
    assert found["taskexec_worker_gpu_busy_ratio", "0"] == 0.25
    assert found["taskexec_worker_gpu_memory_bytes", "0"] == 4 * 2**20
    assert found["taskexec_worker_machine_busy_ratio",] == 0.5
    assert found["taskexec_worker_state", "draining"] == 1


@pytest.mark.parametrize(
    ("host", "told"),
    [("127.0.0.1", "127.0.0.1:9"), ("0.0.0.0", "10.0.0.7:9"), ("::", "10.0.0.7:9"), ("::1", "[::1]:9")],
)
def test_address_is_told_as_others_find_it(host: str, told: str) -> None:
    assert MetricsAddress(host, 1).told(9, "10.0.0.7") == told
