"""The real `tek` executable, in a place of its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil
from support.forks import Fork, nursery
from support.isolation import Place, new_place
from support.live import Home, Task, csv_text

__all__ = ["Finished", "Started", "Tek", "heed_signals", "start_tek", "tek_place"]

EXECUTABLE = Path(sys.executable).with_name("tek")


def is_cold() -> bool:
    """Return whether processes are started anew and ended in order: with `TEST_COLD`, or where coverage is measured."""
    return "TEST_COLD" in os.environ or any(name.startswith("COVERAGE_") for name in os.environ)


def heed_signals() -> None:
    """Have INT and HUP mean what they mean to a command in the foreground, however the tests were started.

    Commands leave alone what they were told to ignore, as `nohup` and the background of a script do.
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def start_tek(
    argv: Sequence[object], *, cwd: Path, environ: Mapping[str, str], errors: IO[bytes] | None = None
) -> subprocess.Popen[str] | Fork:
    """Start a program without input in a session of its own; if it is `tek`, as a fork of one that has imported all.

    Errors go to a pipe, as output does, or to a file.
    """
    words = [str(word) for word in argv]
    if words[0] == str(EXECUTABLE) and not is_cold():
        return nursery().fork(words, cwd=cwd, environ=environ, stderr=None if errors is None else errors.fileno())
    return subprocess.Popen(
        words,
        cwd=cwd,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if errors is None else errors,
        text=True,
        start_new_session=True,
        preexec_fn=heed_signals,
    )


@dataclass(frozen=True)
class Finished:
    """How a command ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)

    def expect(self, status: int) -> Finished:
        """Return it if it ended with this status; fail with all that it said otherwise."""
        assert self.status == status, self
        return self


class Started:
    """A command that goes on."""

    def __init__(self, process: subprocess.Popen[str] | Fork) -> None:
        self.process = process

    @property
    def pid(self) -> int:
        return self.process.pid

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def finish(self, timeout_s: float = 40.0) -> Finished:
        try:
            stdout, stderr = self.process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            stdout, stderr = self.process.communicate()
            raise AssertionError(f"it did not end: {stdout} {stderr}") from None
        return Finished(self.process.returncode, stdout, stderr)


class Tek:
    """Calls the executable in a folder of its own, with nothing of the caller's settings."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.cwd = place.folder / "work"
        self.cwd.mkdir()
        self._started: list[Started] = []

    def __call__(self, *arguments: object, timeout_s: float = 60.0) -> Finished:
        return self.start(*arguments).finish(timeout_s)

    def start(self, *arguments: object, program: tuple[str, ...] = (str(EXECUTABLE),)) -> Started:
        started = Started(start_tek([*program, *arguments], cwd=self.cwd, environ=self.place.environ()))
        self._started.append(started)
        return started

    def write(self, name: str, content: str | list[Mapping[str, object]]) -> str:
        """Write a file, or the plan of some tasks; return its name."""
        text = content if isinstance(content, str) else csv_text(content)
        (self.cwd / name).write_text(text)
        return name

    def run(self, tasks: list[Task], *options: object) -> Finished:
        """Carry out a plan with `tek run`, shown as JSON."""
        return self("run", self.write("plan.csv", list(tasks)), "--output", "json", *options)

    def resemble(self, other: Tek) -> None:
        """Have the same files as another place in which nothing is running: its work, its home and its state."""
        for folder in ("work", "home", "state"):
            shutil.copytree(other.place.folder / folder, self.place.folder / folder, symlinks=True, dirs_exist_ok=True)

    def home(self, finished: Finished) -> Home:
        return Home(self.cwd / finished.json["folder"])

    def only_home(self) -> Home:
        (folder,) = (self.cwd / "runs").iterdir()
        return Home(folder)

    def end_node(self) -> None:
        """End a node that no test looks at any more: killed, which takes a tenth of the time of `tek down`."""
        if is_cold():
            self("down").expect(0)
        else:
            self.place.kill()

    def worker_processes(self) -> list[psutil.Process]:
        """Return the main processes of the workers here."""
        found = []
        for process in self.place.processes():
            with contextlib.suppress(psutil.NoSuchProcess):  # a task's process may end while it is looked at
                if "taskexec.cluster" in process.cmdline():
                    found.append(process)
        pids = {process.pid for process in found}
        return [process for process in found if process.ppid() not in pids]

    def close(self) -> None:
        for started in self._started:
            if started.process.poll() is None:
                started.process.kill()
            started.process.wait()
            for stream in (started.process.stdout, started.process.stderr):
                if stream is not None:
                    stream.close()


@contextmanager
def tek_place() -> Iterator[Tek]:
    """Give a place with `tek` in it; at the end nothing may be left running."""
    with new_place() as place:
        tek = Tek(place)
        try:
            yield tek
        finally:
            tek.close()
