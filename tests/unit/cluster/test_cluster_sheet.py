"""The page of a cluster, out of its figures."""

from __future__ import annotations

from collections import Counter

from prometheus_client.parser import text_string_to_metric_families

from taskexec.cluster.metrics import cluster_sheet
from taskexec.domain.counts import OTHER
from taskexec.domain.states import TaskStatus
from taskexec.store.figures import Figures, ServerFigures, WorkerFigures


def told(figures: Figures) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(cluster_sheet(figures).text().decode())
        for sample in family.samples
    }


def test_nothing_at_all_is_told_with_noughts() -> None:
    found = told(Figures({}, 0))

    assert found["taskexec_runs",] == 0
    assert found["taskexec_runs_ended_total", "failed"] == 0
    assert found["taskexec_tasks", "waiting"] == 0
    assert found["taskexec_queue_oldest_seconds", "gpu"] == 0
    assert ("taskexec_server_memory_used_bytes",) not in found


def test_counters_are_told_by_their_words() -> None:
    counted = {
        "attempts succeeded - noop": 7,
        "attempts succeeded - python": 2,
        "attempts failed exit shell": 3,
        "tasks failed": 1,
        "runs failed": 4,
        "lapsed": 5,
        "late": 6,
        "evidence": 8,
        "something of a later version": 9,
    }

    found = told(Figures(counted, 0))

    assert found["taskexec_attempts_total", "noop", "succeeded", ""] == 7
    assert found["taskexec_attempts_total", "shell", "failed", "exit"] == 3
    assert found["taskexec_tasks_ended_total", "succeeded"] == 9
    assert found["taskexec_tasks_ended_total", "failed"] == 1
    assert found["taskexec_runs_ended_total", "failed"] == 4
    assert found["taskexec_leases_lapsed_total",] == 5
    assert found["taskexec_late_results_refused_total",] == 6
    assert found["taskexec_evidence_streamed_bytes_total",] == 8


def test_agents_at_work_are_few_whatever_they_are_called() -> None:
    running = Counter({f"agent-{number}": 1 for number in range(1000)} | {'x"}\n': 5, "": 2, "busy": 9, "x" * 999: 1})

    found = told(Figures({}, 1, running=running, tasks=Counter({TaskStatus.RUNNING: 1017})))

    kinds = {key[1]: count for key, count in found.items() if key[0] == "taskexec_tasks_running"}
    assert len(kinds) == 21
    assert kinds["busy"] == 9
    assert sum(kinds.values()) == 1017
    assert kinds[OTHER] > 900


def test_workers_are_summed_up_and_only_those_that_take_tasks_serve_routes() -> None:
    record = {"classes": ["gpu", "nonsense"], "load": {"gpus": [{"busy_percent": 50}, {"busy_percent": 100}]}}
    vector = [4000, 1024, 0, 4, 1000, 80, 1000, 80]
    free = [1000, 512, 0, 3, 500, 80, 1000, 80]
    workers = [WorkerFigures(record, state, vector, free) for state in ("ready", "cordoned", "draining", "odd")]

    found = told(Figures({}, 0, workers=workers))

    assert found["taskexec_workers", "ready"] == 1
    assert found["taskexec_workers", "cordoned"] == 2
    assert found["taskexec_route_workers", "gpu"] == 1
    assert found["taskexec_route_workers", "cpu"] == 0
    assert found["taskexec_cores",] == 16
    assert found["taskexec_cores_used",] == 12
    assert found["taskexec_memory_used_bytes",] == 4 * 512 * 2**20
    assert found["taskexec_gpus",] == 8
    assert found["taskexec_gpus_used",] == 2
    assert found["taskexec_gpus_busy_ratio",] == 0.75


def test_memory_of_the_server_is_told_with_its_limit_where_there_is_one() -> None:
    found = told(Figures({}, 0, server=ServerFigures(10, 0, 1, 2, 0.5)))

    assert found["taskexec_server_memory_used_bytes",] == 10
    assert ("taskexec_server_memory_limit_bytes",) not in found
