"""Large files stay with the worker until they are fetched: digest by digest, with bounded memory, resumably."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import psutil
import pytest
from support.live import Home, LiveCluster
from support.waiting import wait_until

from taskexec.cluster import local_spool
from taskexec.store.files import FileChannel, FileRequest, new_reader
from taskexec.submission import Collector

Fresh = Callable[..., LiveCluster]
MIB = 1024 * 1024


def leaving(size_mib: int, name: str = "big") -> str:
    """Return a command that leaves a file in which every block is another one."""
    return f'i=0; while [ $i -lt {size_mib} ]; do head -c {MIB} /dev/urandom; i=$((i+1)); done > "$TEK_OUTPUT/{name}"'


def elsewhere(live: LiveCluster, run_id: str) -> Collector:
    """Return a collector on a machine that is not the worker's: it sees no spool."""
    return Collector(run_id, live.store, live.place.folder / "elsewhere")


def await_end(live: LiveCluster, run_id: str) -> None:
    wait_until(lambda: live.store.head(run_id).finished_at, "the end of the run", timeout_s=60.0, diagnose=live.log)


def bring_home(collector: Collector) -> tuple[Home, dict[str, Any]]:
    with contextlib.closing(collector):
        while not collector.step(wait_s=0.0):
            pass
        summary = collector.finish()
        return Home(collector.folder.path), summary


def test_large_file_is_linked_home_on_the_same_machine_without_a_worker(fresh: Fresh) -> None:
    live = fresh(evidence__spool_above_mib=1)
    worker = live.start_worker(slots=1)
    run_id = live.submit([{"id": "a", "command": leaving(3)}])
    await_end(live, run_id)
    worker.kill()

    home, summary = bring_home(live.cluster.collector(run_id))

    entry = home.record("a")["files"]["files/big"]
    content = (home.attempt("a") / "files" / "big").read_bytes()
    assert (entry["bytes"], len(content)) == (3 * MIB, 3 * MIB)
    assert entry["sha256"] == hashlib.sha256(content).hexdigest()
    assert summary["pending_files"] == []
    assert home.transitions("succeeded", "a")[0]["evidence"]["files/big"] == entry["sha256"]
    assert live.store.read_output(run_id) == []


def test_large_file_comes_to_another_machine_through_the_server(fresh: Fresh) -> None:
    live = fresh(evidence__spool_above_mib=1)
    live.start_worker(slots=1)
    run_id = live.submit([{"id": "a", "command": leaving(5)}])
    await_end(live, run_id)

    home, summary = bring_home(elsewhere(live, run_id))

    content = (home.attempt("a") / "files" / "big").read_bytes()
    assert hashlib.sha256(content).hexdigest() == home.record("a")["files"]["files/big"]["sha256"]
    assert summary["pending_files"] == []
    assert [path.name for path in home.attempt("a").iterdir() if path.name.startswith(".")] == []


def test_file_out_of_reach_is_pending_and_said_so_and_comes_later(fresh: Fresh) -> None:
    live = fresh(evidence__spool_above_mib=1)
    worker = live.start_worker(slots=1)
    run_id = live.submit([{"id": "a", "command": leaving(2)}])
    await_end(live, run_id)
    worker.kill()
    live.cluster.lose_worker(worker.name)

    home, first = bring_home(elsewhere(live, run_id))

    (pending,) = first["pending_files"]
    record = home.record("a")
    assert {name: pending[name] for name in ("task", "attempt", "file", "bytes", "host", "state")} == {
        "task": "a",
        "attempt": 1,
        "file": "files/big",
        "bytes": 2 * MIB,
        "host": record["host"],
        "state": "pending",
    }
    assert home.summary["pending_files"] == [pending]
    assert not (home.attempt("a") / "files" / "big").exists()

    live.start_worker(slots=1)  # another worker of the host serves its spool
    home, second = bring_home(elsewhere(live, run_id))

    assert second["pending_files"] == []
    assert (home.attempt("a") / "files" / "big").stat().st_size == 2 * MIB


def test_transfer_goes_on_where_it_stopped(fresh: Fresh) -> None:
    live = fresh(evidence__spool_above_mib=1)
    live.start_worker(slots=1)
    run_id = live.submit([{"id": "a", "command": leaving(4)}])
    await_end(live, run_id)
    spooled = next(path for path in (local_spool(live.settings).folder / run_id).iterdir() if len(path.name) == 64)
    with contextlib.closing(elsewhere(live, run_id)) as interrupted:
        while not interrupted.step(wait_s=0.0):
            pass
        (file,) = interrupted.folder.pending
    folder = interrupted.folder.path / "tasks" / "a" / "attempt-1"
    marked = bytearray(spooled.read_bytes()[: 2 * MIB + 5])
    (folder / f".fetch-{file.sha256}").write_bytes(marked)
    with spooled.open("r+b") as kept:  # what is at home already is not asked for again
        kept.write(b"\0" * MIB)

    home, summary = bring_home(elsewhere(live, run_id))

    assert summary["pending_files"] == []
    content = (home.attempt("a") / "files" / "big").read_bytes()
    assert hashlib.sha256(content).hexdigest() == spooled.name


