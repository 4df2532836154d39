"""Opening a plan's files: what is read, which kind it is, and what stands beside it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from taskexec.errors import Fault, Place, UsageError
from taskexec.plan.draft import PlanDraft
from taskexec.sources.config.defaults import apply_defaults
from taskexec.sources.config.found import are_hooks_of, is_manifest, nearly_named
from taskexec.sources.config.hooks import apply_hooks
from taskexec.sources.config.manifest import apply_manifest
from taskexec.sources.decoding import Decoded, decode
from taskexec.sources.folder import find_beside, find_plan
from taskexec.sources.kinds import KINDS, find_kind
from taskexec.sources.planfile import read_planfile
from taskexec.sources.refusal import refused
from taskexec.sources.sot.reader import read_sot
from taskexec.sources.table.reader import read_csv
from taskexec.sources.values.amounts import show
from taskexec.sources.workflow.files import includes_from
from taskexec.sources.workflow.reader import read_workflow

if TYPE_CHECKING:
    from taskexec.settings import Written

__all__ = ["SIZE_MAX_BYTES", "ReadOptions", "SentPlan", "read_plan", "read_sent_plan"]

SIZE_MAX_BYTES = 256 * 1024 * 1024
"""A larger file is refused: it is no plan, or one that no memory would hold."""

STANDARD_INPUT = "-"
"""The path that means standard input."""

_HOOKS = "hooks.json"
_MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How a plan is to be read, as far as the file does not say."""

    kind: str | None = None
    """One of `kinds.KINDS`; None finds out by the content, and by the suffix in doubt."""
    hooks: Path | str | None = None
    """Hooks for the plan's tasks or lanes; None takes `hooks.json` beside the plan if it names any of them."""
    manifest: Path | str | None = None
    """Layers and default agents; None takes `manifest.json` beside the plan if it is one."""
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The user's own names of columns by field, for tables."""
    use_row_ids: bool = False
    """Whether the rows of a table are numbered, whatever they say themselves."""
    allow_outside: bool = False
    """Whether commands may have a `cwd` outside the plan's folder."""
    defaults: Mapping[str, Written] = field(default_factory=dict)
    """What tasks ask for where the plan says nothing, by field."""
    queues: Mapping[str, Mapping[str, Written]] = field(default_factory=dict)
    """The same for those of a lane or a route, by its name."""


def read_plan(path: Path | str, options: ReadOptions | None = None) -> PlanDraft:
    """Return the draft of a plan's file, of the one plan in a folder, or of standard input (`-`).

    Raises:
        PlanRejected: A file is missing, unreadable, larger than 256 MiB or no text. Faults in what it says are in
            the draft instead.
        UsageError: The options do not fit together.
    """
    options = options or ReadOptions()
    _check(path, options)
    is_file = str(path) != STANDARD_INPUT
    if is_file and os.path.isdir(path):  # Path.is_dir raises for names that no file can have
        path = find_plan(Path(path))
    decoded = _read_text(path)
    draft = _read(decoded.text, path, options)
    draft.reading.form = ", ".join(part for part in (draft.reading.form, decoded.form) if part)
    hooks = options.hooks or (find_beside(Path(path), _HOOKS) if is_file else None)
    manifest = options.manifest or (find_beside(Path(path), _MANIFEST) if is_file else None)
    if hooks is not None:
        _apply_hooks(draft, hooks, options)
    if manifest is not None:
        _apply_manifest(draft, manifest, is_named=options.manifest is not None)
    apply_defaults(draft, options.defaults, options.queues)
    return draft


@dataclass(frozen=True, slots=True)
class SentPlan:
    """A plan that somebody sends, with what belongs to it."""

    data: bytes
    """The whole file."""
    name: str
    """What it is called: its suffix counts in doubt, and places name it. No file of that name is looked for."""
    hooks: bytes | None = None
    """Hooks for its tasks or lanes."""
    manifest: bytes | None = None
    """Its layers and default agents."""


