"""Signed runs on a real server with a real worker: what is not signed, or was changed, is refused and recorded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support.live import Home, LiveCluster, make_plan
from support.proofs import identity_of

from taskexec.completion.keys import Identity, KeyFolder
from taskexec.completion.proof import Verification, verify_folder
from taskexec.domain.program import RunOptions
from taskexec.store.keys import run_key
from taskexec.submission.submit import prepare


def own(live: LiveCluster) -> KeyFolder:
    return KeyFolder(live.settings.security.keys_folder(live.place.environ() | {"XDG_CONFIG_HOME": ""}))


def verify(live: LiveCluster, home: Home, *, only_trusted: bool = True) -> Verification:
    trust = own(live).trust(own=live.cluster.identity)
    return verify_folder(home.folder, trust, only_trusted=only_trusted)


@contextmanager
def stored(live: LiveCluster, tasks: list[dict[str, object]], identity: Identity | None) -> Iterator[str]:
    """Store a run that somebody has signed; it is started with the end of the context."""
    submission = prepare(make_plan(tasks), RunOptions(), identity=identity)
    live.store.put(submission.program)
    yield submission.run_id
    live.store.start(submission.run_id)


def refused(home: Home, task: str) -> str:
    result = home.results[task]
    assert (result["status"], result["reason"], result["attempts"]) == ("failed", "refused", 1)
    assert home.record(task)["commands"] == []
    return str(result["error"])


def test_run_and_its_completions_are_signed_and_verify(live: LiveCluster) -> None:
    home = live.carry_out([{"id": "a", "command": "echo hello"}, {"id": "b", "command": "false", "depends_on": "a"}])

    found = verify(live, home)

    assert (found.problems, found.status) == ((), "failed")
    assert [signer.role for signer in found.signers] == ["submitter", "worker"]
    assert home.ledger[0]["event"] == "submitted"


def test_batches_are_signed_once_a_call(live: LiveCluster) -> None:
    home = live.carry_out([{"id": f"t{number}", "agent": "noop"} for number in range(200)])

    found = verify(live, home)

    assert found.problems == ()
    assert len(home.transitions("signed")) < 200


@pytest.mark.parametrize("submitter", [None, 77], ids=["nobody", "a stranger"])
def test_worker_refuses_what_no_trusted_key_has_signed(live: LiveCluster, submitter: int | None) -> None:
    identity = None if submitter is None else identity_of(submitter)
    with stored(live, [{"id": "a", "command": "touch hacked", "retries": 2}], identity) as run_id:
        pass

    home = live.finish(run_id)

    error = refused(home, "a")
    assert ("tek keys trust" in error) is (submitter is not None)
    assert not (live.project / "hacked").exists()
    assert verify(live, home, only_trusted=False).problems == ()
    assert not verify(live, home).ok


def test_worker_refuses_a_spec_that_was_changed_after_signing(live: LiveCluster) -> None:
    tasks: list[dict[str, object]] = [{"id": "a", "command": "touch good"}, {"id": "b", "command": "touch fine"}]
    with stored(live, tasks, live.cluster.identity) as run_id:
        key = run_key(run_id, "spec")
        spec = live.cluster.connection.call("HGET", key, "1")
        live.cluster.connection.call("HSET", key, "1", bytes(spec).replace(b"fine", b"evil"))

    home = live.finish(run_id)

    assert home.statuses == {"a": "succeeded", "b": "failed"}
    assert "not those that were signed" in refused(home, "b")
    assert not (live.project / "evil").exists()
    assert verify(live, home).problems == ()


def test_dry_run_that_was_switched_off_on_the_server_stays_one(live: LiveCluster) -> None:
    plan = [{"id": "a", "command": "touch for-real"}]
    submission = prepare(make_plan(plan), RunOptions(dry_run=True), identity=live.cluster.identity)
    run_id = submission.run_id
    live.store.put(submission.program)
    live.cluster.connection.call("HSET", run_key(run_id, "meta"), "dry_run", "0")
    live.store.start(run_id)

    home = live.finish(run_id)

    assert home.statuses == {"a": "succeeded"}
    assert not (live.project / "for-real").exists()
    assert home.summary["dry_run"] is True
