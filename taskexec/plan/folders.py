"""The folder of a task's evidence: its id where that is a plain file name, else a readable digest form."""

from __future__ import annotations

import hashlib
import re
import unicodedata

__all__ = ["evidence_folder"]

_LONGEST_BYTES = 100
_STEM_BYTES = 60
_MARKS = frozenset("._+-~ ")
_DIGEST_FORM = re.compile(r"~[0-9a-f]{16}")


def evidence_folder(task_id: str) -> str:
    """Return the name of a task's folder: always one safe path component, different for different ids.

    An id stays as it is when it has at most 100 bytes, only letters, digits, `._+-~` and spaces, does not
    begin with a mark other than `_` or `+`, does not end in a dot or space, and does not look like the other
    form: a readable stem, `~`, and the first 16 hexadecimal digits of the id's SHA-256.
    """
    if _is_plain(task_id):
        return task_id
    digest = hashlib.sha256(task_id.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{_stem(task_id)}~{digest}"


def _is_plain(task_id: str) -> bool:
    return (
        0 < len(task_id.encode("utf-8", "surrogatepass")) <= _LONGEST_BYTES
        and task_id[0] not in ".-~ "
        and task_id[-1] not in ". "
        and all(_is_allowed(character) for character in task_id)
        and not _DIGEST_FORM.search(task_id)
    )


def _is_allowed(character: str) -> bool:
    """Return whether a character may stand in a folder's name: letters, their marks, digits and `_MARKS`."""
    if character.isascii():
        return character.isalnum() or character in _MARKS
    return character.isprintable() and unicodedata.category(character)[0] in "LMN"


def _stem(task_id: str) -> str:
    """Return a readable beginning of an id, at most `_STEM_BYTES` long; may be empty only for an empty id."""
    kept = "".join(character if _is_allowed(character) else "_" for character in task_id[:_STEM_BYTES])
    cut = kept.replace("~", "_").encode()[:_STEM_BYTES].decode(errors="ignore")
    return "_" + cut[1:] if cut[:1] in {".", "-", " "} else cut or "_"
