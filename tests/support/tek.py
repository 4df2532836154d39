"""The real `tek` executable, in a place of its own."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from support.isolation import Place, new_place
from support.live import Home, Task, csv_text

__all__ = ["Finished", "Started", "Tek", "tek_place"]

EXECUTABLE = Path(sys.executable).with_name("tek")


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

    def __init__(self, process: subprocess.Popen[str]) -> None:
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
        process = subprocess.Popen(
            [*program, *map(str, arguments)],
            cwd=self.cwd,
            env=self.place.environ(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started = Started(process)
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

    def home(self, finished: Finished) -> Home:
        return Home(self.cwd / finished.json["folder"])

    def only_home(self) -> Home:
        (folder,) = (self.cwd / "runs").iterdir()
        return Home(folder)

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
