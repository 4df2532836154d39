"""What is deployed for Prometheus and Grafana asks only for what is exported, and its alerts fire when they should."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.deployed import DEPLOY, ROOT

from taskexec.cli.main import COMMANDS
from taskexec.domain.counts import OTHER
from taskexec.observability.metrics import METRICS, Door, MetricKind, exported_series
from taskexec.settings import explain_settings

PROMETHEUS, GRAFANA = DEPLOY / "prometheus", DEPLOY / "grafana"
PLAIN = PROMETHEUS / "prometheus.yml"
RULES = yaml.safe_load((PROMETHEUS / "rules.yml").read_text())
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"]]
TESTED = yaml.safe_load((PROMETHEUS / "tests" / "rules_test.yml").read_text())["tests"]
DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((GRAFANA / "dashboards").glob("*.json"))}
EVERY_DASHBOARD = pytest.mark.parametrize("name", DASHBOARDS)
GUIDE = (ROOT / "docs" / "guides" / "metrics.md").read_text()
NOT_LABELS = {"run", "run_id", "task", "task_id", "attempt", "id", "user"}

needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")


def series_of(expression: str) -> set[str]:
    return set(re.findall(r"\btaskexec_\w+", expression))


def panels(name: str) -> Iterator[dict[str, Any]]:
    for panel in DASHBOARDS[name]["panels"]:
        yield panel
        yield from panel.get("panels", ())


def expressions(name: str) -> list[str]:
    return [target["expr"] for panel in panels(name) for target in panel.get("targets", ())]


def promtool(*arguments: object) -> None:
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_names_begin_with_ours_and_units_are_the_base_ones() -> None:
    for metric in METRICS.values():
        assert re.fullmatch(r"taskexec_[a-z]+(_[a-z]+)*", metric.name)
        assert not re.search(r"_(ms|minutes|kib|mib|gib|percent|count|sum|bucket)$", metric.name)
        assert metric.name.endswith("_total") == (metric.kind is MetricKind.COUNTER)
        assert (metric.kind is MetricKind.HISTOGRAM) == bool(metric.bounds)
        assert metric.help
        assert list(metric.bounds) == sorted(metric.bounds)


def test_no_label_is_as_many_as_tasks_or_runs() -> None:
    for metric in METRICS.values():
        assert not NOT_LABELS & set(metric.labels), metric
        assert "worker" not in metric.labels or metric.name == "taskexec_worker_info"
        assert metric.name.startswith("taskexec_worker_") == (metric.door is Door.WORKER)
        assert "plan" not in metric.labels or metric.door is Door.SUBMITTER


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_alert_asks_for_what_is_exported_and_says_what_to_do(alert: dict[str, Any]) -> None:
    assert series_of(alert["expr"]) <= set(exported_series())
    assert series_of(alert["expr"]) or "up{" in alert["expr"]
    assert alert["labels"]["severity"] in {"warning", "critical"}
    told = alert["annotations"]["summary"] + alert["annotations"]["description"]
    for command in re.findall(r"`tek ([a-z]+)", told):
        assert command in COMMANDS
    keys = {origin.key for origin in explain_settings({})}
    for key in re.findall(r"`([a-z]+\.[a-z_]+)`", told):
        assert key in keys


def test_every_alert_is_tested_to_fire() -> None:
    fired = {case["alertname"] for test in TESTED for case in test.get("alert_rule_test", ()) if case.get("exp_alerts")}

    assert fired == {alert["alert"] for alert in ALERTS}
    assert len(fired) == len(ALERTS)


def test_series_of_the_tests_are_exported_with_their_labels() -> None:
    known = exported_series()
    for test in TESTED:
        for entry in test["input_series"]:
            name, _, rest = entry["series"].partition("{")
            if name != "up":
                told = set(re.findall(r"(\w+)=", rest)) - {"instance", "job", "le"}
                assert told == set(known[name].labels), entry


@needs_promtool
def test_rules_and_settings_of_prometheus_are_valid() -> None:
    promtool("check", "rules", PROMETHEUS / "rules.yml")
    promtool("check", "config", "--syntax-only", PROMETHEUS / "prometheus.yml")
    promtool("check", "config", PROMETHEUS / "compose.yml")


def test_prometheus_of_the_compose_file_asks_services_at_their_ports() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    config = yaml.safe_load((PROMETHEUS / "compose.yml").read_text())
    address = f"api:{compose['api']['environment']['TEK_API_PORT']}"
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}

    assert "--config.file=/etc/prometheus/compose.yml" in compose["prometheus"]["command"]
    assert config["rule_files"] == ["rules.yml"]
    assert jobs["taskexec"]["static_configs"] == [{"targets": [address]}]
    assert jobs["taskexec-workers"]["http_sd_configs"][0]["url"] == f"http://{address}/metrics/targets"
    assert set(jobs) == {job["job_name"] for job in yaml.safe_load(PLAIN.read_text())["scrape_configs"]}
    assert compose["grafana"]["environment"]["PROMETHEUS_URL"] == "http://prometheus:9090"


@needs_promtool
def test_alerts_fire_when_they_should() -> None:
    promtool("test", "rules", PROMETHEUS / "tests" / "rules_test.yml")


@EVERY_DASHBOARD
def test_dashboard_asks_for_what_is_exported(name: str) -> None:
    asked = set().union(*map(series_of, expressions(name)))

    assert asked
    assert asked <= set(exported_series())


@EVERY_DASHBOARD
def test_dashboard_groups_by_labels_that_its_metrics_have(name: str) -> None:
    known = exported_series()
    for expression in expressions(name):
        labels = set().union(*(known[series].labels for series in series_of(expression))) | {"instance", "le", "job"}
        grouped = {label.strip() for part in re.findall(r"\bby \(([^)]*)\)", expression) for label in part.split(",")}
        assert grouped <= labels, expression


@EVERY_DASHBOARD
def test_dashboard_can_be_shown(name: str) -> None:
    dashboard = DASHBOARDS[name]
    ids = [panel["id"] for panel in panels(name)]

    assert dashboard["uid"] == f"taskexec-{name}"
    assert len(ids) == len(set(ids))
    assert dashboard["templating"]["list"][0]["type"] == "datasource"
    places = set()
    for panel in panels(name):
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(x, place["y"]) for x in range(place["x"], place["x"] + place["w"])}
        assert not places & cells, panel["title"]
        places |= cells
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel.get("targets", ()))


def test_dashboards_are_told_apart() -> None:
    assert len({board["uid"] for board in DASHBOARDS.values()}) == len(DASHBOARDS)
    assert len({board["title"] for board in DASHBOARDS.values()}) == len(DASHBOARDS)


@needs_promtool
def test_expressions_of_dashboards_can_be_parsed(tmp_path: Path) -> None:
    found = [expression for name in DASHBOARDS for expression in expressions(name)]
    rules = [
        {"record": f"asked_{number}", "expr": expression.replace("$__rate_interval", "5m").replace("$worker", ".*")}
        for number, expression in enumerate(found)
    ]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}))

    promtool("check", "rules", tmp_path / "rules.yml")


def test_every_metric_of_the_api_and_of_workers_is_looked_at_by_somebody() -> None:
    asked = set().union(*(series_of(one) for name in DASHBOARDS for one in expressions(name)))
    asked |= set().union(*(series_of(alert["expr"]) for alert in ALERTS))

    for metric in METRICS.values():
        if metric.door is not Door.SUBMITTER:
            assert asked & set(metric.series()), metric.name


def test_provisioning_leads_to_the_dashboards() -> None:
    source = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "prometheus.yml").read_text())
    provider = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "taskexec.yml").read_text())

    assert source["datasources"][0]["type"] == "prometheus"
    assert provider["providers"][0]["type"] == "file"


def test_guide_tells_every_metric_once_with_its_labels_and_meaning() -> None:
    rows = re.findall(r"^\| `(taskexec_\w+)` \| (\w+) \| (.*?) \| (.*?) \|$", GUIDE, re.MULTILINE)

    assert rows == [
        (metric.name, str(metric.kind), " ".join(f"`{label}`" for label in metric.labels), metric.help)
        for metric in METRICS.values()
    ]
    assert f"`{OTHER}`" in GUIDE
