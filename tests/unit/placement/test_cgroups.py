"""Tests of control groups: the tightest limit of a group and all around it holds, in both versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskexec.placement.cgroups import Limits, read_limits

MIB = 1024 * 1024


class Groups:
    """A folder of /proc and mounted trees, for one process."""

    def __init__(self, folder: Path) -> None:
        self.proc = folder / "proc"
        self.mount = folder / "mnt"
        self.proc.mkdir()

    def mount_2(self, path: str, *, root: str = "/") -> None:
        self._add(f"0::{path}", f"30 23 0:26 {root} {self.mount} rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate")

    def mount_1(self, controller: str, path: str, *, root: str = "/") -> None:
        options = "cpu,cpuacct" if controller == "cpu" else controller
        folder = self.mount / controller
        self._add(f"4:{options}:{path}", f"35 31 0:32 {root} {folder} rw - cgroup cgroup rw,{options}")

    def write(self, name: str, text: str) -> None:
        path = self.mount / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")

    def limits(self) -> Limits:
        return read_limits(self.proc)

    def _add(self, group: str, mount: str) -> None:
        for name, line in (("cgroup", group), ("mountinfo", mount)):
            with (self.proc / name).open("a") as file:
                file.write(f"{line}\n")


@pytest.fixture
def groups(tmp_path: Path) -> Groups:
    return Groups(tmp_path)


def test_machine_without_control_groups_limits_nothing(groups: Groups) -> None:
    assert groups.limits() == Limits()


def test_version_two_limits_of_the_own_group_hold(groups: Groups) -> None:
    groups.mount_2("/system.slice/tek.service")
    groups.write("system.slice/tek.service/cpu.max", "250000 100000")
    groups.write("system.slice/tek.service/memory.max", str(512 * MIB))

    assert groups.limits() == Limits(2.5, 512 * MIB)


def test_version_two_limits_of_groups_around_hold(groups: Groups) -> None:
    groups.mount_2("/a/b/c")
    groups.write("a/cpu.max", "150000 100000")
    groups.write("a/b/cpu.max", "400000 100000")
    groups.write("a/b/c/cpu.max", "max 100000")
    groups.write("a/b/memory.max", str(256 * MIB))
    groups.write("a/b/c/memory.max", "max")

    assert groups.limits() == Limits(1.5, 256 * MIB)


def test_group_beside_the_own_one_limits_nothing(groups: Groups) -> None:
    groups.mount_2("/a/b")
    groups.write("a/other/cpu.max", "100000 100000")
    groups.write("other/memory.max", str(MIB))

    assert groups.limits() == Limits()


def test_memory_above_which_a_group_is_slowed_down_is_a_limit(groups: Groups) -> None:
    groups.mount_2("/a")
    groups.write("a/memory.max", str(512 * MIB))
    groups.write("a/memory.high", str(400 * MIB))

    assert groups.limits().memory_bytes == 400 * MIB


def test_version_one_limits_hold_for_each_controller(groups: Groups) -> None:
    groups.mount_1("cpu", "/x/y")
    groups.mount_1("memory", "/z")
    groups.write("cpu/x/cpu.cfs_quota_us", "400000")
    groups.write("cpu/x/cpu.cfs_period_us", "100000")
    groups.write("cpu/x/y/cpu.cfs_quota_us", "-1")
    groups.write("cpu/x/y/cpu.cfs_period_us", "100000")
    groups.write("memory/z/memory.limit_in_bytes", str(256 * MIB))

    assert groups.limits() == Limits(4.0, 256 * MIB)


def test_version_one_without_limits_limits_nothing(groups: Groups) -> None:
    groups.mount_1("cpu", "/")
    groups.mount_1("memory", "/")
    groups.write("cpu/cpu.cfs_quota_us", "-1")
    groups.write("memory/memory.limit_in_bytes", "9223372036854771712")
    groups.write("memory/memory.stat", "cache 0\nhierarchical_memory_limit 9223372036854771712")

    assert groups.limits() == Limits()


def test_version_one_memory_of_groups_that_are_hidden_holds(groups: Groups) -> None:
    groups.mount_1("memory", "/")
    groups.write("memory/memory.limit_in_bytes", "9223372036854771712")
    groups.write("memory/memory.stat", f"cache 0\nhierarchical_memory_limit {128 * MIB}")

    assert groups.limits().memory_bytes == 128 * MIB


def test_both_versions_side_by_side_hold_together(groups: Groups) -> None:
    groups.mount_2("/")
    groups.mount_1("memory", "/")
    groups.write("cpu.max", "300000 100000")
    groups.write("memory/memory.limit_in_bytes", str(64 * MIB))

    assert groups.limits() == Limits(3.0, 64 * MIB)


@pytest.mark.parametrize("path", ["/docker/1234", "/docker/1234/", "/elsewhere", "/../outside"])
def test_container_sees_its_limits_at_the_mount(groups: Groups, path: str) -> None:
    groups.mount_1("memory", path, root="/docker/1234")
    groups.write("memory/memory.limit_in_bytes", str(64 * MIB))

    assert groups.limits().memory_bytes == 64 * MIB


def test_group_below_what_is_mounted_is_found(groups: Groups) -> None:
    groups.mount_2("/docker/1234/inner", root="/docker/1234")
    groups.write("inner/cpu.max", "50000 100000")

    assert groups.limits().cpus == 0.5


def test_mount_with_a_blank_in_its_path_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "a b"
    folder.mkdir()
    groups = Groups(folder)
    escaped = str(groups.mount).replace(" ", "\\040")
    (groups.proc / "cgroup").write_text("0::/\n")
    (groups.proc / "mountinfo").write_text(f"30 23 0:26 / {escaped} rw - cgroup2 cgroup2 rw\n")
    groups.write("cpu.max", "100000 100000")

    assert groups.limits().cpus == 1.0


@pytest.mark.parametrize("text", ["", "nonsense", "12", "a:b", "- -", "1 2 3 - cgroup", "9::"])
def test_nonsense_limits_nothing(groups: Groups, text: str) -> None:
    (groups.proc / "cgroup").write_text(f"{text}\n0::/\n")
    (groups.proc / "mountinfo").write_text(f"{text}\n30 23 0:26 / {groups.mount} rw - cgroup2 cgroup2 rw\n")
    groups.write("cpu.max", text)
    groups.write("memory.max", "nonsense")

    assert groups.limits().memory_bytes is None


def test_this_process_can_be_asked() -> None:
    limits = read_limits()

    assert limits.cpus is None or limits.cpus > 0
