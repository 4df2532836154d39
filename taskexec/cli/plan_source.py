"""Which plan a command is given, how it is to be read, and what is said about it before anything is done."""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from taskexec.cli.output import FAULTS_SHOWN, report_faults, say
from taskexec.errors import Fault, UsageError

if TYPE_CHECKING:
    from taskexec.plan import Plan, PlanDraft
    from taskexec.settings import Settings

__all__ = ["PlanSource", "load_plan", "plan_source_options", "report_warnings"]

_Command = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class PlanSource:
    """Where a plan is read from, and what the command line says of how."""

    path: Path
    """The file, a folder, or `-` for standard input."""
    kind: str | None = None
    """`sot` for `--sot`; None finds out by the content."""
    hooks: Path | None = None
    """A file of hooks for the plan's tasks or lanes, or None."""
    manifest: Path | None = None
    """A file of layers and default agents, or None."""
    columns: tuple[str, ...] = ()
    """Names of columns, each `FIELD=NAME,…`."""
    use_row_ids: bool = False
    is_strict: bool = False
    allow_outside: bool = False


_FILE = click.Path(path_type=Path)
_OPTIONS = (
    click.option("--sot", "source_sot", type=_FILE, metavar="FILE", help="Plan to read: a State of Truth."),
    click.option("--plan", "source_plan", type=_FILE, metavar="FILE", help="Plan to read: any kind, as PLAN."),
    click.option("--hooks", "source_hooks", type=_FILE, metavar="FILE", help="Hooks for its tasks or lanes."),
    click.option("--manifest", "source_manifest", type=_FILE, metavar="FILE", help="Its layers and default agents."),
    click.option(
        "--columns",
        "source_columns",
        multiple=True,
        metavar="FIELD=NAME,…",
        help="What columns of a table are called: id=Ref,depends_on=After.",
    ),
    click.option("--row-ids", "source_row_ids", is_flag=True, help="Take the numbers of a table's rows as ids."),
    click.option("--strict", "source_strict", is_flag=True, help="Refuse a plan with warnings."),
    click.option("--allow-outside", "source_outside", is_flag=True, help="Let commands run outside the plan's folder."),
)


def plan_source_options(command: _Command, *, is_needed: bool = True) -> _Command:
    """Add `PLAN` and what says how it is read, given to the command as `source: PlanSource`.

    Where no plan is needed, the source is None when none was given.
    """

    @click.argument("source_argument", metavar="[PLAN]", required=False, type=_FILE)
    @functools.wraps(command)
    def with_source(*args: Any, **options: Any) -> Any:
        given = {name: options.pop(name) for name in list(options) if name.startswith("source_")}
        has_plan = any(given[f"source_{name}"] is not None for name in ("argument", "sot", "plan"))
        return command(*args, source=_source(given) if is_needed or has_plan else None, **options)

    for option in reversed(_OPTIONS):
        with_source = option(with_source)
    return with_source


def load_plan(source: PlanSource, settings: Settings) -> Plan:
    """Return the checked plan of a source.

    Raises:
        PlanRejected: The file cannot be read, or the plan has faults; all of them are listed.
        UsageError: The options do not fit together.
    """
    from taskexec.plan import build_plan, collection_paused

    with collection_paused():
        plan = build_plan(_read(source, settings), is_strict=source.is_strict or settings.plan.strict)
        gc.freeze()  # the plan lives as long as the command: later collections need not walk a million objects
    return plan


def report_warnings(warnings: Sequence[Fault]) -> None:
    """Show a plan's warnings on stderr, the first ones of very many."""
    report_faults(warnings, label="warning")
    if len(warnings) > FAULTS_SHOWN:
        say("`tek plan --output json` lists all of them")


def _read(source: PlanSource, settings: Settings) -> PlanDraft:
    from taskexec.sources import ReadOptions, parse_columns, read_plan

    texts = source.columns or tuple(text for text in (settings.plan.columns,) if text)
    options = ReadOptions(
        kind=source.kind,
        hooks=source.hooks,
        manifest=source.manifest,
        columns=parse_columns(texts),
        use_row_ids=source.use_row_ids,
        allow_outside=source.allow_outside or settings.plan.allow_outside,
        defaults=settings.plan.defaults,
        queues=settings.plan.queues,
    )
    return read_plan(source.path, options)


def _source(given: dict[str, Any]) -> PlanSource:
    paths = [path for name in ("argument", "sot", "plan") if (path := given[f"source_{name}"]) is not None]
    return PlanSource(
        _only(paths),
        kind="sot" if given["source_sot"] else None,
        hooks=given["source_hooks"],
        manifest=given["source_manifest"],
        columns=given["source_columns"],
        use_row_ids=given["source_row_ids"],
        is_strict=given["source_strict"],
        allow_outside=given["source_outside"],
    )


def _only(paths: list[Path]) -> Path:
    """Return the one path that was given."""
    if not paths:
        raise UsageError("no plan was given", hint="name a file: `tek plan nightly.csv`")
    if len(paths) > 1:
        given = " and ".join(f"`{path}`" for path in paths)
        raise UsageError(f"{given} are {len(paths)} plans", hint="give one of PLAN, `--sot` and `--plan`")
    return paths[0]
