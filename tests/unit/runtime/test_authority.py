"""What a worker performs: only what a trusted key has signed, as it was signed; and what it says of the rest."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import orjson
import pytest
from support.proofs import StagedRun, identity_of, trust_in

from taskexec.completion.keys import Identity, is_signed
from taskexec.domain.program import ClaimedMember, Member, RunHead, RunOptions
from taskexec.domain.proof import SignedHead, blocks_digest, canonical_json, completion_message, spec_leaf
from taskexec.runtime.authority import Authority
from taskexec.runtime.refusal import refused_attempt

FRIEND, STRANGER, WORKER = identity_of(1), identity_of(2), identity_of(3)
RUN = "20300101-000000-000aaaaaa"


@dataclass
class Server:
    """What a server holds of a run, to be changed by whoever can write there."""

    run: StagedRun
    signed: SignedHead = field(init=False)
    leaves: bytes = field(init=False)
    blocks: bytes = field(init=False)
    asked: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.signed = self.run.store.signed_head(RUN)
        self.leaves = self.run.submission.program.leaves
        self.blocks = blocks_digest(self.leaves)

    def head(self, run_id: str) -> RunHead:
        return self.run.store.head(run_id)

    def signed_head(self, _: str) -> SignedHead:
        return self.signed

    def leaf_block(self, _: str, number: int) -> bytes:
        self.asked.append(number)
        return self.leaves[number * 8192 : (number + 1) * 8192]

    def leaf_blocks(self, _: str) -> bytes:
        return self.blocks

    def claimed(self, index: int) -> ClaimedMember:
        dependencies, spec = self.run.submission.program.tasks[index].spec.split(b"\n", 1)
        return ClaimedMember(Member(index, 1), tuple(map(int, filter(None, dependencies.split(b",")))), spec)


def server(submitter: Identity = FRIEND, *, tasks: int = 3, dry_run: bool = False) -> Server:
    plan = [{"id": f"t{n}", "command": "true", "depends_on": f"t{n - 1}" if n else ""} for n in range(tasks)]
    return Server(StagedRun(plan, submitter=submitter, options=RunOptions(dry_run=dry_run), run_id=RUN))


def authority(*, require_signed: bool = True) -> Authority:
    return Authority(identity=WORKER, trust=lambda: trust_in(FRIEND, WORKER), require_signed=require_signed)


def refusals(server: Server, *, require_signed: bool = True) -> list[str]:
    warrant = authority(require_signed=require_signed).warrant(RUN, server)
    claimed = [server.claimed(index) for index in range(len(server.run.task_ids))]
    return list(warrant.refusals(claimed).values())


def test_what_a_trusted_key_has_signed_is_performed() -> None:
    assert refusals(server()) == []


def test_thousand_tasks_are_checked_with_one_look_at_each_block() -> None:
    there = server(tasks=600)

    assert refusals(there) == []
    assert there.asked == [0, 1, 2]


def test_unknown_key_is_refused_with_what_to_do() -> None:
    found = refusals(server(STRANGER))

    assert len(found) == 3
    assert f"`tek keys trust {STRANGER.public}`" in found[0]
    assert "security.trusted_keys" in found[0]


def test_key_that_is_trusted_while_the_worker_runs_counts() -> None:
    known, there = [FRIEND], server(STRANGER)
    worker = Authority(identity=WORKER, trust=lambda: trust_in(*known))

    before = worker.warrant(RUN, there).refusal
    known.append(STRANGER)

    assert before
    assert worker.warrant(RUN, there).refusal == ""


@pytest.mark.parametrize("require_signed", [True, False])
def test_unsigned_run_is_refused_unless_the_settings_allow_it(require_signed: bool) -> None:
    there = server()
    there.signed = SignedHead(there.signed.head)

    found = refusals(there, require_signed=require_signed)

    assert bool(found) is require_signed
    assert all("security.require_signed" in why for why in found)


@pytest.mark.parametrize("require_signed", [True, False])
def test_wrong_signature_is_always_refused(require_signed: bool) -> None:
    there = server()
    head = orjson.loads(there.signed.head)
    there.signed = there.signed._replace(head=canonical_json(head | {"dry_run": True}))

    assert len(refusals(there, require_signed=require_signed)) == 3


@pytest.mark.parametrize("name", ["key", "signature"])
def test_missing_half_of_a_signature_is_a_wrong_one(name: str) -> None:
    there = server()
    there.signed = there.signed._replace(**{name: ""})

    assert len(refusals(there, require_signed=False)) == 3


def test_signed_head_of_another_run_is_refused() -> None:
    there, other = server(), StagedRun(run_id="20300101-000000-000bbbbbb")
    there.signed = other.store.signed_head(other.run_id)

    assert all("another run" in why for why in refusals(there))


def test_signed_nonsense_is_refused() -> None:
    there = server()
    for head in (b"", b"[]", b"{}", b"not json"):
        there.signed = FRIEND.sign_head(head)
        assert len(refusals(there)) == 3


def test_changed_instructions_are_refused_and_the_others_are_not() -> None:
    there = server()
    warrant = authority().warrant(RUN, there)
    changed = replace(there.claimed(1), spec=there.claimed(1).spec.replace(b'"true"', b'"evil"'))

    found = warrant.refusals([there.claimed(0), changed, there.claimed(2)])

    assert list(found) == [Member(1, 1)]


def test_changed_dependencies_and_swapped_instructions_are_refused() -> None:
    there = server()
    warrant = authority().warrant(RUN, there)
    loose = replace(there.claimed(2), dependencies=())
    swapped = replace(there.claimed(2), member=Member(1, 1))

    assert len(warrant.refusals([loose])) == len(warrant.refusals([swapped])) == 1


def test_changed_leaves_do_not_help() -> None:
    """Whoever changes a spec changes its leaf, the block's digest, or all digests: the root is what was signed."""
    there = server()
    spec = b"\n" + there.claimed(0).spec.replace(b'"true"', b'"evil"')
    evil = replace(there.claimed(0), spec=spec[1:])
    there.leaves = spec_leaf(0, spec) + there.leaves[32:]
    by_leaf = authority().warrant(RUN, there).refusals([evil])
    there.blocks = blocks_digest(there.leaves)
    by_block = authority().warrant(RUN, there).refusals([evil])

    assert len(by_leaf) == len(by_block) == 1


def test_dry_run_is_what_was_signed() -> None:
    there = server(dry_run=True)
    there.head = lambda _: replace(there.run.store.head(RUN), dry_run=False)  # type: ignore[method-assign]

    assert authority().warrant(RUN, there).is_dry_run


def test_refused_attempt_is_a_failure_that_repeats_nothing_of_its_instructions() -> None:
    claimed = replace(server().claimed(1), spec=b"not even JSON")

    performed = refused_attempt(RUN, claimed, "why", at_s=1.0, worker="w@h")

    record = orjson.loads(performed.record.partition(b"\t")[0])
    assert (performed.outcome.succeeded, performed.outcome.reason) == (False, "refused")
    assert (record["index"], record["attempt"], record["error"]) == (1, 1, "why")
    assert "task" not in record


def test_worker_signs_the_records_of_a_call_in_order() -> None:
    seal = authority().seal(RUN, [b"{}\t", b'{"a":1}\t'])

    assert seal is not None
    assert is_signed(WORKER.public, seal.signature, completion_message(RUN, seal.digests))
    assert Authority(identity=None, trust=trust_in).seal(RUN, []) is None
