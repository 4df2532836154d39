"""Bytes to text: encodings with their marks, and what a file is that is no text at all."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

from taskexec.errors import Place, PlanRejected
from taskexec.sources.refusal import refused
from taskexec.sources.text_places import LINE_BREAK, TextPlaces

__all__ = ["Decoded", "decode"]

_BOMS = (
    (codecs.BOM_UTF8, "utf-8", "UTF-8 with a byte order mark"),
    (codecs.BOM_UTF32_LE, "utf-32-le", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32-be", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16-le", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16-be", "UTF-16"),
)
"""Byte order mark, codec and name; UTF-32's little-endian mark begins with UTF-16's and must stand first."""

_AS_CSV = "save the sheet as CSV (UTF-8) and read that"
_UNPACK = "unpack it first"
_NO_PLAN = "plans are tables (CSV), Markdown, YAML or JSON; hooks and manifests are JSON"
_SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office file (xls, doc or mpp)", _AS_CSV),
    (b"\x1f\x8b", "compressed with gzip", _UNPACK),
    (b"BZh", "compressed with bzip2", _UNPACK),
    (b"\xfd7zXZ\0", "compressed with xz", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (b"\x89PNG\r\n\x1a\n", "an image (PNG)", _NO_PLAN),
    (b"\xff\xd8\xff", "an image (JPEG)", _NO_PLAN),
    (b"GIF8", "an image (GIF)", _NO_PLAN),
    (b"II*\0", "an image (TIFF)", _NO_PLAN),
    (b"MM\0*", "an image (TIFF)", _NO_PLAN),
    (b"%PDF-", "a PDF document", _NO_PLAN),
    (b"{\\rtf", "a rich text document (RTF)", "save it as plain text"),
    (b"\x7fELF", "a program", _NO_PLAN),
    (b"MZ\x90\0", "a program", _NO_PLAN),
    (b"SQLite format 3\0", "an SQLite database", "export the table of tasks as CSV"),
    (b"PAR1", "a Parquet table", "export it as CSV"),
)
_ZIP = b"PK\x03\x04"
_ZIP_CONTENTS: tuple[tuple[bytes, str, str], ...] = (
    (b"xl/", "an Excel workbook (xlsx)", _AS_CSV),
    (b"opendocument.spreadsheet", "an OpenDocument spreadsheet (ods)", _AS_CSV),
    (b"word/", "a Word document (docx)", "save it as plain text"),
)
_MARKUP: tuple[tuple[str, str, str], ...] = (
    ("<!doctype html", "a web page (HTML)", "export the plan as CSV; a login page is often saved in its place"),
    ("<html", "a web page (HTML)", "export the plan as CSV; a login page is often saved in its place"),
    ("<svg", "an image (SVG)", _NO_PLAN),
    ("<?xml", "XML", "export the plan as CSV"),
)
_TAR_MARK_AT = 257
_LOOKED_AT = 65_536


@dataclass(frozen=True, slots=True)
class Decoded:
    """The text of a file."""

    text: str
    """Line breaks as they are, without a byte order mark."""
    form: str
    """Encoding and line breaks, where they are not plain UTF-8 with LF, such as `UTF-16, CRLF`; may be empty."""


def decode(data: bytes, source: str) -> Decoded:
    """Return the text of a file: UTF-8, or UTF-16 or UTF-32 with a byte order mark.

    Args:
        data: The whole file.
        source: Its path as the user gave it, for places.

    Raises:
        PlanRejected: The bytes are another kind of file, or no text in the encoding that they claim.
    """
    foreign = _foreign(data)
    if foreign is not None:
        raise refused("source.kind", f"the file is {foreign[0]}", Place(source), foreign[1])
    mark, codec, name = next((entry for entry in _BOMS if data.startswith(entry[0])), (b"", "utf-8", ""))
    if not mark and b"\0" in data[:_LOOKED_AT] and _looks_like_utf16(data):
        message = "the file looks like UTF-16, but has no byte order mark"
        raise refused("source.encoding", message, Place(source), "save it as UTF-8")
    body = data[len(mark) :]
    try:
        text = body.decode(codec)
    except UnicodeDecodeError as error:
        raise _undecodable(data, mark, codec, error, source) from error
    markup = next((entry for entry in _MARKUP if text[:1_000].lstrip().lower().startswith(entry[0])), None)
    if markup is not None:
        raise refused("source.kind", f"the file is {markup[1]}", Place(source), markup[2])
    return Decoded(text, ", ".join(part for part in (name, _line_breaks(text)) if part))


def _foreign(data: bytes) -> tuple[str, str] | None:
    """Return what a file is that is no text, and what to do about it."""
    if data.startswith(_ZIP):
        found = (entry for entry in _ZIP_CONTENTS if entry[0] in data[:_LOOKED_AT] or entry[0] in data[-_LOOKED_AT:])
        return next(((name, hint) for _, name, hint in found), ("a zip archive", _UNPACK))
    if data and not data.strip(b"\0"):
        return "nothing but zero bytes", "it is damaged: copy or export it again"
    if data[_TAR_MARK_AT : _TAR_MARK_AT + 5] == b"ustar":
        return "a tar archive", _UNPACK
    return next(((name, hint) for mark, name, hint in _SIGNATURES if data.startswith(mark)), None)


def _looks_like_utf16(data: bytes) -> bool:
    """Return whether every other byte of the beginning is mostly zero."""
    head = data[:1_000]
    return max(head[0::2].count(0), head[1::2].count(0)) * 3 > len(head)


def _undecodable(data: bytes, mark: bytes, codec: str, error: UnicodeDecodeError, source: str) -> PlanRejected:
    start = len(mark) + error.start
    before = data[len(mark) : start].decode(codec, errors="replace")
    place = TextPlaces(before, source).at(len(before))
    name = codec.upper().removesuffix("-LE").removesuffix("-BE")
    message = f"byte `0x{data[start]:02x}` at offset {start:,} is not {name}"
    hint = "save the file as UTF-8 (in Excel: `CSV UTF-8`)"
    if len(mark) + error.end == len(data):
        message = f"{message}: the file ends within a character"
        hint = "the file may be cut off: copy or export it again, as UTF-8"
    return refused("source.encoding", message, place, hint)


def _line_breaks(text: str) -> str:
    first = LINE_BREAK.search(text)
    return {"\r\n": "CRLF", "\r": "CR"}.get(first[0] if first else "\n", "")
