"""Reading a cluster to simulate: what is taken, and what is said about faults."""

from __future__ import annotations

from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from taskexec.cli.schema import read_schema
from taskexec.domain.resources import Route
from taskexec.errors import PlanRejected
from taskexec.simulation import read_cluster
from taskexec.simulation.spec import TOP_FIELDS, WORKER_FIELDS

ROOT = Path(__file__).parents[3]


def read(tmp_path: Path, text: str):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    return read_cluster(path)


def test_every_field_is_read(tmp_path: Path) -> None:
    cluster = read(
        tmp_path,
        """
version: 1
workers:
  - {name: g, count: 2, cpus: 64.5, memory: 256G, gpus: 2, gpu_memory: 80G, gpu_model: H100, disk: 1T, slots: 7,
     labels: [ssd, zone=a], classes: [cpu, GPU], agents: shell, join_at: 10m, leave_at: 2h, start_overhead_s: 0.5}
  - {name: plain, cpus: 4}
""",
    )

    group, plain = cluster.groups
    assert list(group.names()) == ["g-1", "g-2"]
    assert (group.capacity.cpus, group.capacity.memory_mib, group.capacity.disk_mib) == (64.5, 262_144, 1_048_576)
    assert [(gpu.model, gpu.memory_mib) for gpu in group.capacity.gpus] == [("H100", 81_920)] * 2
    assert (group.capacity.slots, group.capacity.labels) == (7, {"ssd", "zone=a"})
    assert (group.routes, group.agents) == ({Route.CPU, Route.GPU}, {"shell"})
    assert (group.join_at_s, group.leave_at_s, group.start_overhead_s) == (600, 7200, 0.5)
    assert (plain.capacity.slots, plain.routes, plain.agents, plain.join_at_s) == (4, frozenset(Route), None, 0)


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("workers: []", "shape", 1),
        ("workers:\n  - {cpus: 4}", "shape", 2),
        ("workers:\n  - {name: a}", "shape", 2),
        ("workers:\n  - {name: a, cpus: many}", "amount", 2),
        ("workers:\n  - {name: a, cpus: 1, count: 0}", "shape", 2),
        ("workers:\n  - {name: a, cpus: 1, cores: 2}", "unknown_field", 2),
        ("workers:\n  - {name: a, cpus: 1, classes: [tpu]}", "class", 2),
        ("workers:\n  - {name: a, cpus: 1, join_at: 5, leave_at: 5}", "shape", 2),
        ("workers:\n  - {name: a, cpus: 1}\n  - {name: a, cpus: 1}", "name", 2),
        ("version: 3\nworkers:\n  - {name: a, cpus: 1}", "version", 1),
        ("nodes: 3\nworkers:\n  - {name: a, cpus: 1}", "unknown_field", 1),
        ("workers: [", "yaml", 1),
        ("- 3", "shape", 1),
    ],
)
def test_fault_says_what_and_where(tmp_path: Path, text: str, code: str, line: int) -> None:
    with pytest.raises(PlanRejected) as caught:
        read(tmp_path, text)

    faults = caught.value.faults()
    assert [(fault.code, fault.places[0].line) for fault in faults] == [(f"cluster_spec.{code}", line)]


def test_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(PlanRejected) as caught:
        read_cluster(tmp_path / "no.yaml")

    assert caught.value.faults()[0].code == "cluster_spec.missing"


def test_schema_knows_the_same_fields_and_takes_the_example() -> None:
    import yaml

    schema = read_schema("cluster")
    example = ROOT / "examples" / "cluster.yaml"

    assert list(schema["properties"]) == list(TOP_FIELDS)
    assert set(schema["$defs"]["worker"]["properties"]) == set(WORKER_FIELDS)
    assert read_cluster(example).size == 6
    Draft202012Validator(schema).validate(yaml.safe_load(example.read_text()))
