"""What a run takes over from another one is signed by its submitter, is all at home, and cannot be invented."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from support.live import Task, make_plan
from support.proofs import DIAMOND, StagedRun, relink

from taskexec.completion.home import RunFolder
from taskexec.completion.proof import Verification
from taskexec.completion.replay import read_replay
from taskexec.domain.program import RunHead
from taskexec.submission import FormerRun, Takeover
from taskexec.submission.submit import Before

Verify = Callable[[Path], Verification]
CHANGED: list[Task] = [*DIAMOND[:2], {**DIAMOND[2], "command": "false"}]


def problems(found: Verification) -> list[str]:
    return [problem.what for problem in found.problems]


@pytest.fixture
def takeover(sound: Path) -> Takeover:
    """`a` and `b` are taken over; the last task was changed."""
    return Takeover.of(make_plan(CHANGED), FormerRun(sound), lambda _: {})


@pytest.fixture
def taking(takeover: Takeover) -> StagedRun:
    run = StagedRun(CHANGED, run_id="20300101-000001-000bbbbbb", before=Before(takeover.standing()))
    run.perform(2)
    return run


@pytest.fixture
def taken(takeover: Takeover, taking: StagedRun, tmp_path: Path) -> Path:
    """The folder of the run that took them over."""
    takeover.bring_over(tmp_path / "taken")
    return taking.bring_home(tmp_path / "taken")


def change_ledger(folder: Path, change: Callable[[list[dict[str, object]]], list[dict[str, object]]]) -> None:
    """Rewrite a ledger, its chain and run.json, as somebody can who has no key."""
    path = folder / "ledger.jsonl"
    entries = change([orjson.loads(line) for line in path.read_bytes().splitlines()])
    path.write_bytes(b"\n".join(relink([orjson.dumps(entry) for entry in entries])) + b"\n")
    old = orjson.loads((folder / "run.json").read_bytes())
    home = RunFolder(folder, (folder / "plan.json").read_bytes(), (folder / "canvas.json").read_bytes())
    home.write_summary(RunHead(run_id=old["run_id"], status="succeeded", tasks=3, left=0, source=old["plan"]))
    home.close()


def test_run_that_takes_over_verifies(taken: Path, verify: Verify) -> None:
    found = verify(taken)

    assert problems(found) == []
    assert found.is_complete


def test_takeover_that_nobody_signed_is_found(folder: Path, verify: Verify) -> None:
    record = (folder / "tasks/b/attempt-2/result.json").read_bytes()
    origin = {"run": "x", "attempt": 2, "record": hashlib.sha256(record).hexdigest()}
    shutil.copytree(folder / "tasks/b/attempt-2", folder / "tasks/b/attempt-0")
    for attempt in (1, 2):
        shutil.rmtree(folder / f"tasks/b/attempt-{attempt}")

    def forge(entries: list[dict[str, object]]) -> list[dict[str, object]]:
        gone = {entry["entry"] for entry in entries if entry.get("task") == "b" and entry["event"] != "queued"}
        kept = [entry for entry in entries if entry["entry"] not in gone and entry.get("task") != "b"]
        begun = next(number for number, entry in enumerate(kept) if entry["event"] == "run_started")
        fields = {name: kept[begun][name] for name in ("seq", "at", "entry", "hash")}
        kept.insert(begun + 1, {**fields, "event": "satisfied", "task": "b", "taken_from": origin})
        return kept

    change_ledger(folder, forge)

    assert "what was taken over from other runs is not what was signed" in problems(verify(folder))


def test_takeover_of_another_attempt_than_was_signed_is_found(taken: Path, verify: Verify) -> None:
    def forge(entries: list[dict[str, object]]) -> list[dict[str, object]]:
        for entry in entries:
            if isinstance(origin := entry.get("taken_from"), dict):
                origin["attempt"] = 7
        return entries

    change_ledger(taken, forge)

    assert "what was taken over from other runs is not what was signed" in problems(verify(taken))


def test_file_that_a_taken_over_attempt_lacks_is_found(taken: Path, verify: Verify) -> None:
    (taken / "tasks/a/attempt-0/files/sub/f.txt").unlink()

    found = verify(taken)

    assert [(problem.path, problem.what) for problem in found.problems] == [
        ("tasks/a/attempt-0/files/sub/f.txt", "is missing")
    ]


def test_evidence_that_lies_where_the_run_was_submitted_is_named_once(
    taking: StagedRun, tmp_path: Path, verify: Verify
) -> None:
    found = verify(taking.bring_home(tmp_path / "elsewhere"))

    assert problems(found) == [
        "the evidence of 2 tasks that was taken over from run `run` is not here: it is where the run was submitted"
    ]
    assert not found.is_complete


def test_run_that_takes_over_replays_as_one_that_does_it_all(taken: Path, tmp_path: Path) -> None:
    run = StagedRun(CHANGED)
    run.perform_diamond()
    performed = run.bring_home(tmp_path / "performed")

    assert read_replay(taken).outcome("b") == read_replay(performed).outcome("b")
    assert read_replay(taken).hash() == read_replay(performed).hash()


def test_takeover_of_a_takeover_says_the_same_of_what_came_out(taken: Path, tmp_path: Path, verify: Verify) -> None:
    takeover = Takeover.of(make_plan(DIAMOND), FormerRun(taken), lambda _: {})
    run = StagedRun(DIAMOND, before=Before(takeover.standing()))
    run.perform(2)
    takeover.bring_over(tmp_path / "third")
    third = run.bring_home(tmp_path / "third")

    assert problems(verify(third)) == []
    assert read_replay(third).hash() == read_replay(taken).hash()
