"""Checking results that travelled between tasks: each attempt was given what its dependencies had left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from taskexec.completion.proof.chain import Entry
from taskexec.completion.proof.findings import Findings
from taskexec.domain.events import TransitionKind
from taskexec.domain.proof import GIVEN_FIELDS, given_fields, value_digest
from taskexec.domain.states import Reason

__all__ = ["ResultCheck"]

_WITH_RECORD = {TransitionKind.SUCCEEDED, TransitionKind.FAILED, TransitionKind.TRIED}
_NULL = value_digest(None)
"""A result of null is as good as none: dependents are told null either way."""


class ResultCheck:
    """Takes the entries in order, with the records of attempts that were found unchanged."""

    def __init__(self, tasks: Sequence[Mapping[str, Any]], findings: Findings) -> None:
        """Check a run of a plan with these tasks (of `plan.json`)."""
        self._findings = findings
        self._depends_on = {task["id"]: task["depends_on"] for task in tasks}
        self._left: dict[str, str] = {}
        """Task -> digest of the result that it left for dependents, if it left any."""
        self._unknown: set[str] = set()
        """Tasks of which the ledger does not say what they left: it begins with a further life of the run."""
        self._is_first = True

    def take(self, entry: Entry, raw: bytes | None) -> None:
        """Take in the next entry; `raw` is the record of the attempt that it ends, None when none counts."""
        event = entry["event"]
        if event == TransitionKind.SUBMITTED and self._is_first and "continues" in entry["head"]:
            self._unknown = set(self._depends_on)
        self._is_first = False
        if raw is not None and event in _WITH_RECORD:
            self._check(entry, raw)
        if event == TransitionKind.SUCCEEDED:
            self._note(entry["task"], entry.get("result_sha256"))
        elif "taken_from" in entry:
            self._note(entry["task"], entry["taken_from"].get("outcome", {}).get("result"))
        elif event == TransitionKind.RETRIED:
            self._note(entry["task"], None)

    def _note(self, task_id: str, digest: str | None) -> None:
        self._unknown.discard(task_id)
        self._left.pop(task_id, None)
        if digest not in {None, _NULL}:
            self._left[task_id] = str(digest)

    def _check(self, entry: Entry, raw: bytes) -> None:
        left = {}
        if self._left:
            named = (one for one in self._depends_on[entry["task"]] if isinstance(one, str))
            left = {one: self._left[one] for one in named if one in self._left}
        if not left and b'"given' not in raw:
            return
        record = orjson.loads(raw)
        if "run" not in record or (record.get("reason") == Reason.REFUSED and "task" not in record):
            return  # nobody was left to say, or nothing of its instructions was believed
        given = {name: record[name] for name in GIVEN_FIELDS if name in record}
        if given != given_fields(left):
            self._compare(entry, given, left)

    def _compare(self, entry: Entry, given: Mapping[str, Any], left: Mapping[str, str]) -> None:
        """Name what differs; what nobody here knows is left out."""
        unknown = {one for one in self._depends_on[entry["task"]] if isinstance(one, str) and one in self._unknown}
        by_name = given.get("given", {})
        if "given_sha256" in given or not isinstance(by_name, dict):
            if not unknown:
                self._problem("it was given other results than the tasks left that it depends on", entry)
            return
        differing = sorted(one for one in {*by_name, *left} if by_name.get(one) != left.get(one))
        for one in differing:
            if one not in unknown:
                self._problem(f"it was given another result of `{one}` than that task left", entry)
                return

    def _problem(self, what: str, entry: Entry) -> None:
        self._findings.problem(what, entry=entry["line"], path="ledger.jsonl")
