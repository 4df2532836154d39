"""What checking a run's folder brings to light: problems, warnings, signers, and how much was looked at."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from taskexec.completion.keys import Trust, fingerprint

__all__ = ["PROBLEMS_KEPT", "Findings", "Problem", "Signer"]

PROBLEMS_KEPT = 1000
"""Most problems that are told one by one; all are counted."""


class Problem(NamedTuple):
    """One thing that does not hold."""

    entry: int | None
    """Line of the ledger, from 1; None when no entry is meant."""
    path: str | None
    """File or folder, relative to the run's folder."""
    what: str
    """What is wrong, for people."""

    def to_json(self) -> dict[str, Any]:
        """Return it as `tek verify` prints it."""
        return self._asdict()


@dataclass(slots=True)
class Signer:
    """A key that has signed something."""

    key: str
    role: str
    """`submitter` or `worker`."""
    name: str | None
    """The name by which it is trusted; None when it is not."""
    signatures: int = 0
    workers: set[str] = field(default_factory=set)
    """Names of the workers that have used it."""

    @property
    def is_trusted(self) -> bool:
        """Whether whoever checks trusts it."""
        return self.name is not None

    def to_json(self) -> dict[str, Any]:
        """Return it as `tek verify` prints it."""
        told = {"key": self.key, "fingerprint": fingerprint(self.key), "role": self.role, "name": self.name}
        return told | {"trusted": self.is_trusted, "signatures": self.signatures, "workers": sorted(self.workers)}


class Findings:
    """Collects what the checks find."""

    def __init__(self, trust: Trust) -> None:
        self._trust = trust
        self._broken: list[Problem] = []
        self._problems: list[Problem] = []
        self.problem_count = 0
        self.warnings: list[str] = []
        self.unsigned: list[str] = []
        """What might have been signed and was not."""
        self.is_partial = False
        """Whether part of what the run left lies elsewhere."""
        self.checked: Counter[str] = Counter()
        """How many entries, signatures, attempts, files and bytes were checked."""
        self._signers: dict[tuple[str, str], Signer] = {}

    def broken(self, what: str, *, entry: int) -> None:
        """Note that the chain does not hold at an entry: of what else is found, much will follow from that."""
        self.problem_count += 1
        if len(self._broken) < PROBLEMS_KEPT:
            self._broken.append(Problem(entry, "ledger.jsonl", what))

    def problem(self, what: str, *, entry: int | None = None, path: str | None = None) -> None:
        """Note that something does not hold."""
        self.problem_count += 1
        if len(self._problems) < PROBLEMS_KEPT:
            self._problems.append(Problem(entry, path, what))

    def signed_by(self, key: str, role: str, worker: str = "") -> None:
        """Note a signature that holds."""
        self.checked["signatures"] += 1
        signer = self._signers.setdefault((role, key), Signer(key, role, self._trust.name_of(key)))
        signer.signatures += 1
        if worker:
            signer.workers.add(worker)

    @property
    def problems(self) -> list[Problem]:
        """The problems, the first broken entry first; then others by entry, and those of no entry by path."""
        others = sorted(self._problems, key=lambda found: (found.entry or math.inf, found.path or ""))
        return [*self._broken, *others][:PROBLEMS_KEPT]

    @property
    def signers(self) -> list[Signer]:
        """Who has signed: the submitter first, then workers by key."""
        return sorted(self._signers.values(), key=lambda signer: (signer.role != "submitter", signer.key))
