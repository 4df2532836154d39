"""The head of a run: it covers the documents, the instructions of every task, and how the run is carried out."""

from __future__ import annotations

import hashlib

import orjson
from support.live import make_plan
from support.proofs import identity_of

from taskexec.completion.keys import is_signed
from taskexec.domain.program import RunOptions, Standing
from taskexec.domain.proof import blocks_digest, canonical_json, head_message, root_of_blocks, spec_leaf
from taskexec.submission.submit import Before, Submission, prepare

TASKS = [{"id": "a", "command": "true"}, {"id": "b", "command": "true", "depends_on": "a"}]


def prepared(**options: object) -> Submission:
    plan = make_plan(TASKS)
    return prepare(plan, RunOptions(**options), run_id="r", identity=identity_of(1))  # type: ignore[arg-type]


def head_of(submission: Submission) -> dict[str, object]:
    head: dict[str, object] = orjson.loads(submission.program.head.head)
    return head


def test_head_is_canonical_and_signed_by_its_submitter() -> None:
    signed = prepared().program.head

    assert canonical_json(orjson.loads(signed.head)) == signed.head
    assert is_signed(identity_of(1).public, signed.signature, head_message(signed.head))
    assert signed.key == identity_of(1).public


def test_head_names_the_documents_and_the_root_of_all_instructions() -> None:
    submission = prepared()
    leaves = b"".join(spec_leaf(index, task.spec) for index, task in enumerate(submission.program.tasks))

    head = head_of(submission)

    assert head["plan_sha256"] == hashlib.sha256(submission.plan_json).hexdigest()
    assert head["canvas_sha256"] == hashlib.sha256(submission.canvas_json).hexdigest()
    assert head["root"] == root_of_blocks(blocks_digest(leaves))
    assert (head["run"], head["plan"], head["tasks"]) == ("r", submission.program.digest, 2)
    assert "continues" not in head


def test_head_covers_what_changes_the_run_and_not_how_messages_travel() -> None:
    plain = head_of(prepared())

    assert head_of(prepared(batch_max=1, retention_s=60))["options"] == plain["options"]
    assert head_of(prepared(fail_fast=True))["options"] != plain["options"]
    assert head_of(prepared(timeout_s=5.0))["options"] != plain["options"]
    assert head_of(prepared(dry_run=True))["dry_run"] is True


def test_satisfied_task_has_a_leaf_as_well() -> None:
    plan = make_plan(TASKS, satisfied=["a"])

    program = prepare(plan, RunOptions(), run_id="r", identity=None).program

    assert len(program.leaves) == 2 * 32
    assert program.leaves[:32] == spec_leaf(0, b"")
    assert (program.head.key, program.head.signature) == ("", "")


def test_head_covers_what_is_taken_over_from_another_run() -> None:
    origin = {"run": "x", "attempt": 2, "record": "0" * 64, "outcome": {"failures": 1, "files": {}}}
    before = Before({0: Standing(reused=orjson.dumps(origin))})

    head = head_of(prepare(make_plan(TASKS), RunOptions(), run_id="r", before=before))

    assert head["taken_sha256"] == hashlib.sha256(canonical_json([[0, origin]])).hexdigest()
    assert "taken_sha256" not in head_of(prepared())
