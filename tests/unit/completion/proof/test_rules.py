"""Honest runs of every kind verify; runs that broke the rules of plan, leases and attempts do not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from support.proofs import DIAMOND, StagedRun, identity_of, relink, trust_in

from taskexec.completion.home import RunFolder
from taskexec.completion.keys import Trust
from taskexec.completion.ledger import read_end
from taskexec.completion.proof import Verification, verify_folder
from taskexec.domain.program import Member, RunOptions
from taskexec.runtime.attempt import lost_record
from taskexec.submission.standing import FormerLife
from taskexec.submission.submit import Before

Verify = Callable[[Path], Verification]
LOST = lost_record("gone", worker="w@h")


def lose(run: StagedRun, index: int, attempt: int = 1) -> None:
    run.store.lose(run.run_id, [Member(index, attempt)], worker="w@h", record=LOST)


def problems(found: Verification) -> list[str]:
    return [problem.what for problem in found.problems]


def kept_on_failing(run: StagedRun) -> None:
    run.perform(0)
    run.fail(1)
    run.fail(1, 2)


def lost_and_late(run: StagedRun) -> None:
    run.claim(0)
    run.store.append_output(run.run_id, {"i": 0, "a": 1, "f": "stdout.log", "o": 0, "d": b"so far"})
    lose(run, 0)
    run.complete(Member(0, 1), inline={"stderr.log": b"late"})
    run.perform(0, 2)
    run.perform(1)
    run.perform(2)


def lost_for_good(run: StagedRun) -> None:
    for attempt in (1, 2, 3):
        run.claim(0, attempt)
        lose(run, 0, attempt)


def stopped(run: StagedRun) -> None:
    run.claim(0)
    run.store.append_output(run.run_id, {"i": 0, "a": 1, "f": "files/f", "o": 0, "d": b"half"})
    run.store.stop(run.run_id, kill=True)
    run.complete(Member(0, 1))


def stopped_before_it_began(run: StagedRun) -> None:
    run.store.stop(run.run_id, kill=False)


def given_back(run: StagedRun) -> None:
    run.claim(0)
    run.store.release(run.run_id, [Member(0, 1)], worker="w@h", token="w@h/1-1")
    run.perform(0, worker="v@h")
    run.perform(1)
    run.perform(2)


def run_again(run: StagedRun) -> None:
    run.perform_diamond()
    run.store.retry(run.run_id, [1], by=b'{"who":"me"}', request="1")
    run.perform(1, 3)
    run.perform(2, 2)


def renewed(run: StagedRun) -> None:
    run.claim(0, lease_s=1.0)
    run.now_us += 5_000_000
    run.store.renew(run.run_id, ["0|1|w@h/1-1"], worker="w@h", lease_s=10.0)
    run.complete(Member(0, 1))
    run.perform(1)
    run.perform(2)


def in_one_call(run: StagedRun) -> None:
    run.perform(0)
    run.perform(1)
    run.perform(2)


@pytest.mark.parametrize(
    ("story", "status"),
    [
        (kept_on_failing, "failed"),
        (lost_and_late, "succeeded"),
        (lost_for_good, "failed"),
        (stopped, "cancelled"),
        (stopped_before_it_began, "cancelled"),
        (given_back, "succeeded"),
        (run_again, "succeeded"),
        (renewed, "succeeded"),
        (in_one_call, "succeeded"),
    ],
    ids=lambda value: value.__name__ if callable(value) else value,
)
def test_honest_run_verifies(story: Callable[[StagedRun], None], status: str, tmp_path: Path, verify: Verify) -> None:
    run = StagedRun()
    story(run)

    found = verify(run.bring_home(tmp_path / "run"))

    assert (problems(found), found.status) == ([], status)


@pytest.mark.parametrize("story", [lost_and_late, stopped], ids=lambda story: story.__name__)
def test_changed_output_of_an_attempt_without_a_record_is_found(
    story: Callable[[StagedRun], None], tmp_path: Path, verify: Verify
) -> None:
    run = StagedRun()
    story(run)
    folder = run.bring_home(tmp_path / "run")
    left = {path for path in (folder / "tasks" / "a" / "attempt-1").rglob("*") if path.is_file()}

    missed = []
    for path in left:
        sound = path.read_bytes()
        path.write_bytes(sound + b"!")
        if verify(folder).ok:
            missed.append(path.name)
        path.write_bytes(sound)

    assert verify(folder).ok
    assert missed == []


def test_run_that_goes_on_verifies_as_far_as_it_goes(tmp_path: Path, verify: Verify) -> None:
    run = StagedRun()
    run.perform(0)
    run.claim(1)

    found = verify(run.bring_home(tmp_path / "run"))

    assert (problems(found), found.is_complete, found.status, found.replay_hash) == ([], False, None, None)


def test_ledger_of_a_run_that_goes_on_may_be_half_written_and_ahead_of_its_summary(
    tmp_path: Path, verify: Verify
) -> None:
    run = StagedRun()
    run.perform(0)
    folder = run.bring_home(tmp_path / "run")
    older = (folder / "run.json").read_bytes()
    run.fail(1)
    run.bring_home(folder)
    (folder / "run.json").write_bytes(older)
    ledger = (folder / "ledger.jsonl").read_bytes()
    (folder / "ledger.jsonl").write_bytes(ledger[:-10])

    found = verify(folder)

    assert problems(found) == []
    assert len(found.warnings) == 3


def test_older_summary_of_a_run_that_has_ended_is_found(tmp_path: Path, verify: Verify) -> None:
    run = StagedRun()
    run.perform(0)
    older = (run.bring_home(tmp_path / "run") / "run.json").read_bytes()
    run.perform(1)
    run.perform(2)
    folder = run.bring_home(tmp_path / "run")
    (folder / "run.json").write_bytes(older)

    assert {problem.path for problem in verify(folder).problems} == {"run.json"}


def test_repeated_call_that_adds_to_what_was_logged_verifies(tmp_path: Path, verify: Verify) -> None:
    run = StagedRun([{"id": "a", "command": "true"}, {"id": "b", "command": "true"}])
    run.claim(0)
    run.claim(1)
    run.complete(Member(0, 1))
    run.complete(Member(0, 1), Member(1, 1))  # its reply to the first had been lost

    found = verify(folder := run.bring_home(tmp_path / "run"))

    assert problems(found) == []
    assert b'"digests":[' in (folder / "ledger.jsonl").read_bytes()


def test_expired_run_verifies(tmp_path: Path, verify: Verify) -> None:
    run = StagedRun(options=RunOptions(timeout_s=5.0))
    run.perform(0)
    run.now_us += 6_000_000
    run.store.reap(run.run_id, worker="w@h", lease_s=10.0, record=LOST)

    found = verify(run.bring_home(tmp_path / "run"))

    assert (problems(found), found.status) == ([], "failed")


def test_delayed_attempt_verifies(tmp_path: Path, verify: Verify) -> None:
    run = StagedRun([{"id": "a", "command": "true"}])
    run.claim(0)
    run.complete(Member(0, 1), status="failed", reason="infrastructure", error="full")  # tried again after a second
    run.now_us += 2_000_000
    run.store.reap(run.run_id, worker="w@h", lease_s=100.0, record=LOST)
    run.perform(0, 2)

    found = verify(folder := run.bring_home(tmp_path / "run"))

    assert problems(found) == []
    assert b'"event":"delayed"' in (folder / "ledger.jsonl").read_bytes()


def test_unsigned_run_is_told_and_refused_on_demand(tmp_path: Path, trust: Trust) -> None:
    run = StagedRun()
    run.perform(0)
    folder = run.bring_home(tmp_path / "run")
    rewrite(folder, lambda entries: [entries[0] | {"key": "", "signature": ""}, *entries[1:]])

    loose, strict = verify_folder(folder, trust), verify_folder(folder, trust, only_trusted=True)

    assert "entry 1: nobody has signed what was submitted" in loose.warnings
    assert "entry 1: nobody has signed what was submitted" in problems(strict)


def test_further_life_goes_on_with_the_ledger(tmp_path: Path, verify: Verify) -> None:
    earlier = StagedRun()
    earlier.perform(0)
    earlier.claim(1)
    folder = earlier.bring_home(tmp_path / "run")
    documents = earlier.submission
    standing = FormerLife(folder, orjson.loads(documents.plan_json)).standing()
    head = read_end(folder / "ledger.jsonl").head
    second = StagedRun(before=Before(standing, documents.plan_json, documents.canvas_json, head))
    second.now_us = earlier.now_us + 1_000_000
    second.perform(1, 2)
    second.perform(2)
    home = RunFolder(folder, documents.plan_json, documents.canvas_json)
    home.begin_life()
    for entry in second.store.read_log(second.run_id):
        home.take(entry)
    home.write_summary(second.store.head(second.run_id))
    home.close()

    found = verify(folder)

    assert (problems(found), found.status) == ([], "succeeded")


def rewrite(folder: Path, change: Callable[[list[dict[str, object]]], list[dict[str, object]]]) -> None:
    """Change the entries of a ledger and make all numbers and hashes anew."""
    path = folder / "ledger.jsonl"
    entries = change([orjson.loads(line) for line in path.read_bytes().splitlines()])
    path.write_bytes(b"".join(line + b"\n" for line in relink([orjson.dumps(entry) for entry in entries])))


def first(entries: list[dict[str, object]], **wanted: object) -> int:
    return next(at for at, entry in enumerate(entries) if wanted.items() <= entry.items())


def test_task_that_started_before_its_dependency_was_done_is_found(folder: Path, verify: Verify) -> None:
    def change(entries: list[dict[str, object]]) -> list[dict[str, object]]:
        moved = [entry for entry in entries if entry.get("task") == "b" and entry.get("attempt") == 1][:2]
        rest = [entry for entry in entries if entry not in moved]
        return [*rest[:3], *moved, *rest[3:]]

    rewrite(folder, change)

    assert "it was started before 1 of the tasks that it depends on were done" in problems(verify(folder))


@pytest.mark.parametrize(
    ("wanted", "changes", "what"),
    [
        ({"event": "running", "task": "a"}, None, "`succeeded` cannot follow: the task was queued, at attempt 1"),
        ({"event": "running", "task": "a"}, {"worker": "v@h"}, "its worker did not hold this attempt"),
        ({"event": "running", "task": "a"}, {"event": "given_back"}, "`given_back` cannot follow"),
        ({"event": "succeeded", "task": "a"}, {"event": "skipped", "because_of": "b"}, "`skipped` cannot follow"),
        ({"event": "queued", "task": "b"}, {"event": "skipped", "because_of": "a"}, "nothing before it has failed"),
        ({"event": "queued", "task": "b"}, {"event": "satisfied"}, "the plan does not say that it was done before"),
        ({"event": "queued", "task": "b", "attempt": 1}, {"attempt": 2}, "`queued` cannot follow"),
        ({"event": "run_ended"}, {"status": "failed"}, "it says that the run is `failed`, but its tasks make it"),
        ({"event": "run_started"}, {"event": "run_ended", "status": "succeeded"}, "the run ended while 3 tasks"),
    ],
)
def test_broken_rule_is_found(
    folder: Path, verify: Verify, wanted: dict[str, object], changes: dict[str, object] | None, what: str
) -> None:
    def change(entries: list[dict[str, object]]) -> list[dict[str, object]]:
        at = first(entries, **wanted)
        return [*entries[:at], *([] if changes is None else [entries[at] | changes]), *entries[at + 1 :]]

    rewrite(folder, change)

    assert any(problem.startswith(what) for problem in problems(verify(folder)))


def test_result_that_is_accepted_twice_is_found(folder: Path, verify: Verify) -> None:
    def change(entries: list[dict[str, object]]) -> list[dict[str, object]]:
        at = first(entries, event="succeeded", task="a")
        return [*entries[: at + 1], entries[at], *entries[at + 1 :]]

    rewrite(folder, change)

    assert "`succeeded` cannot follow: the task was succeeded, at attempt 1" in problems(verify(folder))


def test_result_of_an_attempt_that_was_lost_is_found(folder: Path, verify: Verify) -> None:
    def change(entries: list[dict[str, object]]) -> list[dict[str, object]]:
        at = first(entries, event="running", task="a")
        lost = {name: entries[at][name] for name in ("seq", "at", "entry", "task", "attempt", "prev", "hash")}
        return [*entries[: at + 1], lost | {"event": "attempt_lost"}, *entries[at + 1 :]]

    rewrite(folder, change)

    assert "`succeeded` cannot follow: the task was lost, at attempt 1" in problems(verify(folder))


def test_head_of_another_run_and_record_of_another_task_are_found(folder: Path, verify: Verify, tmp_path: Path) -> None:
    other = StagedRun(DIAMOND, run_id="20300101-000000-000bbbbbb")
    other.perform_diamond()
    elsewhere = other.bring_home(tmp_path / "other")
    head = orjson.loads((elsewhere / "ledger.jsonl").read_bytes().split(b"\n", 1)[0])
    rewrite(
        folder, lambda entries: [{**entries[0], **{k: head[k] for k in ("head", "key", "signature")}}, *entries[1:]]
    )

    found = verify(folder)

    assert any("`it is of run" in problem or "it is of run" in problem for problem in problems(found))
    assert any("signature does not hold" in problem for problem in problems(found))


def test_key_of_an_unknown_worker_is_named(tmp_path: Path) -> None:
    stranger = identity_of(9)
    run = StagedRun(worker=stranger)
    run.perform_diamond()

    found = verify_folder(run.bring_home(tmp_path / "run"), trust_in(run.submitter), only_trusted=True)

    (problem,) = problems(found)
    assert stranger.public in problem
    assert "worker w@h" in problem
