"""Tests of `tek runs rm` at home: it removes folders of runs, named by their ids, and nothing else."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from taskexec.cli import runs as command
from taskexec.cluster.places import RunPlace

Tek = Callable[..., Result]

RUN = "20200101-000000-000aaaaaa"
OTHER = "20200102-000000-000bbbbbb"


@pytest.fixture
def make_run(in_folder: Path) -> Callable[..., Path]:
    def make(run_id: str, *names: str) -> Path:
        folder = in_folder / "runs" / run_id
        folder.mkdir(parents=True)
        for name in names:
            (folder / name).write_text("{}")
        return folder

    return make


@pytest.mark.parametrize("name", ["journal.json", "ledger.jsonl"])
def test_folder_that_was_never_finished_is_removed(name: str, call_tek: Tek, make_run: Callable[..., Path]) -> None:
    folder = make_run(RUN, "plan.json", name)

    assert call_tek("runs", "rm", RUN, "--yes").exit_code == 0

    assert not folder.exists()


@pytest.mark.parametrize("text", ["../mine", "./mine", "{}/mine", ".", "..", "mine/", "runs/" + RUN, ""])
def test_path_is_no_run(text: str, call_tek: Tek, make_run: Callable[..., Path], in_folder: Path) -> None:
    run = make_run(RUN, "plan.json", "journal.json")
    mine = in_folder / "mine"
    mine.mkdir()
    for folder in (mine, in_folder, in_folder / "runs"):
        for name in ("plan.json", "journal.json", "run.json"):
            (folder / name).write_text("{}")

    result = call_tek("runs", "rm", text.format(in_folder), "--yes")

    assert result.exit_code == 2
    assert mine.is_dir()
    assert run.is_dir()


@pytest.mark.parametrize("dry_run", [[], ["--dry-run"]])
def test_folder_without_journal_and_ledger_is_not_removed_and_neither_are_the_others(
    dry_run: list[str], call_tek: Tek, make_run: Callable[..., Path]
) -> None:
    first, other = make_run(RUN, "plan.json", "journal.json"), make_run(OTHER, "plan.json", "run.json")

    result = call_tek("runs", "rm", RUN, OTHER, "--yes", *dry_run)

    assert result.exit_code == 2
    assert first.is_dir()
    assert other.is_dir()


def test_link_is_not_removed(call_tek: Tek, make_run: Callable[..., Path], in_folder: Path) -> None:
    folder = make_run(RUN, "plan.json", "journal.json", "run.json")
    theirs = folder.rename(in_folder / "theirs")
    folder.symlink_to(theirs)

    assert call_tek("runs", "rm", RUN, "--yes").exit_code == 2

    assert (theirs / "plan.json").is_file()


@pytest.fixture
def being_written(make_run: Callable[..., Path]) -> Iterator[Path]:
    folder = make_run(OTHER, "plan.json", "ledger.jsonl")
    with (folder / "ledger.jsonl").open("r+") as ledger:
        fcntl.flock(ledger, fcntl.LOCK_EX)
        yield folder


def test_nothing_is_removed_while_somebody_brings_one_of_them_home(
    being_written: Path, call_tek: Tek, make_run: Callable[..., Path]
) -> None:
    first = make_run(RUN, "plan.json", "journal.json")

    result = call_tek("runs", "rm", RUN, OTHER, "--yes")

    assert result.exit_code == 3
    assert first.is_dir()
    assert being_written.is_dir()


class _Server:
    """A server that knows every run; it is its own cluster."""

    def __init__(self) -> None:
        self.removed: list[str] = []

    @property
    def runs(self) -> _Server:
        return self

    def active(self) -> list[str]:
        return []

    def remove(self, run_id: str) -> bool:
        self.removed.append(run_id)
        return True


@pytest.mark.parametrize("keep", [[], ["--keep-evidence"]])
def test_server_is_not_told_to_forget_a_run_that_is_being_brought_home(
    keep: list[str], being_written: Path, call_tek: Tek, monkeypatch: pytest.MonkeyPatch
) -> None:
    server: Any = _Server()
    monkeypatch.setattr(command, "find_run", lambda text, *_: RunPlace(text, being_written, server))
    monkeypatch.setattr(command, "_refuse_folders", lambda *_, **__: None)  # it was taken up just after that

    result = call_tek("runs", "rm", OTHER, "--yes", *keep)

    assert result.exit_code == 3
    assert server.removed == []
