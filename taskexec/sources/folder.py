"""Where the files of a plan are: the plan in a folder, and the hooks and manifest that stand beside a plan."""

from __future__ import annotations

from pathlib import Path

from taskexec.errors import Place
from taskexec.sources.refusal import refused

__all__ = ["find_beside", "find_plan"]

_SUFFIXES = (".csv", ".tsv", ".md", ".yaml", ".yml", ".json")
_NAMES = ("plan", "sot", "workflow", "tasks", "backlog")
_CONFIG_FOLDER = "config"


def find_plan(folder: Path) -> Path:
    """Return the file in a folder that is its plan.

    That is the one file called `plan`, `sot`, `workflow`, `tasks` or `backlog`, with a suffix of a plan, in any case
    of letters; without one, the only table (`.csv`, `.tsv`) in the folder.

    Raises:
        PlanRejected: There is none, or more than one.
    """
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES and path.is_file())
    except OSError as error:
        message = f"the folder cannot be read: {error.strerror or error}"
        raise refused("source.unreadable", message, Place(str(folder)), "check its permissions") from error
    named = [path for path in files if path.stem.lower() in _NAMES]
    tables = [path for path in files if path.suffix.lower() in (".csv", ".tsv")]
    found = named or tables
    if len(found) == 1:
        return found[0]
    if not found:
        hint = "call the file plan.csv, sot.md or workflow.yaml, or name a file"
        raise refused("source.folder", "the folder holds no plan", Place(str(folder)), hint)
    names = ", ".join(f"`{path.name}`" for path in found[:8])
    raise refused(
        "source.folder", f"the folder holds {len(found)} plans, {names}", Place(str(folder)), "name one of them"
    )


def find_beside(plan: Path, name: str) -> Path | None:
    """Return the file of a name that stands beside a plan or in `config/` there, or None."""
    candidates = (plan.parent / name, plan.parent / _CONFIG_FOLDER / name)
    return next((path for path in candidates if path != plan and path.is_file()), None)
