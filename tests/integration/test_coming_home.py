"""A run's folder is the same however often bringing it home was interrupted, repeated, or begun anew elsewhere."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.live import LiveCluster
from support.waiting import wait_until

from taskexec.completion.ledger import check_chain
from taskexec.errors import EvidenceUnwritable
from taskexec.submission import Collector

Fresh = Callable[..., LiveCluster]

COLLECT = """
import sys
from pathlib import Path
from taskexec.store.connection import Connection
from taskexec.store.runs import RedisRunStore
from taskexec.submission import Collector

url, run_id, folder = sys.argv[1:]
store = RedisRunStore(Connection(url))
print("ready", flush=True)
collector = Collector(run_id, store, Path(folder))
while not collector.step(wait_s=0.05):
    pass
collector.finish()
collector.close()
"""

TASKS: list[dict[str, object]] = [
    *({"id": f"noop-{number}"} for number in range(150)),
    *(
        {"id": f"talks-{number}", "command": "head -c 100000 /dev/zero | tr '\\\\0' x; echo no >&2"}
        for number in range(25)
    ),
    *(
        {"id": f"leaves-{number}", "command": 'seq 40000 > "$TEK_OUTPUT/seq"; echo 1 > "$TEK_OUTPUT/one"'}
        for number in range(10)
    ),
    {"id": "fails", "command": 'echo try $TEK_ATTEMPT; test "$TEK_ATTEMPT" = 3', "retries": 2},
    {"id": "fails/for good", "command": "false", "depends_on": "fails"},
    {"id": "skipped", "command": "true", "depends_on": "fails/for good"},
]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def collect_in_process(live: LiveCluster, run_id: str, runs_dir: Path) -> subprocess.Popen[str]:
    """Start bringing a run home in a process of its own; return it once it has loaded everything."""
    process = subprocess.Popen(
        [sys.executable, "-c", COLLECT, live.server.url, run_id, str(runs_dir)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def end(process: subprocess.Popen[str], after_s: float) -> bool:
    """Kill a process after a time; return whether it had ended by itself."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(after_s)
    process.kill()
    process.communicate()
    return process.returncode == 0


def told_by_collecting(live: LiveCluster, run_id: str, runs_dir: Path) -> EvidenceUnwritable | None:
    """Bring a run home as far as it goes; return why it went no further."""
    try:
        with contextlib.closing(Collector(run_id, live.store, runs_dir)) as collector:
            while not collector.step(wait_s=0.05):
                pass
            collector.finish()
    except EvidenceUnwritable as error:
        return error
    return None


def undisturbed(live: LiveCluster, run_id: str) -> dict[str, bytes]:
    folder = live.place.folder / "undisturbed"
    with contextlib.closing(Collector(run_id, live.store, folder)) as collector:
        while not collector.step(wait_s=0.0):
            pass
        collector.finish()
    return contents(folder / run_id)


def test_collector_that_is_killed_again_and_again_leaves_the_same_folder(live: LiveCluster, tmp_path: Path) -> None:
    run_id = live.submit(TASKS)
    draw = random.Random(7)

    for _ in range(12):
        end(collect_in_process(live, run_id, tmp_path), draw.uniform(0.0, 0.15))
    wait_until(lambda: live.store.head(run_id).finished_at, "the end of the run", timeout_s=60.0)
    assert end(collect_in_process(live, run_id, tmp_path), 30.0)

    found, expected = contents(tmp_path / run_id), undisturbed(live, run_id)
    assert sorted(found) == sorted(expected)
    assert [name for name in found if found[name] != expected[name]] == []
    assert check_chain(iter(expected["ledger.jsonl"].splitlines())) is None


def test_collecting_twice_gives_the_same_bytes_and_reads_only_what_is_new(live: LiveCluster, tmp_path: Path) -> None:
    run_id = live.submit(TASKS[150:])
    wait_until(lambda: live.store.head(run_id).finished_at, "the end of the run", timeout_s=60.0)
    assert end(collect_in_process(live, run_id, tmp_path), 30.0)
    first = contents(tmp_path / run_id)

    with contextlib.closing(Collector(run_id, live.store, tmp_path)) as collector:
        is_final_at_once = collector.view.is_final
        collector.step(wait_s=0.0)
        was_news = not collector.is_up_to_date
        collector.finish()

    assert (is_final_at_once, was_news) == (True, False)
    assert contents(tmp_path / run_id) == first


def test_two_collectors_of_one_folder_do_not_meet(live: LiveCluster, tmp_path: Path) -> None:
    run_id = live.submit([{"id": "a"}])

    with contextlib.closing(Collector(run_id, live.store, tmp_path)), pytest.raises(EvidenceUnwritable) as caught:
        Collector(run_id, live.store, tmp_path)

    assert "another command" in caught.value.message


def test_folder_is_begun_anew_when_its_ledger_was_damaged(live: LiveCluster, tmp_path: Path) -> None:
    run_id = live.submit(TASKS[150:])
    wait_until(lambda: live.store.head(run_id).finished_at, "the end of the run", timeout_s=60.0)
    assert end(collect_in_process(live, run_id, tmp_path), 30.0)
    ledger = tmp_path / run_id / "ledger.jsonl"
    ledger.write_bytes(ledger.read_bytes().replace(b'"talks-3"', b'"talks-4"', 1))

    assert end(collect_in_process(live, run_id, tmp_path), 30.0)

    found = contents(tmp_path / run_id)
    assert found.pop("ledger.damaged.jsonl")
    assert found == undisturbed(live, run_id)


def test_disk_that_is_full_at_home_stops_nothing_but_collecting(live: LiveCluster, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    if os.getuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", full]).returncode:
        pytest.skip("a small file system cannot be mounted here")
    run_id = live.submit(TASKS[150:])
    try:
        told = told_by_collecting(live, run_id, full)
        wait_until(lambda: live.store.head(run_id).finished_at, "the end of the run", timeout_s=60.0)
        shutil.copytree(full / run_id, tmp_path / run_id)  # what was written, where there is room
    finally:
        subprocess.run(["umount", full], check=True)
    assert end(collect_in_process(live, run_id, tmp_path), 30.0)

    assert told is not None
    assert told.hint is not None
    assert contents(tmp_path / run_id) == undisturbed(live, run_id)