def test_file_that_is_no_longer_what_it_was_never_counts(fresh: Fresh) -> None:
    live = fresh(evidence__spool_above_mib=1)
    live.start_worker(slots=1)
    run_id = live.submit([{"id": "a", "command": leaving(2)}])
    await_end(live, run_id)
    spooled = next(path for path in (local_spool(live.settings).folder / run_id).iterdir() if len(path.name) == 64)
    with spooled.open("r+b") as file:
        file.write(b"changed")

    home, summary = bring_home(elsewhere(live, run_id))

    assert [file["state"] for file in summary["pending_files"]] == ["gone"]
    assert not (home.attempt("a") / "files" / "big").exists()


def test_worker_that_dies_during_a_transfer_is_waited_for(fresh: Fresh) -> None:
    live = fresh(evidence__spool_above_mib=1)
    worker = live.start_worker(slots=1)
    run_id = live.submit([{"id": "a", "command": leaving(40)}])
    await_end(live, run_id)
    collector = elsewhere(live, run_id)

    with contextlib.closing(collector):
        while not collector.step(wait_s=0.0):
            pass
        (file,) = collector.folder.pending
        part = collector.folder.fetching(file)
        collector._fetcher.go_on(lambda: part.is_file() and part.stat().st_size > 4 * MIB)
        assert 0 < part.stat().st_size < 40 * MIB
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
        wait_until(worker.tend, "the death of the worker")
        summary = collector.finish()

    assert summary["pending_files"] == []
    path = Home(collector.folder.path).attempt("a") / "files" / "big"
    with path.open("rb") as content:
        assert hashlib.file_digest(content, "sha256").hexdigest() == file.sha256


def test_server_that_restarts_during_a_transfer_is_waited_for(fresh: Fresh) -> None:
    live = fresh(evidence__spool_above_mib=1)
    live.start_worker(slots=1)
    run_id = live.submit([{"id": "a", "command": leaving(20)}])
    await_end(live, run_id)

    with contextlib.closing(elsewhere(live, run_id)) as collector, ThreadPoolExecutor(1) as pool:
        while not collector.step(wait_s=0.0):
            pass
        (file,) = collector.folder.pending
        part = collector.folder.fetching(file)
        collector._fetcher.go_on(lambda: part.is_file() and part.stat().st_size > 2 * MIB)
        live.server.stop()
        coming = pool.submit(collector._fetcher.go_on, lambda: False)
        wait({coming}, timeout=0.5)
        live.server.start()
        assert coming.result(60.0)
        summary = collector.finish()

    assert summary["pending_files"] == []
    path = Home(collector.folder.path).attempt("a") / "files" / "big"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256


def test_requests_that_lead_out_of_the_spool_are_refused(fresh: Fresh) -> None:
    live = fresh(evidence__spool_above_mib=1)
    live.start_worker(slots=1)
    spool = local_spool(live.settings)
    (spool.folder.parent / ("0" * 64)).write_text("secret")
    channel = FileChannel(live.cluster.connection)

    errors = []
    for run_id, sha256 in [("..", "0" * 64), (".", "id"), ("run", "../id"), ("run", "0" * 64)]:
        reader = new_reader()
        channel.ask(spool.id, FileRequest(run_id, sha256, 0, 100, reader))
        piece = channel.answer_to(reader, wait_s=5.0)
        assert piece is not None
        errors.append((piece.data, bool(piece.error)))

    assert errors == [(b"", True)] * 4


def resident_mib(process: psutil.Process) -> float:
    return process.memory_info().rss / MIB


@pytest.mark.parametrize("size_mib", [64, pytest.param(2048, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
def test_memory_stays_bounded_whatever_the_size_of_a_file(fresh: Fresh, size_mib: int) -> None:
    live = fresh(evidence__spool_above_mib=1)
    worker = live.start_worker(slots=1)
    assert worker.pid is not None
    main = psutil.Process(worker.pid)
    watched = [main, *main.children(recursive=True), *servers(live), psutil.Process()]
    run_id = live.submit([{"id": "warm", "command": leaving(2)}])
    await_end(live, run_id)
    before = {process.pid: resident_mib(process) for process in watched}
    peak = dict(before)
    run_id = live.submit(
        [{"id": "a", "command": f'truncate -s {size_mib}M "$TEK_OUTPUT/big"; echo x >> "$TEK_OUTPUT/big"'}]
    )
    await_end(live, run_id)

    with contextlib.closing(elsewhere(live, run_id)) as collector, ThreadPoolExecutor(1) as pool:
        while not collector.step(wait_s=0.0):
            pass
        coming = pool.submit(collector.finish)
        while not coming.done():
            for process in watched:
                peak[process.pid] = max(peak[process.pid], resident_mib(process))
            wait({coming}, timeout=0.02)
        coming.result()

    grown = {pid: peak[pid] - before[pid] for pid in peak}
    assert (Home(collector.folder.path).attempt("a") / "files" / "big").stat().st_size == size_mib * MIB + 2
    assert max(grown.values()) < (48 if size_mib < 100 else 100), grown


def servers(live: LiveCluster) -> Iterator[psutil.Process]:
    for process in live.place.processes():
        if "valkey" in process.name() or "redis" in process.name():
            yield process
