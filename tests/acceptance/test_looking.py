"""`tek watch`, `blame`, `gantt`, `graph` and `report`: real runs, looked at as people do."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import pytest
from support.live import Task
from support.tek import EXECUTABLE, Tek, heed_signals, tek_place
from support.waiting import wait_until

pytestmark = pytest.mark.xdist_group("node")

TASKS: list[Task] = [
    {"id": "fetch", "command": "sleep 0.2", "lane": "in"},
    {"id": "build", "command": "sleep 0.4", "depends_on": "fetch", "lane": "work"},
    {"id": "flaky", "command": "test $TEK_ATTEMPT = 2", "depends_on": "fetch", "lane": "work", "retries": 2},
    {"id": "bad", "command": "echo '<b>oh no</b>' >&2; exit 3", "depends_on": "fetch", "lane": "work"},
    {"id": "after", "command": "true", "depends_on": "bad", "lane": "out"},
    {"id": "merge", "command": "sleep 0.1", "depends_on": "build;flaky", "lane": "out"},
]


@pytest.fixture(scope="module")
def performed() -> Iterator[Tek]:
    """A place with one run in which a task failed, one was tried again and one was skipped."""
    with tek_place() as tek:
        tek("run", tek.write("plan.csv", TASKS)).expect(1)
        yield tek


@pytest.fixture
def looked_at(tek: Tek, performed: Tek) -> Tek:
    """A place of this test alone, with that run."""
    tek.resemble(performed)
    return tek


def test_wall_time_of_a_run_is_split_without_remainder(looked_at: Tek) -> None:
    blamed = looked_at("blame", "--output", "json").expect(0).json
    summary = looked_at.only_home().summary

    started, ended = (datetime.fromisoformat(summary[name]) for name in ("started", "ended"))
    assert blamed["wall_us"] == round((ended - started).total_seconds() * 1e6)
    assert sum(blamed["parts_us"].values()) == blamed["wall_us"]
    assert blamed["parts_us"]["dependencies"] == blamed["parts_us"]["people"] == 0
    assert blamed["critical_path"][0]["task"] == "fetch"
    assert set(blamed["estimates"]) == {"mean_error_ratio", "said"}
    text = looked_at("blame", "last").expect(0).stdout
    assert "what would have shortened it" in text
    assert looked_at("blame", "--output", "quiet").expect(0).stdout.split()[0] == "fetch"


def test_gantt_and_graph_show_what_became_of_tasks(looked_at: Tek) -> None:
    looked_at("gantt", "--by", "task", "--save-gantt", "gantt.svg").expect(0)
    looked_at("graph", "--save-graph", "graph.svg").expect(0)
    chart = looked_at("gantt", "--output", "json").expect(0).json
    shape = looked_at("graph", "--output", "json").expect(0).json
    lines = looked_at("graph").expect(0).stdout

    kinds = {bar["task"]: bar["kind"] for row in chart["rows"] for bar in row["bars"] if bar["kind"] != "work"}
    assert kinds == {"flaky": "failed", "bad": "failed"}
    assert shape["levels"][0] == ["fetch"]
    assert shape["statuses"]["after"] == "skipped"
    assert "✕ bad" in lines
    assert "bar q0 failed" in (looked_at.cwd / "gantt.svg").read_text().replace("q1", "q0")
    assert "s-failed" in (looked_at.cwd / "graph.svg").read_text()


def test_graph_of_a_plan_needs_no_run(tek: Tek) -> None:
    tek.write("plan.csv", "id,command,depends_on\na,true,\nb,true,a\n")

    assert tek("graph", "plan.csv").expect(0).stdout.splitlines()[-2:] == ["   0 █ 1  a", "   1 █ 1  b"]


def test_report_is_one_file_with_failures_digests_and_what_verify_says(looked_at: Tek) -> None:
    told = looked_at("report", "--save-report", "r.html", "--output", "json").expect(0).json

    page = (looked_at.cwd / "r.html").read_text()
    home = looked_at.only_home()
    assert told["verified"] is True
    assert "Everything holds" in page
    assert "&lt;b&gt;oh no&lt;/b&gt;" in page
    assert "<b>oh no" not in page
    assert home.record("build")["files"]["stdout.log"]["sha256"] in page
    assert home.summary["ledger_head"] in page
    assert page.count("<svg") == 2
    assert not re.search(r"<script|src=|https?://(?!www\.w3\.org/2000/svg)", page)


def test_report_of_altered_evidence_says_so_and_fails(looked_at: Tek) -> None:
    (looked_at.only_home().attempt("build") / "stdout.log").write_text("something else")

    looked_at("report", "--save-report", "r.html").expect(1)

    assert "Everything holds" not in (looked_at.cwd / "r.html").read_text()


class Screen:
    """`tek` on a terminal of its own."""

    def __init__(self, tek: Tek, program: str, arguments: tuple[str, ...], size: tuple[int, int] = (24, 100)) -> None:
        self.ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
        self.found = termios.tcgetattr(theirs)
        self.terminal = theirs
        self.text = ""
        self.process = subprocess.Popen(
            [program, *arguments],
            cwd=tek.cwd,
            env={**tek.place.environ(), "TERM": "xterm-256color"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=self._begin,
        )

    @staticmethod
    def _begin() -> None:
        heed_signals()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # Ctrl-Z needs it

    def read(self) -> str:
        """Return all that was written since the last call that found what it waited for."""
        while select.select([self.ours], [], [], 0.0)[0]:
            try:
                self.text += os.read(self.ours, 65536).decode(errors="replace")
            except OSError:
                break
        return self.text

    def press(self, keys: str) -> None:
        self.text = ""
        os.write(self.ours, keys.encode())

    def sees(self, *words: str) -> None:
        wait_until(lambda: all(word in plain(self.read()) for word in words), f"{words} on the screen", timeout_s=20)

    def size(self, rows: int, columns: int) -> None:
        self.text = ""
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def end(self) -> int:
        """Return the exit status, once all it wrote was read."""
        wait_until(lambda: (self.read(), self.process.poll() is not None)[1], "its end", timeout_s=20)
        return int(self.process.returncode)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.ours)
        os.close(self.terminal)


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


@contextmanager
def screen(tek: Tek, *arguments: str, program: str = str(EXECUTABLE)) -> Iterator[Screen]:
    made = Screen(tek, program, arguments)
    try:
        yield made
    finally:
        made.close()


@contextmanager
def going_on(node: Tek, name: str) -> Iterator[str]:
    """Give a run whose first task prints and waits for a file; it is let go at the end."""
    sign = node.cwd / f"{name}.go"
    command = f"echo first words; printf 'a\\033[2Jb\\n'; while [ ! -e {sign} ]; do sleep 0.02; done"
    tasks = [{"id": "holder", "command": command}, {"id": "later", "depends_on": "holder", "command": "true"}]
    shape = node("submit", node.write(f"{name}.csv", list(tasks)), "--output", "json").expect(0).json
    run_id = str(shape["run_id"])

    def runs() -> bool:
        counts = node("status", run_id, "--output", "json").json["counts"]
        return bool(counts.get("running"))

    wait_until(runs, "the start of the task", timeout_s=20)
    try:
        yield run_id
    finally:
        sign.touch()
        node("watch", run_id)


def test_watched_run_is_filtered_its_log_followed_and_it_is_left_alone(node: Tek) -> None:
    with going_on(node, "watched") as run_id, screen(node, "watch", run_id) as shown:
        shown.sees("▶ holder", "waits for holder")
        shown.press("f")
        shown.sees("1 running of 2 tasks")
        shown.press("l")
        shown.sees("first words", r"a\x1b[2Jb")
        shown.press("\x1b")
        shown.sees("1 running of 2 tasks")
        shown.size(12, 40)
        shown.sees("▶ holder")
        shown.press("q")

        assert shown.end() == 130
        assert "goes on" in plain(shown.text)
        assert "\x1b[?1049l" in shown.text  # the screen as it was
        assert termios.tcgetattr(shown.terminal) == shown.found
        assert node("status", run_id, "--output", "quiet").stdout == "running\n"


def test_tasks_are_expected_to_take_what_they_took_in_another_run(node: Tek) -> None:
    with going_on(node, "former") as former:
        pass
    node("collect", former).expect(0)

    with (
        going_on(node, "present") as run_id,
        screen(node, "watch", run_id, "--observed", former) as shown,
    ):
        shown.sees("▶ holder", " of ", " left")
        shown.press("q")
        shown.end()


def test_watched_run_that_ends_is_told_as_always(node: Tek) -> None:
    with going_on(node, "ending") as run_id, screen(node, "watch", run_id) as shown:
        shown.sees("▶ holder")
        (node.cwd / "ending.go").touch()

        assert shown.end() == 0
        assert f"run {run_id} succeeded: 2 succeeded" in plain(shown.text)


def test_watched_run_is_stopped_after_it_was_asked(node: Tek) -> None:
    with going_on(node, "stopped") as run_id, screen(node, "watch", run_id) as shown:
        shown.sees("▶ holder")
        shown.press("c")
        shown.sees("stop this run?")
        shown.press("n")
        shown.sees("↑↓ move")
        shown.press("cK")

        assert shown.end() == 130
        assert node("status", run_id, "--output", "quiet").stdout == "cancelled\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_terminal_is_given_back_after_a_signal(node: Tek, number: int) -> None:
    with going_on(node, f"signal{number}") as run_id, screen(node, "watch", run_id) as shown:
        shown.sees("▶ holder")
        shown.process.send_signal(number)

        assert shown.end() == 130
        assert termios.tcgetattr(shown.terminal) == shown.found


def test_stopped_watch_gives_the_terminal_back_and_goes_on_later(node: Tek) -> None:
    with going_on(node, "paused") as run_id:
        shell = f"set -m; {EXECUTABLE} watch {run_id}; echo paused; read go; fg; echo left with $?"
        with screen(node, "-c", shell, program="/bin/sh") as shown:
            shown.sees("▶ holder")
            shown.press("\x1a")
            shown.sees("paused")
            assert "\x1b[?1049l" in shown.text
            assert termios.tcgetattr(shown.terminal) == shown.found

            shown.press("go\n")
            shown.sees("▶ holder")
            shown.press("q")
            shown.sees("left with 130")


def test_run_on_a_terminal_shows_a_bar_what_runs_and_failures(tek: Tek) -> None:
    tek.write("plan.csv", [{**one, "command": str(one["command"]).replace("0.4", "1.5")} for one in TASKS])

    with screen(tek, "run", "plan.csv") as shown:
        shown.sees("━━━", "build", "failed: bad (exit: ")
        assert shown.end() == 1

    assert "evidence: runs/" in plain(shown.text)


def test_watch_without_a_terminal_prints_lines(node: Tek) -> None:
    with going_on(node, "lines") as run_id:
        started = node.start("watch", run_id)
        time.sleep(0.5)  # it follows by then, or hears of all of it later
        (node.cwd / "lines.go").touch()
        finished = started.finish().expect(0)

    assert "\x1b" not in finished.stdout + finished.stderr
    assert f"run {run_id} succeeded" in finished.stdout
