"""Tests of what is offered: what was measured without a reserve, unless the owner says otherwise."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest
from support.fake_nvml import FakeDevice, FakeNvml

from taskexec.domain.resources import Gpu, Route
from taskexec.errors import UsageError
from taskexec.placement import capacity as capacity_module
from taskexec.placement import make_offer, measure_offer, measure_offers
from taskexec.placement.cgroups import Limits
from taskexec.placement.gpus import FoundGpu, GpuFindings, find_gpus
from taskexec.placement.machine import Machine, measure_machine
from taskexec.placement.nvml import open_nvml
from taskexec.settings import WorkerSettings

MIB = 1024 * 1024
MEMORY = psutil.virtual_memory().total // MIB
GPUS = tuple(FoundGpu(Gpu(f"GPU-{number}", "Fake", 1024), number) for number in range(3))
MACHINE = Machine(cpus=8.0, memory_mib=10_000, disk_mib=200_000, gpus=GPUS, driver="570.1")


@pytest.fixture
def many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))


@pytest.fixture
def three_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    module = FakeNvml(*(FakeDevice(gpu.gpu.uuid) for gpu in GPUS))
    monkeypatch.setattr(capacity_module, "find_gpus", lambda: find_gpus(lambda: open_nvml(lambda: module), environ={}))


def offered_gpus(worker: WorkerSettings, *routes: Route) -> list[str]:
    return [gpu.uuid for gpu in measure_offer(worker, routes or tuple(Route)).capacity.gpus]


@pytest.mark.usefixtures("many_cores")
def test_machine_without_limits_has_all(tmp_path: Path) -> None:
    machine = measure_machine(limits=Limits(), scratch=tmp_path)

    assert (machine.cpus, machine.memory_mib) == (16.0, MEMORY)
    assert machine.disk_mib > 0


@pytest.mark.usefixtures("many_cores")
def test_limits_of_groups_hold() -> None:
    machine = measure_machine(limits=Limits(2.5, 512 * MIB))

    assert (machine.cpus, machine.memory_mib) == (2.5, 512)


@pytest.mark.usefixtures("many_cores")
def test_limit_above_the_machine_is_the_machine() -> None:
    machine = measure_machine(limits=Limits(99.0, (MEMORY + 1000) * MIB))

    assert (machine.cpus, machine.memory_mib) == (16.0, MEMORY)


def test_missing_scratch_folder_has_no_disk() -> None:
    assert measure_machine(limits=Limits(), scratch=Path("/nowhere")).disk_mib == 0


def test_what_was_found_of_gpus_is_kept() -> None:
    machine = measure_machine(gpus=GpuFindings(GPUS, "570.1", ("a note",)))

    assert (machine.gpus, machine.driver, machine.notes) == (GPUS, "570.1", ("a note",))


def test_offer_is_the_machine_without_a_reserve() -> None:
    offer = make_offer(MACHINE, WorkerSettings())

    offered = offer.capacity
    assert (offered.cpus, offered.slots, offered.memory_mib, offered.disk_mib) == (8.0, 8, 9_500, 198_976)
    assert [gpu.uuid for gpu in offered.gpus] == ["GPU-0", "GPU-1", "GPU-2"]
    assert (offer.driver, offer.notes, offered.labels) == ("570.1", (), frozenset())


def test_reserve_may_be_set() -> None:
    worker = WorkerSettings(reserve_cpus=1.5, reserve_memory_mib=4_000, reserve_disk_mib=0)

    offered = make_offer(MACHINE, worker).capacity

    assert (offered.cpus, offered.slots, offered.memory_mib, offered.disk_mib) == (6.5, 6, 6_000, 200_000)


def test_reserve_above_the_machine_leaves_one_core_and_no_memory() -> None:
    offered = make_offer(MACHINE, WorkerSettings(reserve_cpus=100, reserve_memory_mib=100_000)).capacity

    assert (offered.cpus, offered.slots, offered.memory_mib) == (1.0, 1, 0)


def test_share_of_a_core_counts_as_one() -> None:
    offered = make_offer(Machine(cpus=0.5, memory_mib=100), WorkerSettings()).capacity

    assert (offered.cpus, offered.slots) == (1.0, 1)


def test_what_the_owner_gives_is_offered_whole_and_told_where_it_is_not_there() -> None:
    worker = WorkerSettings.model_validate(
        {
            "cpus": 64,
            "memory": "256G",
            "disk": "2T",
            "gpus": "2:24G",
            "labels": ["big", "zone=a"],
            "reserve_cpus": 4,
            "reserve_memory_mib": 500,
        }
    )

    offer = make_offer(MACHINE, worker)

    offered = offer.capacity
    assert (offered.cpus, offered.slots, offered.memory_mib, offered.disk_mib) == (64.0, 64, 262_144, 2_097_152)
    assert offered.gpus == (Gpu("declared-0", "declared", 24_576), Gpu("declared-1", "declared", 24_576))
    assert offered.labels == {"big", "zone=a"}
    assert offer.notes == (
        "GPUs declared, without hardware: 2",
        "64 cpus are declared, 8 were measured",
        "256G of memory are declared, 9.8G measured",
    )


def test_part_of_what_is_there_is_not_told() -> None:
    assert make_offer(MACHINE, WorkerSettings(cpus=2, memory=100)).notes == ()


def test_slots_may_be_set_without_the_cores() -> None:
    offered = make_offer(MACHINE, WorkerSettings(concurrency=5)).capacity

    assert (offered.cpus, offered.slots) == (8.0, 5)


def test_part_of_a_core_that_is_given_has_one_slot() -> None:
    offered = make_offer(MACHINE, WorkerSettings(cpus=0.5)).capacity

    assert (offered.cpus, offered.slots) == (0.5, 1)


@pytest.mark.usefixtures("three_gpus")
@pytest.mark.parametrize(
    ("gpus", "offered"),
    [
        (None, ["GPU-0", "GPU-1", "GPU-2"]),
        ("none", []),
        ("0", []),
        ("2,GPU-0", ["GPU-2", "GPU-0"]),
        ("1,", ["GPU-1"]),
        ("1", ["declared-0"]),
    ],
)
def test_owner_chooses_the_gpus(gpus: str | None, offered: list[str]) -> None:
    assert offered_gpus(WorkerSettings(gpus=gpus)) == offered


@pytest.mark.usefixtures("three_gpus")
def test_worker_of_cpu_alone_offers_gpus_only_when_told_to() -> None:
    assert offered_gpus(WorkerSettings(), Route.CPU) == []
    assert offered_gpus(WorkerSettings(), Route.CPU, Route.GPU) == ["GPU-0", "GPU-1", "GPU-2"]
    assert offered_gpus(WorkerSettings(gpus="1,"), Route.CPU) == ["GPU-1"]


@pytest.mark.usefixtures("three_gpus")
def test_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError) as refused:
        measure_offer(WorkerSettings(gpus="0,7"))

    assert "`7`" in refused.value.message
    assert "GPU-2" in str(refused.value.hint)


@pytest.mark.usefixtures("three_gpus", "many_cores")
def test_workers_of_one_machine_share_it_and_no_gpu_twice() -> None:
    first, second = (offer.capacity for offer in measure_offers(WorkerSettings(), count=2))

    assert first.cpus == second.cpus <= 8.0
    assert first.memory_mib + second.memory_mib <= MEMORY
    assert [[gpu.uuid for gpu in has.gpus] for has in (first, second)] == [["GPU-0", "GPU-2"], ["GPU-1"]]


def test_amounts_that_are_given_hold_for_each_of_the_workers() -> None:
    offers = measure_offers(WorkerSettings(cpus=16, gpus="2"), count=2)

    assert [(offer.capacity.cpus, len(offer.capacity.gpus)) for offer in offers] == [(16.0, 2), (16.0, 2)]
