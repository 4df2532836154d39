"""`tek logs -f` shows what a task writes while it runs, through retries and restarts of the server, to its end."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import IO

from support.live import LiveCluster
from support.tek import EXECUTABLE
from support.waiting import wait_until

from taskexec.cli.logs import print_live
from taskexec.cluster.live_log import LiveLog

Fresh = Callable[..., LiveCluster]


class Followed:
    """What a command prints, line by line as it comes."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._lines: dict[str, Queue[bytes]] = {"stdout": Queue(), "stderr": Queue()}
        self._readers = []
        for name, stream in (("stdout", process.stdout), ("stderr", process.stderr)):
            assert stream is not None
            self._readers.append(Thread(target=self._read, args=(stream, self._lines[name])))
            self._readers[-1].start()

    @staticmethod
    def _read(stream: IO[bytes], lines: Queue[bytes]) -> None:
        with stream:
            for line in stream:
                lines.put(line)

    def next(self, stream: str = "stdout", timeout_s: float = 30.0) -> bytes:
        try:
            return self._lines[stream].get(timeout=timeout_s)
        except Empty:
            raise AssertionError(f"no line on {stream}; status {self.process.poll()}") from None

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join()


@contextmanager
def followed(live: LiveCluster, run_id: str, task: str, *options: str) -> Iterator[Followed]:
    """Give `tek logs -f` of a task, on another machine as it were: with nothing of the run at home."""
    arguments = [str(EXECUTABLE), "logs", "-f", run_id, task, "--broker", live.server.url, *options]
    process = subprocess.Popen(
        arguments,
        cwd=live.place.tmp,
        env=live.place.environ(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    follower = Followed(process)
    try:
        yield follower
    finally:
        follower.close()


def steps(signs: Path, count: int) -> str:
    """Return a command that says a line and goes on only when a sign tells that it was seen."""
    step = f"echo line $i; until [ -e {signs}/$i ]; do sleep 0.02; done; i=$((i+1))"
    return f"i=1; while [ $i -le {count} ]; do {step}; done"


def test_lines_are_seen_while_their_task_runs(live: LiveCluster, tmp_path: Path) -> None:
    run_id = live.submit([{"id": "a", "command": steps(tmp_path, 3)}])

    with followed(live, run_id, "a") as follower:
        for number in (1, 2, 3):  # the next line is only written once this one was seen here
            assert follower.next() == b"line %d\n" % number
            (tmp_path / str(number)).touch()
        status = follower.process.wait(30.0)

    assert status == 0
    assert live.finish(run_id).results["a"]["status"] == "succeeded"


def test_following_goes_on_with_the_next_attempt(live: LiveCluster, tmp_path: Path) -> None:
    command = f"echo try $TEK_ATTEMPT; until [ -e {tmp_path}/$TEK_ATTEMPT ]; do sleep 0.02; done; test $TEK_ATTEMPT = 3"
    run_id = live.submit([{"id": "a", "command": command, "retries": 2}])

    with followed(live, run_id, "a") as follower:
        seen = []
        for number in (1, 2, 3):
            seen.append(follower.next())
            (tmp_path / str(number)).touch()
        status = follower.process.wait(30.0)

    assert seen == [b"try 1\n", b"try 2\n", b"try 3\n"]
    assert status == 0
    live.finish(run_id)


def test_following_one_attempt_ends_with_it(live: LiveCluster, tmp_path: Path) -> None:
    command = f"echo try $TEK_ATTEMPT; test $TEK_ATTEMPT = 2 && until [ -e {tmp_path}/go ]; do sleep 0.02; done"
    run_id = live.submit([{"id": "a", "command": command, "retries": 1}])
    live.await_state(run_id, "R2")

    with followed(live, run_id, "a", "--attempt", "1") as follower:
        line = follower.next()
        status = follower.process.wait(30.0)
    (tmp_path / "go").touch()

    assert (line, status) == (b"try 1\n", 0)
    live.finish(run_id)


def test_following_outlasts_a_restart_of_the_server(fresh: Fresh, tmp_path: Path) -> None:
    live = fresh()
    live.start_worker(slots=1)
    run_id = live.submit([{"id": "a", "command": steps(tmp_path, 2)}])

    with followed(live, run_id, "a") as follower:
        assert follower.next() == b"line 1\n"
        live.server.stop()
        assert b"does not answer" in follower.next("stderr")
        live.server.start()
        (tmp_path / "1").touch()
        assert follower.next() == b"line 2\n"
        (tmp_path / "2").touch()
        status = follower.process.wait(30.0)

    assert status == 0


def test_chunks_of_others_from_before_are_not_read(live: LiveCluster, tmp_path: Path) -> None:
    run_id = live.submit(
        [
            {"id": "talks", "command": "head -c 1000000 /dev/zero"},
            {"id": "waits", "command": "sleep 1.5", "depends_on": "talks"},  # the margin of two clock readings
            {"id": "a", "command": "seq 20000", "depends_on": "waits"},
        ]
    )
    live.finish(run_id)
    read: list[str] = []

    class Counting:
        read_log = live.store.read_log

        @staticmethod
        def read_output(run_id: str, after: str, *, wait_s: float = 0.0) -> list[tuple[str, dict[str, bytes]]]:
            rows = live.store.read_output(run_id, after)
            read.extend(fields["i"].decode() for _, fields in rows)
            return rows

    log = LiveLog(Counting, run_id, 2, first=1, last=None)  # type: ignore[arg-type]

    assert print_live(log, {"stdout.log"})
    assert set(read) == {"2"}


def test_task_that_waits_is_followed_from_its_start(live: LiveCluster, tmp_path: Path) -> None:
    before = f"until [ -e {tmp_path}/go ]; do sleep 0.02; done"
    run_id = live.submit(
        [{"id": "before", "command": before}, {"id": "a", "command": "echo now", "depends_on": "before"}]
    )
    live.await_state(run_id, "R1")

    with followed(live, run_id, "a") as follower:
        wait_until(lambda: follower.process.poll() is None, "the follower")
        (tmp_path / "go").touch()
        assert follower.next() == b"now\n"
        assert follower.process.wait(30.0) == 0
    live.finish(run_id)
