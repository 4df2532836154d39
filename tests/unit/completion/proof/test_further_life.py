"""Ledgers with further lives: joined at home, and elsewhere named for what they are, a beginning that is missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import orjson
from support.live import Task, make_plan
from support.proofs import DIAMOND, StagedRun, relink

from taskexec.completion.home import RunFolder
from taskexec.completion.ledger import read_end
from taskexec.completion.proof import Verification
from taskexec.submission import FormerRun, Takeover
from taskexec.submission.standing import FormerLife
from taskexec.submission.submit import Before

Verify = Callable[[Path], Verification]
BEGINS_LATE = "the ledger here begins with a further life of the run; what went before is where it was submitted"


def problems(found: Verification) -> list[str]:
    return [problem.what for problem in found.problems]


def further_life(earlier: StagedRun, folder: Path, tasks: Sequence[Task] = DIAMOND) -> StagedRun:
    """Begin a further life of a run that was brought home to a folder."""
    documents = earlier.submission
    standing = FormerLife(folder, orjson.loads(documents.plan_json)).standing()
    head = read_end(folder / "ledger.jsonl").head
    life = StagedRun(tasks, before=Before(standing, documents.plan_json, documents.canvas_json, head))
    life.now_us = earlier.now_us + 1_000_000
    return life


def go_on_at_home(life: StagedRun, folder: Path) -> None:
    """Write a further life behind the ledger that is at home."""
    home = RunFolder(folder, life.submission.plan_json, life.submission.canvas_json)
    home.begin_life()
    for entry in life.store.read_log(life.run_id):
        home.take(entry)
    home.write_summary(life.store.head(life.run_id))
    home.close()


def second_life(folder: Path) -> StagedRun:
    """Perform the second life of a run whose first task had left a result, and whose second was at work."""
    earlier = StagedRun()
    earlier.perform(0, result={"n": 1})
    earlier.claim(1)
    life = further_life(earlier, earlier.bring_home(folder))
    life.perform(1, 2, result=2)
    life.perform(2)
    return life


def test_result_of_an_earlier_life_is_compared(tmp_path: Path, verify: Verify) -> None:
    go_on_at_home(second_life(tmp_path / "run"), tmp_path / "run")

    assert problems(verify(tmp_path / "run")) == []


def test_ledger_that_begins_with_a_further_life_is_named_and_not_taken_apart(tmp_path: Path, verify: Verify) -> None:
    life = second_life(tmp_path / "run")

    found = verify(life.bring_home(tmp_path / "elsewhere"))

    assert problems(found) == [BEGINS_LATE]
    assert (found.status, found.is_complete) == ("succeeded", False)


def test_rules_hold_in_a_ledger_that_begins_with_a_further_life(tmp_path: Path, verify: Verify) -> None:
    folder = second_life(tmp_path / "run").bring_home(tmp_path / "elsewhere")
    path = folder / "ledger.jsonl"
    entries = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    started = next(entry for entry in entries if entry["event"] == "running")
    entries.remove(started)
    path.write_bytes(b"\n".join(relink([orjson.dumps(entry) for entry in entries])) + b"\n")

    assert "`succeeded` cannot follow: the task was queued, at attempt 2" in problems(verify(folder))


def test_further_life_keeps_what_was_taken_over(sound: Path, tmp_path: Path, verify: Verify) -> None:
    changed: list[Task] = [DIAMOND[0], {**DIAMOND[1], "command": "false"}, DIAMOND[2]]
    takeover = Takeover.of(make_plan(changed), FormerRun(sound), lambda _: {})
    folder = tmp_path / "run"
    takeover.bring_over(folder)
    earlier = StagedRun(changed, before=Before(takeover.standing()))
    life = further_life(earlier, earlier.bring_home(folder), changed)
    life.perform(1)
    life.perform(2)
    go_on_at_home(life, folder)

    assert problems(verify(folder)) == []
    assert problems(verify(life.bring_home(tmp_path / "elsewhere"))) == [BEGINS_LATE]