def read_sent_plan(sent: SentPlan, options: ReadOptions) -> PlanDraft:
    """Return the draft of a plan that was sent; no file is read, so that one that includes others is refused.

    Args:
        sent: The plan.
        options: How it is read; they name no files.

    Raises:
        PlanRejected: What was sent is no text. Faults in what it says are in the draft instead.
    """
    assert options.hooks is None
    assert options.manifest is None
    decoded = decode(sent.data, sent.name)
    draft = _read(decoded.text, sent.name, options, reads_includes=False)
    draft.reading.form = ", ".join(part for part in (draft.reading.form, decoded.form) if part)
    if sent.hooks is not None:
        apply_hooks(draft, decode(sent.hooks, _HOOKS).text, _HOOKS, allow_outside=options.allow_outside)
    if sent.manifest is not None:
        apply_manifest(draft, decode(sent.manifest, _MANIFEST).text, _MANIFEST)
    apply_defaults(draft, options.defaults, options.queues)
    return draft


def _check(path: Path | str, options: ReadOptions) -> None:
    if options.kind is not None and options.kind not in KINDS:
        raise UsageError(f"`{options.kind}` is not a kind of plan; {', '.join(map(repr, KINDS))} was expected")
    if [str(name) for name in (path, options.hooks, options.manifest)].count(STANDARD_INPUT) > 1:
        raise UsageError("only one of the plan, its hooks and its manifest can be standard input")


def _read(text: str, path: Path | str, options: ReadOptions, *, reads_includes: bool = True) -> PlanDraft:
    source = _shown(path)
    kind = options.kind or find_kind(text, Path(path).suffix.lower())
    if kind == "csv":
        return read_csv(text, source, columns=options.columns, use_row_ids=options.use_row_ids)
    if kind == "sot":
        return read_sot(text, source)
    if kind == "workflow":
        is_file = reads_includes and source != STANDARD_INPUT
        read_include = includes_from(Path(path), lambda name: _read_text(name).text) if is_file else None
        return read_workflow(text, source, read_include=read_include, allow_outside=options.allow_outside)
    return read_planfile(text, source, allow_outside=options.allow_outside)


def _shown(path: Path | str) -> str:
    """Return a path as a text that can be stored: bytes of a name that are no UTF-8 are escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _apply_hooks(draft: PlanDraft, hooks: Path | str, options: ReadOptions) -> None:
    text = _read_text(hooks).text
    names = _names(draft)
    if options.hooks is None and not are_hooks_of(text, names):
        near = nearly_named(text, names)
        if near is not None:
            message = f"{show(str(hooks))} is not used: {show(near[0])} is no task and no lane of this plan"
            hint = f"did you mean {show(near[1])}?"
            draft.warnings.append(Fault("hooks.unused", message, (Place(_shown(hooks)),), hint))
        draft.reading.left_out.append(f"{hooks}: it names no task and no lane of this plan")
        return
    apply_hooks(draft, text, str(hooks), allow_outside=options.allow_outside)


def _apply_manifest(draft: PlanDraft, manifest: Path | str, *, is_named: bool) -> None:
    text = _read_text(manifest).text
    if is_named or is_manifest(text):
        apply_manifest(draft, text, str(manifest))
    else:
        draft.reading.left_out.append(f"{manifest}: it is no manifest of a plan")


def _names(draft: PlanDraft) -> set[str]:
    lanes = {task.lane.value for task in draft.tasks if task.lane is not None}
    return lanes | {task.id.value for task in draft.tasks}


def _read_text(path: Path | str) -> Decoded:
    """Return a file's text with its line breaks as they are and without a byte order mark."""
    return decode(_read_bytes(path), str(path))


def _read_bytes(path: Path | str) -> bytes:
    place = Place(str(path))
    try:
        if str(path) == STANDARD_INPUT:
            data = sys.stdin.buffer.read(SIZE_MAX_BYTES + 1)
        else:
            with Path(path).open("rb") as file:
                data = file.read(SIZE_MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise refused("source.missing", "there is no such file", place, "check the path") from error
    except IsADirectoryError as error:
        raise refused("source.folder", "a folder was named", place, "name a file in it") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        message = f"the file cannot be read: {reason}"
        raise refused("source.unreadable", message, place, "check its permissions") from error
    if len(data) > SIZE_MAX_BYTES:
        message = f"the file has more than {SIZE_MAX_BYTES:,} bytes"
        raise refused("source.size", message, place, "split the plan")
    return data
