"""`tek verify`: whether the evidence of a run is whole, unchanged and signed, and the run obeyed its plan."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from taskexec.cli.keys import key_folder
from taskexec.cli.options import SettingsRequest, output_option, settings_options
from taskexec.cli.output import Output, build_table, emit
from taskexec.cli.where import find_folder

if TYPE_CHECKING:
    from taskexec.completion.keys import Trust
    from taskexec.completion.proof import Problem, Verification
    from taskexec.settings import Settings

__all__ = ["trust_here", "verify"]

_SHOWN = 50
"""Most problems that people are shown."""


@click.command()
@click.argument("run", metavar="[RUN|FOLDER]", default="last")
@click.option("--trusted", "only_trusted", is_flag=True, help="Refuse signatures by keys that are not trusted here.")
@settings_options
@output_option
def verify(run: str, only_trusted: bool, settings_request: SettingsRequest, output: Output) -> int:
    """Check the folder of a run, without any server: nothing missing, nothing altered, every rule kept.

    RUN is an id, the beginning of one, or last; a path is a folder anywhere. Exit status: 0 all holds, 1 it does not,
    2 there is no such run.
    """
    from taskexec.completion.proof import verify_folder

    settings = settings_request.load()
    folder = find_folder(run, settings)
    found = verify_folder(folder, trust_here(settings), only_trusted=only_trusted)
    emit(
        output,
        table=lambda: _table(folder, found),
        data=lambda: found.to_json() | {"folder": str(folder)},
        quiet=lambda: [_place(problem) for problem in found.problems],
    )
    return 0 if found.ok else 1


def trust_here(settings: Settings) -> Trust:
    """Return what is trusted here; a key of one's own is not made for looking at somebody's evidence."""
    folder = key_folder(settings)
    own = folder.identity() if os.path.lexists(folder.path / "identity.pem") else None
    return folder.trust(settings.security.trusted(), own=own)


def _place(problem: Problem) -> str:
    entry = "" if problem.entry is None else f"entry {problem.entry}"
    return " ".join(filter(None, [entry, problem.path])) or "folder"


def _table(folder: Path, found: Verification) -> list[Any]:
    parts: list[Any] = []
    if found.problems:
        rows = [(_number(problem), problem.path or "", problem.what) for problem in found.problems[:_SHOWN]]
        parts.append(build_table(["entry", "path", "what"], rows, right={"entry"}))
        if found.problem_count > _SHOWN:
            parts.append(f"… and {found.problem_count - _SHOWN:,} more")
        parts.append("")
    parts += [f"warning: {warning}" for warning in found.warnings]
    parts += [_signer(told) for told in (signer.to_json() for signer in found.signers)]
    counts = ", ".join(f"{count:,} {name}" for name, count in found.checked.items())
    parts.append(f"checked {counts}")
    if found.replay_hash:
        parts.append(f"replay hash {found.replay_hash}")
    parts.append(_verdict(folder, found))
    return parts


def _number(problem: Problem) -> str:
    return "" if problem.entry is None else str(problem.entry)


def _signer(signer: dict[str, Any]) -> str:
    who = " ".join([signer["role"], *signer["workers"]])
    known = f"trusted as {signer['name']}" if signer["trusted"] else "not trusted"
    return f"signed by {signer['fingerprint']} ({known}): {who}, {signer['signatures']:,} signatures"


def _verdict(folder: Path, found: Verification) -> str:
    if not found.ok:
        return f"{folder}: {found.problem_count:,} problems"
    how = f"the run has {found.status}" if found.is_complete else "as far as it goes: the run has not ended"
    return f"{folder}: everything holds; {how}"
