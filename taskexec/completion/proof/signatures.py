"""Checking the signatures of a ledger: of each head, and of every record that a worker has completed."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from taskexec.completion.keys import is_signed
from taskexec.completion.ledger import LATE_RESULT, SEALED_KINDS, SIGNED
from taskexec.completion.proof.chain import Entry
from taskexec.completion.proof.findings import Findings
from taskexec.domain.events import TransitionKind
from taskexec.domain.proof import canonical_json, completion_message, head_message
from taskexec.plan import digest_of_tasks

__all__ = ["SignatureCheck"]


class SignatureCheck:
    """Takes the entries in order; a log entry's records are signed by the `signed` entry behind them."""

    def __init__(self, folder: Path, plan: Mapping[str, Any], findings: Findings) -> None:
        self._folder = folder
        self._plan = plan
        self._findings = findings
        self.run_id: str | None = None
        """The run that the first head names."""
        self._log_entry = ""
        self._unsigned: dict[int, Entry] = {}
        self._lost: set[tuple[str, int]] = set()
        self._count = 0

    def take(self, entry: Entry) -> None:
        """Check the next entry."""
        self._count += 1
        if entry["entry"] != self._log_entry:
            self.finish()
            self._log_entry = entry["entry"]
            self._lost.clear()
        event = entry["event"]
        if event == TransitionKind.SUBMITTED:
            self._take_head(entry)
        elif self._count == 1:
            self._findings.problem("the ledger does not begin with what was submitted", entry=entry["line"])
        if event == TransitionKind.LOST:
            self._lost.add((entry["task"], entry.get("attempt", 0)))
        elif event == SIGNED:
            self._take_signature(entry)
        elif event in SEALED_KINDS and not (event == TransitionKind.FAILED and self._is_lost(entry)):
            self._unsigned[entry["seq"]] = entry

    def _is_lost(self, entry: Entry) -> bool:
        """Return whether a task failed because an attempt was lost: nobody is left to sign that."""
        return (entry["task"], entry.get("attempt", 0)) in self._lost

    def finish(self) -> None:
        """Note what of the last log entry nobody has signed."""
        for entry in self._unsigned.values():
            self._findings.problem("no worker has signed its record", entry=entry["line"], path="ledger.jsonl")
        self._unsigned.clear()

    def _take_head(self, entry: Entry) -> None:
        head, line = entry["head"], entry["line"]
        key, signature = entry["key"], entry["signature"]
        if not key and not signature:
            self._findings.unsigned.append(f"entry {line}: nobody has signed what was submitted")
        elif is_signed(key, signature, head_message(canonical_json(head))):
            self._findings.signed_by(key, "submitter")
        else:
            self._findings.problem("the signature of what was submitted does not hold", entry=line)
        self._compare_head(head, entry)

    def _compare_head(self, head: dict[str, Any], entry: Entry) -> None:
        """Compare a head with the documents, and with the place it stands at."""
        line = entry["line"]
        continues = entry["prev"] if self.run_id is not None else None
        if self._count == 1 and "continues" in head:
            self._findings.is_partial = True
            self._findings.problem(
                "the ledger here begins with a further life of the run; what went before is where it was submitted",
                entry=line,
                path="ledger.jsonl",
            )
        elif head.get("continues") != continues:
            self._findings.problem("its head was signed for another place in a ledger", entry=line)
        self.run_id = self.run_id or head["run"]
        if head["run"] != self.run_id:
            self._findings.problem(f"its head is that of another run, `{head['run']}`", entry=line)
        for name in ("plan", "canvas"):
            if _sha256(self._folder / f"{name}.json") != head[f"{name}_sha256"]:
                self._findings.problem("is not what was submitted", entry=line, path=f"{name}.json")
        if head["tasks"] != len(self._plan["tasks"]) or head["plan"] != self._digest():
            self._findings.problem(
                "its tasks are not those of the digest that was signed", entry=line, path="plan.json"
            )

    def _digest(self) -> str:
        try:
            return digest_of_tasks(self._plan["tasks"])
        except ValueError as error:
            return str(error)

    def _take_signature(self, entry: Entry) -> None:
        line, covered = entry["line"], []
        for seq in entry["covers"]:
            found = self._unsigned.pop(seq, None)
            if found is None or found.get("worker") != entry["worker"]:
                self._findings.problem(f"it covers entry {seq}, which is not its to sign", entry=line)
                return
            covered.append(_record_digest(found))
        digests = entry.get("digests", covered)
        if Counter(covered) - Counter(digests):
            self._findings.problem("it lists other records than those that it covers", entry=line)
            return
        message = completion_message(self.run_id or "", digests)
        if is_signed(entry["key"], entry["signature"], message):
            self._findings.signed_by(entry["key"], "worker", entry["worker"])
        else:
            self._findings.problem("the worker's signature does not hold for the records that it covers", entry=line)


def _record_digest(entry: Entry) -> str:
    evidence = entry.get("evidence", {})
    name = LATE_RESULT if entry["event"] == TransitionKind.REFUSED else "result.json"
    return str(evidence.get(name, ""))


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
