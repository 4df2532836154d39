"""Where a file of evidence lies in its attempt's folder: always below it, and different for different names."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path, PurePosixPath

from taskexec.completion.ledger import LATE_RESULT
from taskexec.plan import evidence_folder

__all__ = ["RESULT", "evidence_path", "find_evidence", "path_beside"]

RESULT = "result.json"
"""The record of an attempt."""

_LONGEST_NAME_BYTES = 255
_DIGEST_FORM = re.compile(r"~[0-9a-f]{16}")
_STREAMS = {"stdout.log", "stderr.log"}
_OURS = {RESULT, LATE_RESULT, *_STREAMS}


def evidence_path(folder: Path, name: str) -> Path:
    """Return where a file of evidence belongs, whatever a worker calls it.

    A plain relative path stays as it is; parts that no file system takes get a readable form with a digest, and so
    does as a whole what is no plain relative path, is ours, or looks like such a form.
    """
    if name in _STREAMS:
        return folder / name
    parts = PurePosixPath(name).parts
    is_plain = parts and parts[0][0] != "/" and "/".join(parts) == name and ".." not in parts
    if not is_plain or parts[0] in _OURS or parts[0].startswith(".fetch-"):
        return folder / _digest_form(name)
    return folder.joinpath(*map(_possible, parts))


def path_beside(folder: Path, name: str) -> Path:
    """Return where a file lies whose own place another one of its attempt has taken (`a` beside `a/b`)."""
    return folder / _digest_form(name)


def find_evidence(folder: Path, name: str) -> Path | None:
    """Return the file that holds this evidence; None when it is not there."""
    for path in (evidence_path(folder, name), path_beside(folder, name)):
        if path.is_file():
            return path
    return None


def _possible(part: str) -> str:
    is_possible = "\0" not in part and len(os.fsencode(part)) <= _LONGEST_NAME_BYTES and not _DIGEST_FORM.search(part)
    return part if is_possible else _digest_form(part)


def _digest_form(name: str) -> str:
    formed = evidence_folder(name)
    if formed != name:
        return formed
    return f"{name}~{hashlib.sha256(name.encode()).hexdigest()[:16]}"
