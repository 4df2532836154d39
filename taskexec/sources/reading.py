"""Opening a plan's files: bytes to text, which kind of file it is, and the reader for that kind."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from taskexec.errors import Fault, Place, PlanRejected, UsageError
from taskexec.plan.draft import PlanDraft
from taskexec.sources.cells import scan_rows
from taskexec.sources.csv_header import has_id_column
from taskexec.sources.csv_plan import read_csv
from taskexec.sources.hooks import apply_hooks
from taskexec.sources.markdown import has_headings, hide_dead_text, sections
from taskexec.sources.planfile import read_planfile
from taskexec.sources.sot import SECTION_TITLE, read_sot
from taskexec.sources.text_places import TextPlaces, with_plain_breaks

__all__ = ["SIZE_MAX_BYTES", "read_plan"]

SIZE_MAX_BYTES = 256 * 1024 * 1024
"""A larger file is refused: it is no plan, or one that no memory would hold."""

STANDARD_INPUT = "-"
"""The path that means standard input."""

_READERS: dict[str, Callable[[str, str], PlanDraft]] = {
    "csv": read_csv,
    "sot": read_sot,
    "plan": read_planfile,
}
_KIND_BY_SUFFIX = {".json": "plan", ".md": "sot", ".markdown": "sot", ".csv": "csv", ".tsv": "csv"}
_FOREIGN_MARKS = {
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
    b"PK\x03\x04": "a zip archive or a spreadsheet",
    b"\x1f\x8b": "compressed",
}
_SAVE_AS_UTF8 = "save the file as UTF-8 text"


def read_plan(path: Path | str, *, hooks: Path | str | None = None, kind: str | None = None) -> PlanDraft:
    """Return the draft of a plan's file.

    Args:
        path: The file; `-` is standard input.
        hooks: A hooks file for the plan's tasks or lanes, if any.
        kind: `csv`, `sot` or `plan`; None finds out by the content, and by the suffix in doubt.

    Raises:
        PlanRejected: A file is missing, unreadable, larger than 256 MiB or not UTF-8. Faults in what it says
            are in the draft instead.
        UsageError: The kind is not known, or both files are standard input.
    """
    if kind is not None and kind not in _READERS:
        raise UsageError(f"`{kind}` is not a kind of plan; {', '.join(map(repr, _READERS))} was expected")
    if str(path) == STANDARD_INPUT and hooks is not None and str(hooks) == STANDARD_INPUT:
        raise UsageError("the plan and its hooks cannot both be standard input")
    text = _read_text(path)
    hooks_text = None if hooks is None else _read_text(hooks)
    draft = _READERS[kind or _find_kind(text, Path(path).suffix.lower())](text, str(path))
    if hooks_text is not None:
        apply_hooks(draft, hooks_text, str(hooks))
    return draft


def _find_kind(text: str, suffix: str) -> str:
    if text.lstrip("\ufeff \t\r\n").startswith("{"):
        return "plan"
    header = next(islice(scan_rows(text.removeprefix("\ufeff")), 1), [])
    if has_id_column(header):
        return "csv"
    live = hide_dead_text(with_plain_breaks(text))
    if any(True for _ in sections(live, SECTION_TITLE)):
        return "sot"
    return _KIND_BY_SUFFIX.get(suffix) or ("sot" if has_headings(live) else "csv")


def _read_text(path: Path | str) -> str:
    """Return a file's text with its line breaks as they are and without a byte order mark."""
    data = _read_bytes(path)
    for mark, name in _FOREIGN_MARKS.items():
        if data.startswith(mark):
            raise _rejected("source.encoding", f"the file is {name}, not UTF-8", Place(str(path)), _SAVE_AS_UTF8)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig")
        place = TextPlaces(before, str(path)).at(len(before))
        message = f"byte `0x{data[error.start]:02x}` is not UTF-8"
        raise _rejected("source.encoding", message, place, _SAVE_AS_UTF8) from error


def _read_bytes(path: Path | str) -> bytes:
    place = Place(str(path))
    try:
        if str(path) == STANDARD_INPUT:
            data = sys.stdin.buffer.read(SIZE_MAX_BYTES + 1)
        else:
            with Path(path).open("rb") as file:
                data = file.read(SIZE_MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise _rejected("source.missing", "there is no such file", place, "check the path") from error
    except IsADirectoryError as error:
        raise _rejected("source.folder", "a folder is no plan", place, "name a file in it") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        message = f"the file cannot be read: {reason}"
        raise _rejected("source.unreadable", message, place, "check its permissions") from error
    if len(data) > SIZE_MAX_BYTES:
        message = f"the file has more than {SIZE_MAX_BYTES} bytes"
        raise _rejected("source.size", message, place, "split the plan")
    return data


def _rejected(code: str, message: str, place: Place, hint: str) -> PlanRejected:
    return PlanRejected([Fault(code, f"{message}: `{place.file}`", (place,), hint)])
