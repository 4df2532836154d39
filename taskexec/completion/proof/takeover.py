"""Checking what a run took over from other runs: exactly what its submitter has signed."""

from __future__ import annotations

from collections.abc import Mapping

from taskexec.completion.proof.chain import Entry
from taskexec.completion.proof.findings import Findings
from taskexec.domain.events import TransitionKind
from taskexec.domain.proof import canonical_json, taken_digest

__all__ = ["TakeoverCheck"]


class TakeoverCheck:
    """Takes the entries in order; each life of a run has a head that covers all that was taken over so far."""

    def __init__(self, index_of: Mapping[str, int], findings: Findings) -> None:
        self._index_of = index_of
        self._findings = findings
        self._taken: dict[int, bytes] = {}
        self._submitted: Entry | None = None
        self._is_whole = True
        """Whether the ledger begins with the first life: later ones do not tell again what was taken over."""
        self._is_told = False
        """Whether the life has come to where the ledger says what was taken over."""

    def take(self, entry: Entry) -> None:
        """Take in the next entry."""
        event = entry["event"]
        if event == TransitionKind.SUBMITTED:
            self.finish()
            if self._submitted is None and "continues" in entry["head"]:
                self._is_whole = False
            self._submitted, self._is_told = entry, False
        elif event == TransitionKind.STARTED:
            self._is_told = True
        elif "taken_from" in entry:
            self._is_told = True
            self._taken[self._index_of[entry["task"]]] = canonical_json(entry["taken_from"])

    def finish(self) -> None:
        """Compare the life that ends here with its head."""
        if not self._is_told or not (self._is_whole or self._taken):
            return
        head = {} if self._submitted is None else self._submitted["head"]
        told = taken_digest(self._taken) if self._taken else None
        if told != head.get("taken_sha256"):
            line = None if self._submitted is None else self._submitted["line"]
            self._findings.problem(
                "what was taken over from other runs is not what was signed", entry=line, path="ledger.jsonl"
            )
