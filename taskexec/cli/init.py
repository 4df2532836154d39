"""`tek init`: a small plan to begin with, in any form."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import click

from taskexec.cli.options import behaviour_options
from taskexec.cli.output import say, write_file
from taskexec.errors import UsageError

__all__ = ["init"]

_TEMPLATES = {"csv": "plan.csv", "sot": "sot.md", "yaml": "workflow.yaml", "json": "plan.json"}
_BY_SUFFIX = {".csv": "csv", ".md": "sot", ".markdown": "sot", ".yaml": "yaml", ".yml": "yaml", ".json": "json"}


@click.command()
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option(
    "--kind",
    type=click.Choice(list(_TEMPLATES)),
    help="Form of the plan; else the suffix of PATH says it, else it is a table.",
)
@behaviour_options
def init(path: Path | None, kind: str | None) -> None:
    """Start a new plan: six tasks that run as they are, to be changed.

    PATH is a file or a folder; without one, the plan goes to the current folder. Nothing is overwritten.
    """
    target = path or Path()
    kind = kind or _BY_SUFFIX.get(target.suffix.lower(), "csv")
    if target.is_dir() or not target.suffix:
        target = target / _TEMPLATES[kind]
    if target.exists():
        raise UsageError(f"`{target}` is there already", hint="name another file, or a folder")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"`{target.parent}` cannot be made: {error.strerror or error}") from error
    write_file(target, (files("taskexec") / "templates" / _TEMPLATES[kind]).read_bytes())
    say(f"wrote `{target}`: look at it with `tek plan {target}`, run it with `tek run {target}`")
