"""The submitter's journal: what is needed to submit a run again when the server that knew it has lost it.

It is written into the run's folder before anything is sent, and holds the plan, its canvas and how the run is carried
out. With the ledger and the evidence in the same folder a further life of the run can begin (`submission.further`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from taskexec.completion.home import write_atomically
from taskexec.domain.program import RunOptions
from taskexec.errors import NotFound

__all__ = ["JOURNAL_FILE", "Journal"]

JOURNAL_FILE = "journal.json"
"""Its name in the run's folder."""


@dataclass(frozen=True, slots=True)
class Journal:
    """What was submitted."""

    plan_json: bytes
    """`plan.json`, byte for byte."""
    canvas_json: bytes
    """`canvas.json`, byte for byte."""
    options: RunOptions
    is_here: bool = False
    """Whether the run is carried out by its submitter itself (`tek run`), and not on a cluster."""

    def write(self, folder: Path) -> None:
        """Write it into a run's folder, which is made if need be.

        Raises:
            OSError: It cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "plan.json", self.plan_json)
        write_atomically(folder / "canvas.json", self.canvas_json)
        body = {"version": 1, "is_here": self.is_here, "options": asdict(self.options)}
        write_atomically(folder / JOURNAL_FILE, orjson.dumps(body, option=orjson.OPT_INDENT_2))

    @classmethod
    def read(cls, folder: Path) -> Journal:
        """Return what was written into a run's folder.

        Raises:
            NotFound: There is none, or it is damaged.
        """
        try:
            body = orjson.loads((folder / JOURNAL_FILE).read_bytes())
            plan_json, canvas_json = (folder / "plan.json").read_bytes(), (folder / "canvas.json").read_bytes()
            return cls(plan_json, canvas_json, RunOptions(**body["options"]), bool(body["is_here"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise NotFound(
                f"{folder} has no journal that run `{folder.name}` could be taken up from: {error}",
                hint="a run is taken up in the folder it was submitted from; `tek run` starts the plan anew",
            ) from error
