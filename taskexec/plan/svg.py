"""The look of drawings: style sheet, signs and marks, and how text and numbers are written in SVG."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["MARKS", "STATUS_SIGNS", "STYLE", "escape", "fit_text", "format_duration", "number"]

MARKS = (
    "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0z",
    "M-4 -4h8v8h-8z",
    "M0 -5.4L5.4 0L0 5.4L-5.4 0z",
    "M0 -5L5 4H-5z",
    "M0 5L5 -4H-5z",
    "M-1.6 -5h3.2v3.4h3.4v3.2h-3.4v3.4h-3.2v-3.4h-3.4v-3.2h3.4z",
    "M-2.5 -4.4h5L5 0L2.5 4.4h-5L-5 0z",
    "M-5 -2.5h10v5h-10z",
)
"""Shapes about (0, 0), at most 11 wide, so that colour is never the only difference between lanes."""

STATUS_SIGNS = {
    "waiting": "·",
    "ready": "○",
    "queued": "◔",
    "running": "▶",
    "succeeded": "✓",
    "failed": "✕",
    "skipped": "↷",
    "cancelled": "–",
    "satisfied": "≡",
}
"""What stands on a task in each status."""

_CELL_WIDTH = 8.3
"""Pixels of an average bold letter at 12.5 px in DejaVu Sans, the widest of the usual fonts."""

_LIGHT = ("#2f6fde", "#0f9b7a", "#8a5cd6", "#c98a00", "#5d6b7e", "#0a93b8", "#b8478f", "#6f8f1f")
_DARK = ("#6ea2ff", "#3ccfa9", "#b590ff", "#f0b93a", "#a3b0c2", "#45c6ea", "#ea83c3", "#b0d157")

# Literal colours instead of CSS variables: librsvg and Inkscape do not know `var()`.
STYLE = "".join(
    [
        "text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;fill:#1b2430}",
        ".paper{fill:#fafbfd}.name{font-size:20px;font-weight:650}",
        ".facts,.legend,.note{font-size:12.5px;fill:#5f6b7c}.legend{font-size:12px}",
        ".note{font-size:11px}.id{font-size:12.5px;font-weight:600}.small{font-size:11px;font-weight:500}",
        ".sign{font-size:13px;font-weight:700;text-anchor:middle}",
        ".edge{fill:none;stroke:#9aa7b8;stroke-width:1.3;stroke-opacity:.75}",
        ".dense{stroke-width:.8;stroke-opacity:.3}",
        ".hot{stroke:#e4572e;stroke-width:2.6;stroke-opacity:1}",
        ".box{fill:#fff;stroke:#cdd5e0;stroke-width:1.2}",
        ".crit{stroke:#e4572e;stroke-width:2.2}",
        ".box.s-succeeded,.box.s-satisfied{fill:#eaf7ef}.box.s-failed{fill:#fdeceb}.box.s-running{fill:#e9f1ff}",
        ".box.s-skipped,.box.s-cancelled{fill:#eff1f4;stroke-dasharray:4 3}",
        ".t-succeeded,.t-satisfied{fill:#17803d}.t-failed{fill:#c62828}.t-running{fill:#1d5fd0}",
        "path.s-failed{stroke:#c62828;stroke-width:2.4}path.s-skipped,path.s-cancelled{fill-opacity:.3}",
        "path.s-waiting,path.s-ready,path.s-queued{fill-opacity:.45}",
        *[f".q{index}{{fill:{colour}}}" for index, colour in enumerate(_LIGHT)],
        "@media (prefers-color-scheme:dark){",
        "text{fill:#e6ebf2}.paper{fill:#12161d}.facts,.legend,.note{fill:#9aa6b6}",
        ".edge{stroke:#5c6a7d}.hot,.crit{stroke:#ff7d55}.box{fill:#1c232d;stroke:#384454}",
        ".box.crit{stroke:#ff7d55}",
        ".box.s-succeeded,.box.s-satisfied{fill:#16301f}.box.s-failed{fill:#3a1c1c}.box.s-running{fill:#182a47}",
        ".box.s-skipped,.box.s-cancelled{fill:#20252d}",
        ".t-succeeded,.t-satisfied{fill:#5fd38a}.t-failed{fill:#ff8a80}.t-running{fill:#7fb0ff}",
        *[f".q{index}{{fill:{colour}}}" for index, colour in enumerate(_DARK)],
        "}",
    ]
)
"""The style sheet; light, and dark where the reader prefers it."""

_NOT_SHOWN = re.compile(
    "[^\t\n\r\u0020-\u007e\u00a0-\u2027\u202f-\u2065\u206a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
)
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})


def escape(text: str) -> str:
    """Return text for an XML element or attribute.

    Characters that XML cannot hold, controls and those that turn the direction of text become U+FFFD.
    """
    return _NOT_SHOWN.sub("\ufffd", text).translate(_ESCAPES)


def number(value: float) -> str:
    """Return a coordinate with at most one decimal."""
    return f"{value:.1f}".removesuffix(".0")


def fit_text(text: str, width: float) -> str:
    """Return text of at most about `width` pixels at 12 px bold; a longer one loses its middle.

    The end stays longer than the beginning, because that is where ids differ.
    """
    room = width / _CELL_WIDTH
    if sum(map(_cells, text)) <= room:
        return text
    head, tail = _take(text, room * 0.3), _take(text[::-1], room * 0.7 - 1)[::-1]
    return f"{head.rstrip()}…{tail.lstrip()}"


def _take(text: str, room: float) -> str:
    for position, character in enumerate(text):
        room -= _cells(character)
        if room < 0:
            return text[:position]
    return text


def _cells(character: str) -> float:
    if unicodedata.east_asian_width(character) in "WF":
        return 1.8
    if character in "mwMW@%":
        return 1.4
    return 1.2 if character.isupper() else 0.6 if character in "iljIft.,:;|!'()[] " else 1.0


def format_duration(seconds: float) -> str:
    """Return seconds as people say them: `40 µs`, `0.35 s`, `12 s`, `4 min 10 s`, `2 h 5 min`."""
    if 0 < seconds < 0.001:
        return f"{seconds * 1e6:.3g} µs"
    if seconds < 59.95:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (0 if hours else rest, "s")]
    return " ".join(f"{amount:,} {unit}" for amount, unit in parts if amount)
