"""What a command prints: one result in three forms, with nothing in it that could steer a terminal.

Data goes to stdout through `emit`, talk to stderr through `say`; no command writes to either by itself.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from enum import StrEnum
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from taskexec.errors import Fault, Place, UsageError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = [
    "FAULTS_SHOWN",
    "Output",
    "build_table",
    "emit",
    "printable",
    "report_faults",
    "say",
    "shorten",
    "write_file",
]

FAULTS_SHOWN = 50
"""Most errors or warnings that people are shown at once."""

PIPE_WIDTH = 1000
"""Columns of a table that no terminal shows: wide enough that nothing is cut."""

_KEPT_WIDTH = 32
"""Longest cells of a column, in characters, that are kept from being wrapped."""

_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""C0 and C1 controls, direction marks and overrides, line separators, and halves of surrogate pairs."""

_SHORT_ESCAPES = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


class Output(StrEnum):
    """The form of what is printed."""

    TABLE = "table"
    """For people."""
    JSON = "json"
    """For programs; the shapes are promised."""
    QUIET = "quiet"
    """Only the names, one a line."""


def emit(output: Output, *, table: Callable[[], Any], data: Any, quiet: Any) -> None:
    """Print a result to stdout in the form that was asked for.

    Each of the last three may be a callable without arguments, so that only what is printed is computed.

    Args:
        output: The form.
        table: Returns what people see: a text (escaped here), a renderable of rich, or several of them.
        data: What JSON can hold.
        quiet: The lines, an iterable of texts.
    """
    if output is Output.JSON:
        _write(_encode(data() if callable(data) else data))
    elif output is Output.QUIET:
        lines = quiet() if callable(quiet) else quiet
        _write("".join(f"{printable(line)}\n" for line in lines))
    else:
        parts = table()
        _write(_render(parts if isinstance(parts, Iterable) and not isinstance(parts, str) else [parts]))


def say(text: str) -> None:
    """Tell a person something, on stderr."""
    lines = (printable(line) for line in _without_secrets(text).split("\n"))
    click.echo(_encodable("\n".join(lines), sys.stderr), err=True)


def _without_secrets(text: str) -> str:
    """Return a text as it may be shown and kept in the log of whoever started this: its secrets are masked."""
    from taskexec.domain.secrets import Redactor

    return Redactor.of(os.environ).text(text)


def report_faults(faults: Sequence[Fault], label: str = "error") -> None:
    """Show faults on stderr, the first ones of very many; `label` is `error` or `warning`."""
    for fault in faults[:FAULTS_SHOWN]:
        say(_escape(fault).render(label))
    more = len(faults) - FAULTS_SHOWN
    if more > 0:
        say(f"… and {more:,} more {label}s")


def printable(text: str) -> str:
    """Return a text as it may be shown: characters that steer a terminal or turn its direction are escaped.

    >>> printable("a\\x1b[31m")
    'a\\\\x1b[31m'
    """
    return _UNSAFE.sub(lambda match: _escape_character(match[0]), text)


def shorten(text: str, width: int) -> str:
    """Return a text of at most `width` characters; what is cut shows as `…`."""
    return text if len(text) <= width else text[: width - 1] + "…"


def build_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: Collection[str] = (),
    keep: Collection[str] = (),
) -> Table:
    """Return a table for people, every cell escaped.

    Args:
        columns: Titles.
        rows: Cells, as many as there are columns.
        right: Titles of the columns that are aligned to the right and never wrapped.
        keep: Titles of the columns that are the last to be wrapped in a narrow terminal.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    cells = [[printable(cell) for cell in row] for row in rows]
    for position, title in enumerate(columns):
        is_right = title in right
        longest = max((len(row[position]) for row in cells), default=0)
        table.add_column(
            title,
            justify="right" if is_right else "left",
            overflow="fold",
            no_wrap=is_right or (title in keep and longest <= _KEPT_WIDTH),
        )
    for row in cells:
        table.add_row(*map(Text, row))
    return table


def _render(parts: Iterable[Any]) -> str:
    """Return lines and renderables as the terminal (or a pipe) is to get them."""
    console = _console()
    for part in parts:
        if isinstance(part, str):
            console.print(printable(part), markup=False, highlight=False, emoji=False, soft_wrap=True)
        else:
            console.print(part)
    rendered = console.file
    assert isinstance(rendered, StringIO)
    if sys.stdout.isatty():
        return rendered.getvalue()
    return re.sub(r" +$", "", rendered.getvalue(), flags=re.MULTILINE)


def _console() -> Console:
    """Return a console that renders for stdout into memory, so that nothing half-made is printed."""
    import shutil

    from rich.console import Console

    is_terminal = sys.stdout.isatty()
    fallback = PIPE_WIDTH if not is_terminal else 80
    width = shutil.get_terminal_size((fallback, 24)).columns if is_terminal else fallback
    context = click.get_current_context(silent=True)
    refused = context is not None and context.color is False
    return Console(
        file=StringIO(),
        width=width,
        force_terminal=is_terminal and not refused,
        no_color=True if refused else None,  # None: rich honours NO_COLOR by itself
        legacy_windows=False,
    )


def _write(content: str | bytes) -> None:
    """Write all of it to stdout; an unbuffered stdout (PYTHONUNBUFFERED) may take a part at a time."""
    if isinstance(content, str):
        content = content.encode(getattr(sys.stdout, "encoding", None) or "utf-8", errors="backslashreplace")
    sys.stdout.flush()
    stream = sys.stdout.buffer
    rest = memoryview(content)
    while rest:
        rest = rest[stream.write(rest) or 0 :]
    stream.flush()


def _encodable(text: str, stream: Any) -> str:
    """Return a text that the stream's encoding can hold; what it cannot shows as an escape."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, errors="backslashreplace").decode(encoding)


def _encode(data: Any) -> bytes:
    """Return JSON, indented; slower when it holds integers beyond 64 bits or halves of surrogate pairs."""
    import orjson

    try:
        return orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    except orjson.JSONEncodeError:
        import json

        return (json.dumps(data, indent=2) + "\n").encode()


def _escape(fault: Fault) -> Fault:
    places = tuple(Place(printable(place.file), place.line, place.column) for place in fault.places)
    hint = None if fault.hint is None else printable(fault.hint)
    return Fault(printable(fault.code), printable(fault.message), places, hint)


def _escape_character(character: str) -> str:
    code = ord(character)
    return _SHORT_ESCAPES.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def write_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; what is no regular file (`/dev/stdout`) is written to directly.

    Raises:
        UsageError: The file cannot be written; what was there before is unchanged.
    """
    target = path.resolve() if path.is_symlink() else path
    try:
        if target.exists() and not target.is_file():
            target.write_bytes(content)
            return
        draft = target.with_name(f".tek-{os.getpid()}-{os.urandom(4).hex()}.tmp")
        try:
            draft.write_bytes(content)
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"`{path}` cannot be written: {error.strerror or error}") from error
