"""The submitter's journal: what is needed to submit a run again when the server that knew it has lost it.

It is written into the run's folder before anything is sent, and holds the plan, its canvas and how the run is carried
out. With the ledger and the evidence in the same folder a further life of the run can begin (`submission.submitter`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import orjson

from taskexec.completion.home import write_atomically
from taskexec.domain.program import RunOptions
from taskexec.errors import NotFound

__all__ = ["JOURNAL_FILE", "Here", "Journal"]

JOURNAL_FILE = "journal.json"
"""Its name in the run's folder."""


@dataclass(frozen=True, slots=True)
class Here:
    """How a run is carried out whose submitter carries it out itself, on a server and a worker that end with it."""

    project_dir: str
    """Folder that commands run in, absolute."""
    slots: int
    """Tasks at once."""


@dataclass(frozen=True, slots=True)
class Journal:
    """What was submitted."""

    plan_json: bytes
    """`plan.json`, byte for byte."""
    canvas_json: bytes
    """`canvas.json`, byte for byte."""
    options: RunOptions
    here: Here | None = None
    """None for a run on a cluster."""
    taken: Mapping[int, bytes] = field(default_factory=dict)
    """What the log says of tasks that are taken over from another run, by position."""

    def write(self, folder: Path) -> None:
        """Write it into a run's folder, which is made if need be.

        Raises:
            OSError: It cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "plan.json", self.plan_json)
        write_atomically(folder / "canvas.json", self.canvas_json)
        body = {
            "version": 1,
            "plan_sha256": _sha256(self.plan_json),
            "canvas_sha256": _sha256(self.canvas_json),
            "here": None if self.here is None else asdict(self.here),
            "options": asdict(self.options),
            "taken": {str(index): told.decode() for index, told in self.taken.items()},
        }
        write_atomically(folder / JOURNAL_FILE, orjson.dumps(body, option=orjson.OPT_INDENT_2))

    @classmethod
    def read(cls, folder: Path) -> Journal:
        """Return what was written into a run's folder.

        Raises:
            NotFound: There is none, it is damaged, or the plan beside it is not the one that was submitted.
        """
        try:
            body = orjson.loads((folder / JOURNAL_FILE).read_bytes())
            plan_json, canvas_json = (folder / "plan.json").read_bytes(), (folder / "canvas.json").read_bytes()
            here = None if body["here"] is None else Here(**body["here"])
            taken = {int(index): told.encode() for index, told in body["taken"].items()}
            journal = cls(plan_json, canvas_json, RunOptions(**body["options"]), here, taken)
            digests = body["plan_sha256"], body["canvas_sha256"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise NotFound(
                f"{folder} has no journal that run `{folder.name}` could be taken up from: {error}",
                hint="a run is taken up in the folder it was submitted from; `tek run` starts the plan anew",
            ) from error
        if digests != (_sha256(plan_json), _sha256(canvas_json)):
            raise NotFound(
                f"plan.json or canvas.json in {folder} is not what was submitted; nothing is taken up from it",
                hint="`tek verify` says more; `tek run` starts the plan anew",
            )
        return journal


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
