"""Tests of workers that are expected: those of a described cluster, as admission sees them."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskexec.cluster.expected import described_workers, expected_workers
from taskexec.domain.resources import Needs, Route
from taskexec.domain.task import Task
from taskexec.errors import Place
from taskexec.plan import Graph, Plan
from taskexec.settings import SettingsRejected, load_settings
from taskexec.simulation import read_cluster
from taskexec.submission import unmet

SPEC = """version: 1
workers:
  - {name: big, count: 1000, cpus: 64, memory: 256G, classes: [cpu, distributed], join_at: 10m}
  - {name: own, cpus: 2, agents: [mine]}
"""


def plan_of(*needs: Needs, agent: str = "shell", route: Route = Route.CPU) -> Plan:
    tasks = tuple(Task(id=f"t{at}", needs=each, agent=agent, route=route) for at, each in enumerate(needs))
    return Plan(
        "p.csv", "csv", tasks, tuple(Place("p.csv", at + 2) for at in range(len(tasks))), Graph.of([] for _ in tasks)
    )


@pytest.fixture
def described(tmp_path: Path) -> Path:
    path = tmp_path / "cluster.yaml"
    path.write_text(SPEC)
    return path


@pytest.mark.parametrize(("nodes", "names"), [(1, ["big-1", "own"]), (3, ["big-1", "big-2", "big-3", "own"])])
def test_of_equal_workers_only_as_many_are_looked_at_as_a_task_could_need(
    described: Path, nodes: int, names: list[str]
) -> None:
    workers = described_workers(read_cluster(described), plan_of(Needs(nodes=nodes), Needs()))

    assert [worker.name for worker in workers] == names
    assert [worker.agents for worker in workers if worker.name == "own"] == [frozenset({"mine"})]


def test_distributed_task_finds_its_ranks_among_equal_workers(described: Path) -> None:
    plan = plan_of(Needs(cpus=64, nodes=3), route=Route.DISTRIBUTED)

    assert unmet(plan, described_workers(read_cluster(described), plan)) == []


def test_expected_worker_that_comes_nearest_is_told_as_expected(described: Path, tmp_path: Path) -> None:
    plan = plan_of(Needs(cpus=65))
    settings = load_settings({"cluster.expected": str(described)}, cwd=tmp_path, environ={})

    (fault,) = unmet(plan, expected_workers(settings, plan))

    assert fault.message.endswith("it asks for 65 cpus of 64 on the nearest worker, `big-1`, which is expected")


def test_file_of_expected_workers_is_found_from_the_folder_of_the_settings(described: Path, tmp_path: Path) -> None:
    (tmp_path / "tek.toml").write_text('[cluster]\nexpected = "cluster.yaml"\n')
    below = tmp_path / "below"
    below.mkdir()

    workers = expected_workers(load_settings({}, cwd=below, environ={}), plan_of(Needs()))

    assert [worker.is_expected for worker in workers] == [True, True]


def test_nobody_is_expected_unless_that_is_said(tmp_path: Path) -> None:
    assert expected_workers(load_settings({}, cwd=tmp_path, environ={}), plan_of(Needs())) == []


def test_faults_of_the_file_are_told_with_their_places(described: Path, tmp_path: Path) -> None:
    described.write_text("workers:\n  - {name: big}\n")
    settings = load_settings({"cluster.expected": str(described)}, cwd=tmp_path, environ={})

    with pytest.raises(SettingsRejected) as rejected:
        expected_workers(settings, plan_of(Needs()))

    assert [fault.places[0] for fault in rejected.value.faults()] == [Place(str(described), 2, 5)]


def test_file_that_is_missing_is_told_with_the_setting_that_names_it(tmp_path: Path) -> None:
    settings = load_settings({"cluster.expected": str(tmp_path / "none.yaml")}, cwd=tmp_path, environ={})

    with pytest.raises(SettingsRejected) as rejected:
        expected_workers(settings, plan_of(Needs()))

    (fault,) = rejected.value.faults()
    assert (fault.code, fault.places) == ("cluster_spec.missing", (Place(str(tmp_path / "none.yaml")),))
    assert "`cluster.expected`" in (fault.hint or "")
