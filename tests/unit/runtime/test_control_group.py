"""Tests of control groups on folders that look like those of the kernel: what is written, read, moved, swept."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from taskexec.runtime.control_group import ControlGroups, GroupLimits, find_groups

LIMITS = GroupLimits(memory_mib=512, cpus=2500, processes=40)


def membership(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "membership"
    path.write_text(text)
    return path


def version_2(tmp_path: Path, *, enabled: str = "", members: str = "", own: str = "tek.service") -> Path:
    """Return a root with the worker's group in it; as in the kernel, a group with members has a type."""
    root = tmp_path / "cgroup"
    base = root / own
    base.mkdir(parents=True)
    (root / "cgroup.controllers").write_text("cpu io memory pids")
    for folder in {base, root / own.partition("/")[0]}:
        (folder / "cgroup.controllers").write_text("cpu io memory pids")
        (folder / "cgroup.subtree_control").write_text(enabled)
        (folder / "cgroup.type").write_text("domain")
        (folder / "cgroup.procs").write_text(members)
    return root


def version_1(tmp_path: Path) -> Path:
    root = tmp_path / "cgroup"
    for controller in ("memory", "cpu,cpuacct", "pids", "blkio"):
        (root / controller / "own").mkdir(parents=True)
    for name in ("cpu", "cpuacct"):
        (root / name).symlink_to("cpu,cpuacct")
    return root


V1 = "5:memory:/own\n4:cpu,cpuacct:/own\n3:pids:/own\n2:blkio:/own\n1:name=systemd:/x\n"


def find(root: Path, tmp_path: Path, text: str = "0::/tek.service\n", **options: object) -> ControlGroups:
    groups = find_groups(root=root, membership=membership(tmp_path, text), **options)  # type: ignore[arg-type]
    assert groups is not None
    return groups


def test_version_2_writes_limits_that_end_all_of_a_group_together(tmp_path: Path) -> None:
    groups = find(version_2(tmp_path, enabled="cpu io memory pids"), tmp_path)

    group = groups.make("w@h", 3, LIMITS)

    folder = tmp_path / "cgroup/tek.service" / f"tek.w@h.{os.getpid()}-3"
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        "memory.max": str(512 * 2**20),
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "cpu.weight": "250",
        "pids.max": "40",
    }
    assert group.entries == [f"{folder}/cgroup.procs"]


def test_version_2_tells_usage_and_kills(tmp_path: Path) -> None:
    groups = find(version_2(tmp_path, enabled="cpu io memory pids"), tmp_path)
    group = groups.make("w@h", 1, LIMITS)
    folder = Path(group.entries[0]).parent
    (folder / "memory.peak").write_text("1048577\n")
    (folder / "memory.events").write_text("low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 1\n")
    (folder / "cpu.stat").write_text("usage_usec 1500000\nuser_usec 1\n")
    (folder / "io.stat").write_text("8:0 rbytes=10 wbytes=20 rios=1\n8:16 rbytes=1 wbytes=2 rios=1\n")

    assert group.usage() == (1.5, 1_048_577, 11, 22)
    assert group.oom_kills() == 2


def test_version_2_group_that_is_killed_is_killed_at_once(tmp_path: Path) -> None:
    groups = find(version_2(tmp_path, enabled="cpu io memory pids"), tmp_path)
    group = groups.make("w@h", 1, LIMITS)
    kill = Path(group.entries[0]).parent / "cgroup.kill"
    kill.write_text("")

    group.kill()

    assert kill.read_text() == "1"


def test_worker_and_its_relatives_make_room_for_groups_with_limits(tmp_path: Path) -> None:
    root = version_2(tmp_path, members="7\n8\n")
    members = root / "tek.service/cgroup.procs"

    def relatives() -> set[int]:
        members.write_text("")  # the kernel takes out who is moved
        return {7, 8, 9}

    groups = find(root, tmp_path, relatives=relatives)

    assert (root / "tek.service/tek-main/cgroup.procs").read_text() in {"7", "8"}
    assert (root / "tek.service/cgroup.subtree_control").read_text() == "+memory +cpu +pids +io"
    assert groups.has("memory")


