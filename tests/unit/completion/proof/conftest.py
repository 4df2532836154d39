"""The folder of a small run, whole and signed, and what verifying a changed copy of it finds."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.proofs import StagedRun, trust_in

from taskexec.completion.keys import Trust
from taskexec.completion.proof import Verification, verify_folder


@pytest.fixture(scope="session")
def small_run() -> StagedRun:
    run = StagedRun()
    run.perform_diamond()
    return run


@pytest.fixture(scope="session")
def sound(small_run: StagedRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the small run; not to be changed."""
    return small_run.bring_home(tmp_path_factory.mktemp("sound") / "run")


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    """A copy of the folder, to be changed."""
    return Path(shutil.copytree(sound, tmp_path / "run"))


@pytest.fixture(scope="session")
def trust(small_run: StagedRun) -> Trust:
    return trust_in(small_run.submitter, small_run.worker)


@pytest.fixture
def verify(trust: Trust) -> Callable[[Path], Verification]:
    return lambda path: verify_folder(path, trust, only_trusted=True)
