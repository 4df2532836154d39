"""Tests of measuring: limits of control groups hold, in both versions, and nonsense there is no limit."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from taskexec.placement import measure_capacity

MIB = 1024 * 1024
MEMORY = psutil.virtual_memory().total // MIB


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")


@pytest.fixture(autouse=True)
def many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))


def test_machine_without_control_groups_gives_all_it_has(tmp_path: Path) -> None:
    capacity = measure_capacity(cgroup_root=tmp_path)

    assert (capacity.cpus, capacity.memory_mib, capacity.slots) == (16.0, MEMORY, 16)


def test_version_two_limits_hold(tmp_path: Path) -> None:
    write(tmp_path, {"cpu.max": "250000 100000", "memory.max": str(512 * MIB)})

    capacity = measure_capacity(cgroup_root=tmp_path)

    assert (capacity.cpus, capacity.memory_mib, capacity.slots) == (2.5, 512, 2)


def test_version_two_without_limits_gives_all(tmp_path: Path) -> None:
    write(tmp_path, {"cpu.max": "max 100000", "memory.max": "max"})

    capacity = measure_capacity(cgroup_root=tmp_path)

    assert (capacity.cpus, capacity.memory_mib) == (16.0, MEMORY)


def test_version_one_limits_hold(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "cpu/cpu.cfs_quota_us": "400000",
            "cpu/cpu.cfs_period_us": "100000",
            "memory/memory.limit_in_bytes": str(256 * MIB),
        },
    )

    capacity = measure_capacity(cgroup_root=tmp_path)

    assert (capacity.cpus, capacity.memory_mib, capacity.slots) == (4.0, 256, 4)


def test_version_one_without_limits_gives_all(tmp_path: Path) -> None:
    write(tmp_path, {"cpu/cpu.cfs_quota_us": "-1", "memory/memory.limit_in_bytes": "9223372036854771712"})

    capacity = measure_capacity(cgroup_root=tmp_path)

    assert (capacity.cpus, capacity.memory_mib) == (16.0, MEMORY)


def test_limit_above_the_machine_is_the_machine(tmp_path: Path) -> None:
    write(tmp_path, {"cpu.max": "9900000 100000", "memory.max": str((MEMORY + 1000) * MIB)})

    capacity = measure_capacity(cgroup_root=tmp_path)

    assert (capacity.cpus, capacity.memory_mib) == (16.0, MEMORY)


def test_share_of_a_core_runs_one_default_task(tmp_path: Path) -> None:
    write(tmp_path, {"cpu.max": "50000 100000"})

    capacity = measure_capacity(cgroup_root=tmp_path)

    assert (capacity.cpus, capacity.slots) == (1.0, 1)


def test_slots_may_be_set(tmp_path: Path) -> None:
    assert measure_capacity(slots=5, cgroup_root=tmp_path).slots == 5
