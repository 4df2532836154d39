"""A short folder of its own for everything that a test starts, and the processes that are left in it."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
from support.waiting import wait_until

__all__ = ["Place", "environment", "new_place"]

_PASSED_ON = ("COV_CORE_", "COVERAGE_")
"""Variables with which coverage measures processes that tests start."""


class Place:
    """A folder with a path short enough for sockets; what is started with its environment is found by it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tmp = folder / "tmp"
        for name in ("tmp", "home", "state", "rt"):
            (folder / name).mkdir(mode=0o700)

    def environ(self) -> dict[str, str]:
        """Return an environment without settings of ours, whose folders are all in this place."""
        kept = {name: value for name, value in os.environ.items() if name.startswith(_PASSED_ON)}
        return kept | {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.tmp),
            "XDG_STATE_HOME": str(self.folder / "state"),
            "XDG_RUNTIME_DIR": str(self.folder / "rt"),
        }

    def processes(self) -> list[psutil.Process]:
        """Return the live processes that work in this place or were started with its environment, but this one."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                is_alive = process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE
                if is_alive and (self._is_here(process.cwd()) or process.environ().get("TMPDIR") == str(self.tmp)):
                    found.append(process)
        return found

    def _is_here(self, folder: str) -> bool:
        """Return whether a folder is in this place: the server writes its title over its environment."""
        return Path(folder).is_relative_to(self.folder)

    def listing(self) -> str:
        """Return those processes for people."""
        return "; ".join(f"{process.pid} {_command(process)}" for process in self.processes()) or "no process"

    def assert_nothing_is_left(self) -> None:
        """Fail when a process of this place lives on; a killed one gets a moment to die."""
        wait_until(lambda: not self.processes(), "the end of all processes", timeout_s=5.0, diagnose=self.listing)

    def kill(self) -> None:
        """Kill what is left, by pid."""
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.kill()

    def close(self) -> None:
        """Kill what is left and remove the folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def _command(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())[:200]
    return "?"


@contextlib.contextmanager
def new_place() -> Iterator[Place]:
    """Give a new place; at the end nothing may be left running in it."""
    place = Place(Path(tempfile.mkdtemp(prefix="tk-", dir="/tmp")))
    try:
        yield place
        place.assert_nothing_is_left()
    finally:
        place.close()


@contextlib.contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Have exactly these variables in this process, and temporary files in their TMPDIR, for a while."""
    before, before_tmp = dict(os.environ), tempfile.tempdir
    try:
        for name in before:
            if not name.startswith("PYTEST_"):
                del os.environ[name]
        os.environ.update(values)
        tempfile.tempdir = values["TMPDIR"]
        yield
    finally:
        for name in set(os.environ) - set(before):
            if not name.startswith("PYTEST_"):
                del os.environ[name]
        os.environ.update({name: value for name, value in before.items() if not name.startswith("PYTEST_")})
        tempfile.tempdir = before_tmp
