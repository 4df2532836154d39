"""The paths of files that a task declares: relative to the project's folder, inside it, in one form."""

from __future__ import annotations

import posixpath
import re

__all__ = ["PATH_MAX", "normal_path", "path_problem"]

PATH_MAX = 4_096
"""Most characters of a path."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|file:")
_RELATIVE = "name it from the project's folder, such as `data/in.csv`"


def normal_path(text: str) -> str:
    """Return a path without blanks around it, `./`, repeated `/` or `/` at its end, and with `a/..` resolved."""
    return posixpath.normpath(text.strip())


def path_problem(text: str) -> tuple[str, str] | None:
    """Return what is wrong with a path or pattern, fit to stand behind it, and a remedy; None when it is right."""
    path = text.strip()
    if not path:
        return "is empty", "name a file, or remove the entry"
    if len(path) > PATH_MAX:
        return f"has {len(path):,} characters, {PATH_MAX:,} are the most", "name the files by a pattern: `data/**`"
    if _CONTROL.search(path):
        return "holds a control character", "write the path with visible characters"
    if _URL.match(path) or _URL.match(normal_path(path)):
        return "is a URL, and only files can be declared", "let the command fetch it, and declare the file it writes"
    return _place_problem(normal_path(path))


def _place_problem(normal: str) -> tuple[str, str] | None:
    """Return what is wrong with where a path leads; its normal form is read again when the plan was written."""
    if normal.startswith("/") or _DRIVE.match(normal):
        return "is an absolute path", _RELATIVE
    if normal.startswith("~"):
        return "begins with `~`, which is not expanded", _RELATIVE
    if "\\" in normal:
        return "holds a backslash", "write `/` between folders"
    if normal != normal.strip():
        return "begins or ends with a blank", "rename the file"
    if normal.split("/", 1)[0] == "..":
        return "leaves the project's folder", "name a file inside it, or copy it there first"
    if normal == ".":
        return "is the project's folder itself", "name the files in it by a pattern, such as `src/**`"
    return None
