"""Runs in memory whose folders are as real ones: signed, performed by workers with keys, and brought home."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from support.live import Task, make_plan

from taskexec.completion.home import RunFolder
from taskexec.completion.keys import Identity, Trust
from taskexec.domain.program import Completion, Member, RunOptions
from taskexec.domain.proof import given_fields, value_digest
from taskexec.store.memory import MemoryRunStore
from taskexec.submission.submit import Before, prepare

__all__ = ["StagedRun", "identity_of", "relink", "trust_in"]

DIAMOND: Sequence[Task] = (
    {"id": "a", "command": "true"},
    {"id": "b", "command": "true", "depends_on": "a", "retries": 1},
    {"id": "c/../d", "command": "true", "depends_on": "b"},
)


def identity_of(number: int) -> Identity:
    """Return the identity of somebody; the same number gives the same one."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Identity(Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"%d" % number).digest()))


def trust_in(*identities: Identity) -> Trust:
    """Return the trust in some identities."""
    return Trust({identity.public: f"key-{number}" for number, identity in enumerate(identities)})


def relink(lines: Sequence[bytes]) -> list[bytes]:
    """Return a ledger's lines with numbers and hashes made anew, as somebody would who can write the file."""
    previous, linked = "0" * 64, []
    for number, line in enumerate(lines, 1):
        entry = orjson.loads(line) | {"seq": number, "prev": previous}
        entry.pop("hash")
        text = orjson.dumps(entry)
        previous = hashlib.sha256(text).hexdigest()
        linked.append(text[:-1] + b',"hash":"' + previous.encode() + b'"}')
    return linked


class StagedRun:
    """A run of which every step is taken by hand."""

    def __init__(
        self,
        tasks: Sequence[Task] = DIAMOND,
        *,
        submitter: Identity | None = None,
        worker: Identity | None = None,
        options: RunOptions = RunOptions(),  # noqa: B008 - frozen
        run_id: str = "20300101-000000-000aaaaaa",
        before: Before | None = None,
    ) -> None:
        self.now_us = 2_000_000_000_000_000
        self.store = MemoryRunStore(lambda: self.now_us)
        self.submitter, self.worker = submitter or identity_of(1), worker or identity_of(2)
        self.run_id = run_id
        self._given: dict[tuple[int, int], dict[str, Any]] = {}
        plan = make_plan(tasks)
        self.task_ids = [task.id for task in plan.tasks]
        self.submission = prepare(plan, options, run_id=run_id, identity=self.submitter, before=before)
        self.store.put(self.submission.program)
        self.store.start(run_id)

    def claim(self, index: int, attempt: int = 1, *, worker: str = "w@h", lease_s: float = 10.0) -> None:
        self.now_us += 1000
        members = [Member(index, attempt)]
        claim = self.store.claim(self.run_id, members, worker=worker, token=f"{worker}/1-{attempt}", lease_s=lease_s)
        assert claim.members, (index, attempt, self.store.states(self.run_id))
        digests = {self.task_ids[one]: value_digest(orjson.loads(value)) for one, value in claim.results.items()}
        self._given[index, attempt] = given_fields(digests)

    def record(self, index: int, attempt: int, inline: Mapping[str, bytes], fields: Mapping[str, Any]) -> bytes:
        contents = {"stdout.log": b"", "stderr.log": b"", **inline}
        files = {
            name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in contents.items()
        }
        record = {"run": self.run_id, "task": self.task_ids[index], "attempt": attempt, "agent": "shell"}
        record |= {"status": "succeeded", "started_at": "s", "finished_at": "f", "commands": [], "files": files}
        encoded = {name: {"base64": base64.b64encode(data).decode()} for name, data in inline.items()}
        record |= self._given.get((index, attempt), {})
        return orjson.dumps(record | dict(fields)) + b"\t" + orjson.dumps(encoded)

    def complete(
        self, *members: Member, worker: str = "w@h", inline: Mapping[str, bytes] | None = None, **f: Any
    ) -> None:
        """Complete attempts in one call, signed once; fields go to their records."""
        self.now_us += 1000
        succeeded = f.get("status", "succeeded") == "succeeded"
        completions = [
            Completion(
                member=member,
                token=f"{worker}/1-{member.attempt}",
                succeeded=succeeded,
                reason="" if succeeded else f.get("reason", "exit"),
                record=self.record(member.index, member.attempt, inline or {}, f),
                result=orjson.dumps(f["result"]) if "result" in f else b"",
            )
            for member in members
        ]
        seal = self.worker.seal(self.run_id, [done.record for done in completions])
        self.store.complete(self.run_id, completions, worker=worker, agent="shell", spent_s=0.0, seal=seal)

    def perform(self, index: int, attempt: int = 1, *, worker: str = "w@h", **fields: Any) -> None:
        self.claim(index, attempt, worker=worker)
        self.complete(Member(index, attempt), worker=worker, **fields)

    def fail(self, index: int, attempt: int = 1) -> None:
        self.perform(index, attempt, status="failed", reason="exit", error="no", exit_status=1)

    def perform_diamond(self) -> None:
        """Have `a` succeed with files, `b` fail once and then succeed, `c` succeed."""
        self.perform(0, inline={"stdout.log": b"hello\n", "files/sub/f.txt": b"\x00\xff"}, result={"n": 1.5})
        self.fail(1)
        self.perform(1, 2)
        self.perform(2)

    def bring_home(self, folder: Path) -> Path:
        """Write the run's folder."""
        plan, canvas = self.store.documents(self.run_id)
        home = RunFolder(folder, zlib.decompress(plan), zlib.decompress(canvas))
        for id_, fields in self.store.read_output(self.run_id):
            home.take_output(fields, id_)
        for entry in self.store.read_log(self.run_id):
            home.take(entry)
        home.write_summary(self.store.head(self.run_id))
        home.close()
        return folder
