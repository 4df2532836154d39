"""Limits of evidence: what goes beyond is cut, counted and told; evidence that cannot be kept is no success."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.live import LiveCluster
from support.tek import EXECUTABLE

Fresh = Callable[..., LiveCluster]
MIB = 1024 * 1024


def test_run_that_passes_its_limit_is_cut_and_says_so(fresh: Fresh) -> None:
    live = fresh(evidence__run_limit_mib=1)
    live.start_worker(slots=1)
    tasks = [{"id": f"t{number}", "command": "head -c 400000 /dev/zero"} for number in range(4)]

    home = live.carry_out(tasks)

    accounts = [home.record(str(task["id"]))["files"]["stdout.log"] for task in tasks]
    assert sum(account["bytes"] for account in accounts) <= MIB
    assert all(account["bytes"] + account.get("truncated", 0) == 400_000 for account in accounts)
    cut = [task["id"] for task, account in zip(tasks, accounts, strict=True) if "truncated" in account]
    assert len(cut) == 2
    assert home.summary["truncated"] == 2
    assert [task for task, result in home.results.items() if "truncated_bytes" in result] == cut
    for task, account in zip(tasks, accounts, strict=True):
        content = (home.attempt(str(task["id"])) / "stdout.log").read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (account["bytes"], account["sha256"])
    assert {result["status"] for result in home.results.values()} == {"succeeded"}


def test_status_says_how_many_tasks_were_cut(fresh: Fresh) -> None:
    live = fresh(evidence__run_limit_mib=1)
    live.start_worker(slots=1)
    home = live.carry_out([{"id": "a", "command": "head -c 3000000 /dev/zero"}])

    told = subprocess.run(
        [str(EXECUTABLE), "status", home.summary["run_id"], "--broker", live.server.url],
        cwd=live.place.tmp,
        env=live.place.environ(),
        capture_output=True,
        text=True,
        check=True,
    )

    assert "evidence of 1 task was cut at a limit" in told.stdout


def test_spooled_files_of_an_attempt_are_cut_at_their_limit(fresh: Fresh) -> None:
    live = fresh(evidence__spool_above_mib=1, evidence__file_limit_mib=3)
    live.start_worker(slots=1)

    command = 'cd "$TEK_OUTPUT"; for name in a b c; do head -c 2097152 /dev/zero > $name; done'
    home = live.carry_out([{"id": "t", "command": command}])

    files = home.record("t")["files"]
    kept = [(files[f"files/{name}"]["bytes"], files[f"files/{name}"].get("truncated")) for name in "abc"]
    assert kept == [(2 * MIB, None), (MIB, MIB), (0, 2 * MIB)]
    assert [(home.attempt("t") / "files" / name).stat().st_size for name in "abc"] == [2 * MIB, MIB, 0]
    assert home.results["t"]["truncated_bytes"] == 3 * MIB


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes; only root can make one."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.getuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder]).returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_disk_that_is_full_on_the_worker_is_no_success(fresh: Fresh, small_disk: Path) -> None:
    live = fresh(evidence__spool_above_mib=1, worker__spool_dir=small_disk / "spool", worker__max_attempts=1)
    live.start_worker(slots=1)

    home = live.carry_out([{"id": "a", "command": 'head -c 5000000 /dev/zero > "$TEK_OUTPUT/big"'}])

    result = home.results["a"]
    assert (result["status"], result["reason"]) == ("failed", "infrastructure")
    assert "evidence could not be kept: No space left on device" in result["error"]
    assert not list((small_disk / "spool").rglob("*.part"))
