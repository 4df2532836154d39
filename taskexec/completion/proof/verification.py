"""Verifying a run's folder: one pass over its ledger with all checks beside each other, then what is left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from taskexec.completion.keys import Trust, fingerprint
from taskexec.completion.proof.chain import read_chain
from taskexec.completion.proof.evidence import EvidenceCheck
from taskexec.completion.proof.findings import Findings, Problem, Signer
from taskexec.completion.proof.order import OrderCheck
from taskexec.completion.proof.results import ResultCheck
from taskexec.completion.proof.signatures import SignatureCheck
from taskexec.completion.proof.summary import SummaryCheck
from taskexec.completion.proof.takeover import TakeoverCheck
from taskexec.errors import NotFound

__all__ = ["Problem", "Signer", "Verification", "verify_folder"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What verifying a folder found."""

    run_id: str | None
    """As its submitter signed it; None when no head says so."""
    status: str | None
    """How the run ended; None while it goes on."""
    checked: Mapping[str, int]
    """How many `tasks`, `entries`, `signatures`, `attempts`, `files` and `bytes` were checked."""
    problem_count: int
    problems: tuple[Problem, ...]
    """What does not hold, the first broken entry first; at most `PROBLEMS_KEPT`."""
    warnings: tuple[str, ...]
    """What holds, but says less than it might."""
    signers: tuple[Signer, ...]
    replay_hash: str | None
    """What came out, as one number; None while the run goes on."""
    is_partial: bool
    """Whether part of what the run left lies elsewhere, as a problem says: former lives, or what was taken over."""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong with what is there."""
        return not self.problem_count

    @property
    def is_complete(self) -> bool:
        """Whether the run has ended, and the folder has all of it."""
        return self.status is not None and not self.is_partial

    def to_json(self) -> dict[str, Any]:
        """Return it as `tek verify` prints it."""
        return {
            "ok": self.ok,
            "complete": self.is_complete,
            "run_id": self.run_id,
            "status": self.status,
            "checked": dict(self.checked),
            "problem_count": self.problem_count,
            "problems": [problem.to_json() for problem in self.problems],
            "warnings": list(self.warnings),
            "signers": [signer.to_json() for signer in self.signers],
            "replay_hash": self.replay_hash,
        }


def verify_folder(folder: Path, trust: Trust, *, only_trusted: bool = False) -> Verification:
    """Check all that a run's folder says, with nothing but the folder; time and memory are linear in the run.

    Args:
        folder: The folder, as `tek run` or `tek collect` has left it.
        trust: The keys that count as known.
        only_trusted: Whether signatures by other keys, and what nobody signed, are problems instead of warnings.

    Raises:
        NotFound: It is no folder of a run.
        OSError: It cannot be read.
    """
    if not (folder / "ledger.jsonl").is_file():
        raise NotFound(f"`{folder}` is no folder of a run: it has no ledger.jsonl", hint="`tek runs` lists the runs")
    findings = Findings(trust)
    plan = _plan(folder, findings)
    if plan is None:
        return _verification(findings, None, None)
    index_of = {task["id"]: index for index, task in enumerate(plan["tasks"])}
    findings.checked["tasks"] = len(index_of)
    order = OrderCheck(plan["tasks"], index_of)
    signatures = SignatureCheck(folder, plan, findings)
    evidence = EvidenceCheck(folder, plan, findings)
    takeover, results = TakeoverCheck(index_of, findings), ResultCheck(plan["tasks"], findings)
    summary = SummaryCheck(folder, plan, index_of, findings)
    for entry in read_chain(folder / "ledger.jsonl", index_of, findings, is_settled=summary.is_settled):
        signatures.take(entry)
        for wrong in order.take(entry):
            findings.problem(wrong, entry=entry["line"], path="ledger.jsonl")
        takeover.take(entry)
        record = evidence.take(entry, signatures.run_id)
        results.take(entry, record)
        summary.take(entry, record)
    signatures.finish()
    takeover.finish()
    unproved = summary.finish(evidence.pending)
    evidence.finish(unproved, is_complete=order.has_ended)
    _judge(findings, len(unproved), len(evidence.pending), only_trusted=only_trusted)
    return _verification(findings, signatures.run_id, summary)


def _plan(folder: Path, findings: Findings) -> dict[str, Any] | None:
    """Return the plan of a run, or None when nothing can be checked against it."""
    try:
        plan = orjson.loads((folder / "plan.json").read_bytes())
    except FileNotFoundError:
        findings.problem("is missing", path="plan.json")
        return None
    except (OSError, orjson.JSONDecodeError) as error:
        findings.problem(f"cannot be read: {error}", path="plan.json")
        return None
    if not _is_plan(plan):
        findings.problem("is not the plan of a run", path="plan.json")
        return None
    return dict(plan)


def _is_plan(plan: Any) -> bool:
    """Return whether a plan.json has what the checks rely on."""
    if not isinstance(plan, dict) or not isinstance(plan.get("tasks"), list):
        return False
    if not all(isinstance(task, dict) and task.keys() >= _OF_A_TASK for task in plan["tasks"]):
        return False
    ids = [task["id"] for task in plan["tasks"]]
    if not all(isinstance(task_id, str) for task_id in ids) or len(set(ids)) != len(ids):
        return False
    folders = plan.get("folders", {})
    if not isinstance(folders, dict) or not all(isinstance(task["depends_on"], list) for task in plan["tasks"]):
        return False
    names = (folders.get(task_id, task_id) for task_id in ids)
    return all(isinstance(name, str) and "/" not in name and name not in {"", ".", ".."} for name in names)


_OF_A_TASK = {"id", "depends_on", "agent", "lane", "route"}


def _judge(findings: Findings, unproved: int, pending: int, *, only_trusted: bool) -> None:
    """Say of what holds where it rests on somebody who is not known, or on nothing."""
    note = findings.problem if only_trusted else findings.warnings.append
    for signer in findings.signers:
        if not signer.is_trusted:
            who = f"{signer.role} {', '.join(sorted(signer.workers))}".strip()
            note(f"the key {fingerprint(signer.key)} of the {who} is not trusted (`tek keys trust {signer.key}`)")
    for what in findings.unsigned:
        note(what)
    if unproved:
        findings.warnings.append(f"{unproved} files are of attempts that ended without a signed record")
    if pending:
        findings.warnings.append(f"{pending} files are still with their workers (`tek collect` fetches them)")


def _verification(findings: Findings, run_id: str | None, summary: SummaryCheck | None) -> Verification:
    outline = None if summary is None else summary.outline
    return Verification(
        run_id=run_id,
        status=None if outline is None else outline.status,
        checked={name: findings.checked[name] for name in _CHECKED},
        problem_count=findings.problem_count,
        problems=tuple(findings.problems),
        warnings=tuple(findings.warnings),
        signers=tuple(findings.signers),
        replay_hash=None if outline is None or outline.status is None else outline.replay.hash(),
        is_partial=findings.is_partial,
    )


_CHECKED = ("tasks", "entries", "signatures", "attempts", "files", "bytes")
