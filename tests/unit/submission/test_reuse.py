"""What is taken over from an earlier run: whole evidence only, copied so that neither run can change the other."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from support.live import make_plan
from support.proofs import DIAMOND, StagedRun

from taskexec.submission import FormerRun, Takeover, Verdict


@pytest.fixture
def former(tmp_path: Path) -> Path:
    run = StagedRun()
    run.perform_diamond()
    return run.bring_home(tmp_path / "former")


def compare(former: Path) -> Takeover:
    return Takeover.of(make_plan(DIAMOND), FormerRun(former), lambda _: {})


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


def test_task_runs_whose_file_is_not_at_home(former: Path) -> None:
    (former / "tasks/a/attempt-1/files/sub/f.txt").unlink()

    first = compare(former).decisions[0]

    assert (first.verdict, first.why) == (Verdict.RUNS, "its file `files/sub/f.txt` is not at home")


def test_task_runs_whose_file_is_a_link(former: Path, tmp_path: Path) -> None:
    file = former / "tasks/a/attempt-1/files"
    file.rename(tmp_path / "moved")
    file.symlink_to(tmp_path / "moved")

    assert compare(former).decisions[0].verdict is Verdict.RUNS


@pytest.mark.parametrize("record", [b"", b"[]", b'{"status":"succeeded","files":{"f":1}}', b'{"files":7}'])
def test_task_runs_whose_record_is_none(former: Path, record: bytes) -> None:
    (former / "tasks/a/attempt-1/result.json").write_bytes(record)

    first = compare(former).decisions[0]

    assert (first.verdict, first.why) == (Verdict.RUNS, "its evidence is not at home")


def test_only_what_the_record_names_is_brought_over(former: Path, tmp_path: Path) -> None:
    attempt = former / "tasks/a/attempt-1"
    (attempt / ".fetch-0").write_bytes(b"half")
    (attempt / "late_result.json").write_bytes(b"{}")
    (attempt / "link").symlink_to("/etc/passwd")

    compare(former).bring_over(tmp_path / "run")

    assert files_of(tmp_path / "run/tasks/a/attempt-0") == {
        "result.json",
        "stdout.log",
        "stderr.log",
        "files/sub/f.txt",
    }


def test_writing_into_one_run_leaves_the_other_as_it_was(former: Path, tmp_path: Path) -> None:
    compare(former).bring_over(tmp_path / "run")

    with (tmp_path / "run/tasks/a/attempt-0/stdout.log").open("r+b") as file:
        file.write(b"HELLO")

    assert (former / "tasks/a/attempt-1/stdout.log").read_bytes() == b"hello\n"


def test_what_came_out_travels_with_what_is_taken_over(former: Path) -> None:
    origin = orjson.loads(compare(former).standing()[1].reused)

    assert set(origin) == {"run", "attempt", "record", "outcome"}
    assert (origin["attempt"], origin["outcome"]["failures"]) == (2, 1)