def test_nobody_is_moved_who_is_no_relative(tmp_path: Path) -> None:
    root = version_2(tmp_path, members="7\n8\n")

    found = find_groups(root=root, membership=membership(tmp_path, "0::/tek.service\n"), relatives=lambda: {7})

    assert found is None
    assert not (root / "tek.service/tek-main").exists()


def test_nobody_is_moved_by_who_only_looks(tmp_path: Path) -> None:
    root = version_2(tmp_path, members="7\n")

    assert find_groups(root=root, membership=membership(tmp_path, "0::/tek.service\n")) is None


def test_worker_that_has_moved_makes_groups_beside_its_own(tmp_path: Path) -> None:
    root = version_2(tmp_path, enabled="cpu io memory pids", own="tek.service/tek-main")

    groups = find(root, tmp_path, "0::/tek.service/tek-main\n")

    assert groups.folders["memory"] == root / "tek.service"


def test_version_1_writes_limits_to_the_controllers_that_are_there(tmp_path: Path) -> None:
    root = version_1(tmp_path)
    groups = find(root, tmp_path, V1)

    group = groups.make("w@h", 1, LIMITS)

    name = f"tek.w@h.{os.getpid()}-1"
    assert (root / "memory/own" / name / "memory.limit_in_bytes").read_text() == str(512 * 2**20)
    assert (root / "cpu,cpuacct/own" / name / "cpu.shares").read_text() == "2560"
    assert (root / "pids/own" / name / "pids.max").read_text() == "40"
    assert len(group.entries) == 4  # `cpu` and `cpuacct` are one


def test_version_1_tells_usage(tmp_path: Path) -> None:
    root = version_1(tmp_path)
    group = find(root, tmp_path, V1).make("w@h", 1, LIMITS)
    name = f"own/tek.w@h.{os.getpid()}-1"
    (root / "memory" / name / "memory.max_usage_in_bytes").write_text("4096\n")
    (root / "memory" / name / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n")
    (root / "cpuacct" / name / "cpuacct.usage").write_text("2500000000\n")
    (root / "blkio" / name / "blkio.throttle.io_service_bytes").write_text("8:0 Read 5\n8:0 Write 6\nTotal 11\n")

    assert group.usage() == (2.5, 4096, 5, 6)
    assert group.oom_kills() == 1


def test_container_in_which_the_mount_is_the_own_group_is_understood(tmp_path: Path) -> None:
    root = version_1(tmp_path)

    groups = find(root, tmp_path, V1.replace("/own", "/docker/0123"))

    assert groups.folders["memory"] == root / "memory"


def test_groups_that_may_not_be_made_are_not_used(tmp_path: Path) -> None:
    root = tmp_path / "cgroup"
    (root / "memory").mkdir(parents=True)

    assert find_groups(root=root, membership=tmp_path / "nothing") is None
    assert find_groups(root=root, membership=membership(tmp_path, "1:cpu:/\n")) is None


def test_group_that_cannot_be_limited_is_not_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    groups = find(version_1(tmp_path), tmp_path, V1)

    def refuse(self: Path, text: str) -> int:
        raise PermissionError

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(PermissionError):
        groups.make("w@h", 1, LIMITS)

    assert not list((tmp_path / "cgroup").rglob("tek.*"))


def test_sweep_removes_what_is_left_and_nothing_else(tmp_path: Path) -> None:
    groups = find(version_1(tmp_path), tmp_path, V1)
    for name in ("tek.gone@h.17-1", "tek.a.b@h.18-2", "tek-main", "other"):
        (groups.folders["memory"] / name).mkdir()
        (groups.folders["pids"] / name).mkdir()
    asked: list[tuple[str, int]] = []

    def is_left(worker: str, pid: int) -> bool:
        asked.append((worker, pid))
        return pid == 17

    assert groups.sweep(is_left) == 1
    assert set(asked) == {("gone@h", 17), ("a.b@h", 18)}
    assert {path.name for path in groups.folders["memory"].iterdir()} == {"tek.a.b@h.18-2", "tek-main", "other"}
