"""`/metrics` of the API: who reads it, what it says, and what a flood of readers costs."""

from __future__ import annotations

import threading

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.isolation import Place, environment
from support.live import LiveCluster
from support.serving import ServedApi, problem_of, served_api
from support.waiting import wait_until

from taskexec.cluster.histories import timeline_at_home
from taskexec.observability.metrics import CONTENT_TYPE


def value(page: str, name: str, **labels: str) -> float:
    found = (sample for family in text_string_to_metric_families(page) for sample in family.samples)
    return sum(one.value for one in found if one.name == name and labels.items() <= one.labels.items())


def read_later(client: httpx2.Client, path: str, before: str) -> str:
    """Return a page that was made after another one."""
    return wait_until(lambda: (page := client.get(path).text) != before and page, "a further page")


def test_whole_cluster_is_told_on_this_machine_without_a_token(served: ServedApi) -> None:
    with served.client(None) as client:
        answer = client.get("/metrics")

    assert answer.status_code == 200
    assert answer.headers["content-type"] == CONTENT_TYPE
    assert value(answer.text, "taskexec_server_up") == 1
    assert value(answer.text, "taskexec_workers", state="ready") == 1
    assert value(answer.text, "taskexec_slots") == 4


def test_how_long_tasks_of_a_run_sent_to_the_api_waited_is_told_as_its_ledger_says(
    live: LiveCluster, shared_place: Place
) -> None:
    plan = "id,command,depends_on,retries\na,sleep 0.2,,\nb,true,a,\nc,exit 3,a,1\n"
    with environment(shared_place.environ()), served_api(live, collect=False) as served, served.client() as client:
        before = client.get("/metrics").text
        sent = client.post("/api/v1/runs", content=plan, headers={"Content-Type": "text/csv"})
        home = live.finish(sent.json()["run_id"])
        after = read_later(client, "/metrics", before)
    with environment(shared_place.environ()), served_api(live, collect=False) as served, served.client(None) as client:
        again = client.get("/metrics").text

    spans = timeline_at_home(home.folder).spans
    attempts = [attempt for span in spans for attempt in span.attempts]
    expected = {
        "wait": [span.attempts[0].claimed_us - span.ready_us for span in spans],  # type: ignore[operator]  # all ran
        "dispatch": [one.claimed_us - one.queued_us for one in attempts],  # type: ignore[operator]  # all ran
        "work": [one.finished_us - one.started_us for one in attempts],  # type: ignore[operator]  # all ran
    }
    assert len(attempts) == 4
    for phase, lasted_us in expected.items():
        name = f"taskexec_{phase}_seconds"
        told = value(after, f"{name}_count", kind="shell") - value(before, f"{name}_count", kind="shell")
        total_s = value(after, f"{name}_sum", kind="shell") - value(before, f"{name}_sum", kind="shell")
        assert told == len(lasted_us)
        assert total_s == pytest.approx(sum(lasted_us) / 1e6, abs=1e-5)
        assert value(again, f"{name}_count") == value(after, f"{name}_count")


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "203.0.113.9"},
        {"Forwarded": "for=203.0.113.9"},
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:1"},
    ],
)
def test_whoever_may_be_elsewhere_needs_a_token(served: ServedApi, headers: dict[str, str]) -> None:
    with served.client(None) as client:
        problem_of(client.get("/metrics", headers=headers), 401, "access.token")
        problem_of(client.get("/metrics/targets", headers=headers), 401, "access.token")
    with served.client("viewer") as client:
        assert client.get("/metrics", headers=headers).status_code == 200


def test_setting_says_who_reads_it(live: LiveCluster, shared_place: Place) -> None:
    with environment(shared_place.environ()):
        with served_api(live, metrics="token", collect=False) as served, served.client(None) as client:
            problem_of(client.get("/metrics"), 401, "access.token")
        with served_api(live, metrics="open", collect=False) as served, served.client(None) as client:
            assert client.get("/metrics", headers={"Host": "other.example"}).status_code == 200


def test_workers_that_answer_nobody_are_no_targets(served: ServedApi) -> None:
    with served.client("viewer") as client:
        assert client.get("/metrics/targets").json() == []


def test_targets_are_where_workers_say_that_they_answer(served: ServedApi) -> None:
    registry = served.live.cluster.workers
    (record,) = registry.listed()
    told = {name: value for name, value in record.items() if name not in {"name", "free"}}
    registry.register("elsewhere", told | {"metrics": "192.0.2.7:9464"}, lifetime_s=60.0)
    try:
        with served.client("viewer") as client:
            assert client.get("/metrics/targets").json() == [{"targets": ["192.0.2.7:9464"], "labels": {}}]
    finally:
        registry.remove("elsewhere")


def test_flood_of_scrapes_is_one_look_a_second(served: ServedApi) -> None:
    connection = served.live.cluster.connection
    before = int(connection.call("INFO", "commandstats")["cmdstat_smembers"]["calls"])
    statuses: list[int] = []

    def flood() -> None:
        with served.client(None) as client:
            statuses.extend(client.get("/metrics").status_code for _ in range(25))

    threads = [threading.Thread(target=flood) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert statuses == [200] * 200
    assert int(connection.call("INFO", "commandstats")["cmdstat_smembers"]["calls"]) - before < 100


def test_cluster_and_its_nodes_are_told_with_their_classes(live: LiveCluster, shared_place: Place) -> None:
    (live.project / "nodes.yaml").write_text("classes:\n  cpu: {cpus: 4, min: 2, max: 9}\n")
    with environment(shared_place.environ()):
        classes = f"--set=metrics.classes={live.project / 'nodes.yaml'}"
        with served_api(live, classes, collect=False) as served, served.client(None) as client:
            page = client.get("/metrics").text

    assert value(page, "taskexec_nodes_wanted", **{"class": "cpu"}) >= 2
