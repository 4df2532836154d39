"""What is compared of two runs: outcomes and digests; never times, places, workers or lost attempts."""

from __future__ import annotations

import hashlib
from pathlib import Path

import orjson
from support.proofs import StagedRun, identity_of

from taskexec.completion.replay import ReplayAccount, first_difference, read_replay
from taskexec.domain.program import Member
from taskexec.domain.proof import canonical_json
from taskexec.runtime.attempt import lost_record


def folder_of(run: StagedRun, path: Path) -> Path:
    return run.bring_home(path)


def performed(path: Path, **fields: object) -> Path:
    run = StagedRun(worker=identity_of(len(path.name)), run_id=f"20300101-000000-{path.name}")
    run.now_us += 1000 * len(path.name)
    run.perform(0, worker=f"{path.name}@h", **fields)
    run.fail(1)
    run.perform(1, 2)
    run.perform(2)
    return run.bring_home(path)


def test_runs_of_other_times_workers_and_keys_have_the_same_hash(tmp_path: Path) -> None:
    one, other = performed(tmp_path / "one"), performed(tmp_path / "another")

    hashes = {orjson.loads((folder / "run.json").read_bytes())["replay_hash"] for folder in (one, other)}

    assert len(hashes) == 1
    assert hashes == {read_replay(one).hash()}


def test_hash_is_over_the_canonical_json_of_all_tasks(tmp_path: Path) -> None:
    account = read_replay(performed(tmp_path / "one"))
    tasks = {task_id: account.outcome(task_id) for task_id in ("a", "b", "c/../d")}

    assert account.hash() == hashlib.sha256(canonical_json(tasks)).hexdigest()


def test_lost_attempts_do_not_count_and_own_failures_do(tmp_path: Path) -> None:
    run = StagedRun()
    run.claim(0)
    run.store.lose(run.run_id, [Member(0, 1)], worker="w@h", record=lost_record("gone", worker="w@h"))
    run.perform(0, 2)
    run.fail(1)
    run.perform(1, 2)
    run.perform(2)
    lost, plain = read_replay(run.bring_home(tmp_path / "lost")), read_replay(performed(tmp_path / "plain"))

    assert lost.hash() == plain.hash()
    assert (plain.outcome("b") or {})["failures"] == 1


def test_first_difference_is_the_first_in_the_order_of_dependencies(tmp_path: Path) -> None:
    one = performed(tmp_path / "one", inline={"files/x": b"1"}, result=1)
    other = performed(tmp_path / "other", inline={"files/x": b"2"}, result=1)
    tasks = orjson.loads((one / "plan.json").read_bytes())["tasks"]

    found = first_difference(tasks, read_replay(one), read_replay(other))

    assert found is not None
    assert (found.task, found.what) == ("a", "files.files/x")
    assert (found.one, found.other) == (hashlib.sha256(b"1").hexdigest(), hashlib.sha256(b"2").hexdigest())


def test_status_is_compared_before_what_was_left(tmp_path: Path) -> None:
    run = StagedRun()
    run.fail(0)
    one, other = performed(tmp_path / "one"), run.bring_home(tmp_path / "other")
    tasks = orjson.loads((one / "plan.json").read_bytes())["tasks"]

    found = first_difference(tasks, read_replay(one), read_replay(other))

    assert found is not None
    assert (found.task, found.what, found.one, found.other) == ("a", "status", "succeeded", "failed")


def test_equal_runs_differ_nowhere(tmp_path: Path) -> None:
    one, other = performed(tmp_path / "one"), performed(tmp_path / "other")
    tasks = orjson.loads((one / "plan.json").read_bytes())["tasks"]

    assert first_difference(tasks, read_replay(one), read_replay(other)) is None


def test_task_that_ran_again_is_compared_by_its_last_life() -> None:
    account, plain = ReplayAccount(), ReplayAccount()
    done = {"event": "succeeded", "task": "a", "evidence": {"stdout.log": "x", "result.json": "y"}}

    for entry in ({"event": "failed", "task": "a", "reason": "exit"}, {"event": "retried", "task": "a"}, done):
        account.take(entry)
    plain.take(done | {"evidence": {"stdout.log": "x", "result.json": "z"}})

    assert account.hash() == plain.hash()
