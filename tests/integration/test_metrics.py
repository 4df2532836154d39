"""What Prometheus is told, by real workers and of a real cluster, is what the ledger of the run says."""

from __future__ import annotations

import socket
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.live import Home, LiveCluster
from support.tek import tek_place
from support.waiting import wait_until

from taskexec.cluster.metrics import ClusterMetrics
from taskexec.observability.metrics import METRICS, Door

Start = Callable[..., LiveCluster]
Samples = dict[str, list[tuple[dict[str, str], float]]]
TASKS = [
    {"id": "a", "agent": "noop"},
    {"id": "b", "command": "printf 12345", "depends_on": "a"},
    {"id": "c", "command": "exit 3", "depends_on": "a", "retries": 1},
    {"id": "d", "command": "true", "depends_on": "c"},
    *({"id": f"n{number}", "agent": "noop", "depends_on": "a"} for number in range(60)),
]


def samples(page: bytes) -> Samples:
    found: Samples = {}
    for family in text_string_to_metric_families(page.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((dict(sample.labels), sample.value))
    return found


def value(found: Samples, name: str, **labels: str) -> float:
    """Return the sum of all values of a metric with these labels among theirs."""
    return sum(value for told, value in found.get(name, []) if labels.items() <= told.items())


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def scrape(port: int) -> Samples:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return samples(answer.read())


def attempts_of(home: Home) -> Counter[tuple[str, str, str]]:
    """Return how the attempts of a run ended, by outcome, agent and reason, as its ledger says."""
    agents = {result["task"]: result["agent"] for result in home.summary["results"]}
    found: Counter[tuple[str, str, str]] = Counter()
    for event, outcome in (("succeeded", "succeeded"), ("failed", "failed"), ("attempt_failed", "failed")):
        for line in home.transitions(event):
            reason = home.record(line["task"], line["attempt"])["reason"] or ""
            found[outcome, agents[line["task"]], reason] += 1
    return found


def test_counters_of_worker_and_cluster_are_those_of_the_ledger(fresh: Start) -> None:
    port = free_port()
    live = fresh(metrics__port=port)
    live.start_worker(slots=3)

    home = live.carry_out(TASKS)

    expected = attempts_of(home)
    assert expected[("failed", "shell", "exit")] == 2
    worker = scrape(port)
    cluster = samples(ClusterMetrics(live.cluster).page())
    for found, name in ((worker, "taskexec_worker_attempts_total"), (cluster, "taskexec_attempts_total")):
        told = {(labels["outcome"], labels["kind"], labels["reason"]): count for labels, count in found[name]}
        assert told == expected
    assert value(worker, "taskexec_worker_work_seconds_count") == expected.total()
    assert value(worker, "taskexec_worker_dispatch_seconds_count", route="cpu") == len(home.transitions("running"))
    assert value(worker, "taskexec_worker_script_seconds_count", script="claim") >= 3
    assert value(worker, "taskexec_worker_evidence_bytes_total") == sum(
        file["bytes"]
        for task, result in home.results.items()
        for number in range(1, result["attempts"] + 1)
        for file in home.record(task, number)["files"].values()
    )
    counts = Counter(home.statuses.values())
    for state in ("succeeded", "failed", "skipped", "cancelled"):
        assert value(cluster, "taskexec_tasks_ended_total", state=state) == counts[state]
    assert value(cluster, "taskexec_runs_ended_total", status="failed") == 1


def test_worker_tells_what_it_has_and_how_much_is_taken(fresh: Start) -> None:
    port = free_port()
    live = fresh(metrics__port=port)
    live.start_worker(slots=3)
    (live.project / "go").mkdir()
    run_id = live.submit(
        [
            {"id": "big", "command": "until test -e go/on; do sleep 0.1; done", "cpus": 8, "memory": "1G"},
            {"id": "held", "command": "true", "depends_on": "big"},
        ]
    )
    live.await_state(run_id, "R1")

    wait_until(lambda: value(scrape(port), "taskexec_worker_cores_used") == 8, "the worker to tell what is taken")
    worker, cluster = scrape(port), samples(ClusterMetrics(live.cluster).page())
    (live.project / "go" / "on").touch()
    live.finish(run_id)

    assert value(worker, "taskexec_worker_cores") == value(cluster, "taskexec_cores") == 64
    assert value(worker, "taskexec_worker_memory_used_bytes") == value(cluster, "taskexec_memory_used_bytes") == 2**30
    assert value(worker, "taskexec_worker_slots") == 3
    assert value(worker, "taskexec_worker_info", worker=live.worker_names()[0]) == 1
    assert value(cluster, "taskexec_tasks_running", kind="shell") == value(cluster, "taskexec_runs") == 1
    assert value(cluster, "taskexec_tasks", state="waiting") == value(cluster, "taskexec_tasks", state="running") == 1
    assert value(cluster, "taskexec_route_workers", route="gpu") == 1
    assert value(cluster, "taskexec_server_memory_used_bytes") > 0


def test_worker_that_is_not_watched_listens_nowhere(live: LiveCluster) -> None:
    workers = [process for process in live.place.processes() if "taskexec.cluster" in " ".join(process.cmdline())]

    assert workers
    for process in workers:
        assert not [one for one in process.net_connections() if one.status == psutil.CONN_LISTEN]


def test_workers_of_one_host_take_ports_side_by_side_and_say_which(fresh: Start) -> None:
    port = free_port()
    live = fresh(metrics__port=port)
    for _ in range(2):
        live.start_worker(slots=1)

    told = sorted(worker["metrics"] for worker in live.cluster.workers.listed())

    assert len(set(told)) == 2
    for address in told:
        assert value(scrape(int(address.rpartition(":")[2])), "taskexec_worker_info") == 1


def test_counters_of_a_pool_child_outlive_it(fresh: Start) -> None:
    port = free_port()
    live = fresh(metrics__port=port)
    live.start_worker(slots=1)
    live.carry_out([{"id": "a", "agent": "noop"}])

    live.carry_out([{"id": "once", "command": "test -e seen || { touch seen; kill -9 $PPID; sleep 9; }"}])

    found = scrape(port)
    assert value(found, "taskexec_worker_attempts_total", outcome="succeeded") == 2
    cluster = samples(ClusterMetrics(live.cluster).page())
    assert value(cluster, "taskexec_attempts_total", outcome="lost", reason="lost_worker", kind="shell") == 1


def test_flood_of_scrapes_reads_the_server_once_a_second(live: LiveCluster) -> None:
    now = [0.0]
    metrics = ClusterMetrics(live.cluster, clock=lambda: now[0])
    first = metrics.page()
    calls = _calls(live)

    pages = {metrics.page() for _ in range(200)}

    assert pages == {first}
    assert _calls(live) - calls < 200
    now[0] = 1.5
    assert metrics.page() != b""


def _calls(live: LiveCluster) -> int:
    return int(live.cluster.connection.call("INFO", "stats")["total_commands_processed"])


def test_every_metric_of_the_cluster_is_in_the_catalogue(live: LiveCluster) -> None:
    page = ClusterMetrics(live.cluster).page()

    names = {line.split("{")[0].split(" ")[0] for line in page.decode().splitlines() if not line.startswith("#")}
    assert names <= {series for metric in METRICS.values() if metric.door is Door.API for series in metric.series()}


@pytest.mark.usefixtures("live")
def test_server_that_is_away_is_told(fresh: Start) -> None:
    live = fresh()
    metrics = ClusterMetrics(live.cluster)
    live.server.stop()

    found = samples(metrics.page())

    assert value(found, "taskexec_server_up") == 0
    assert set(found) == {"taskexec_server_up"}


def test_file_of_a_submitter_tells_what_the_ledger_of_its_run_says(tmp_path: Path) -> None:
    with tek_place() as tek:
        home = tek.home(tek.run([*TASKS], "--metrics-file", tmp_path / "tek.prom").expect(1))
        expected = attempts_of(home)

    found = samples((tmp_path / "tek.prom").read_bytes())
    told = {(one["outcome"], one["kind"], one["reason"]): count for one, count in found["taskexec_run_attempts"]}
    assert told == expected
    counts = Counter((home.statuses[task], result["agent"]) for task, result in home.results.items())
    assert {(one["state"], one["kind"]): count for one, count in found["taskexec_run_tasks"]} == counts
    assert value(found, "taskexec_run_status", status="failed") == 1
    assert {labels["plan"] for values in found.values() for labels, _ in values} == {"plan.csv"}
    assert value(found, "taskexec_run_wait_seconds_count") == len(TASKS) - 1
    assert value(found, "taskexec_run_work_seconds_count") == expected.total()
    assert value(found, "taskexec_run_script_seconds_count", script="start") >= 1
    assert value(found, "taskexec_run_evidence_bytes") > 0
    assert not [*tmp_path.glob(".tek.prom*")]


def test_file_that_cannot_be_written_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with tek_place() as tek:
        refused = tek.run([*TASKS], "--metrics-file", tmp_path / "missing" / "tek.prom").expect(2)

    assert "missing" in refused.stderr
    assert not (tek.cwd / "runs").exists() or not [*(tek.cwd / "runs").iterdir()]
