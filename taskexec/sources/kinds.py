"""Which kind of plan a text is: judged by what stands in it, and by the file's name only in doubt."""

from __future__ import annotations

import re

from taskexec.sources.sot.markdown import has_headings, hide_dead_text, sections
from taskexec.sources.sot.reader import SECTION_TITLE
from taskexec.sources.table.dialect import count_fields
from taskexec.sources.text_places import with_plain_breaks
from taskexec.sources.tree.json_tokens import top_keys

__all__ = ["KINDS", "find_kind"]

KINDS = ("csv", "sot", "workflow", "plan")
"""What `PlanDraft.kind` may be."""

_BY_SUFFIX = {
    ".json": "plan",
    ".md": "sot",
    ".markdown": "sot",
    ".csv": "csv",
    ".tsv": "csv",
    ".yaml": "workflow",
    ".yml": "workflow",
}
_TASK_MAPPING = re.compile(r'"tasks"\s*:\s*(?P<opening>[\[{])')
_WORKFLOW_KEY = re.compile(r"^(?:tasks|lanes|defaults|include)[ \t]*:(?:[ \t]|$)", re.MULTILINE)
_WORKFLOW_KEYS = frozenset({"lanes", "defaults", "include"})
_CHECKBOX = re.compile(r"^ {0,3}[-*+] \[[ xX]\] ", re.MULTILINE)
_YAML_BEGINNING = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\n|---[ \t]*\n)*[\w-]+[ \t]*:(?:[ \t]|\n|\Z)")
_TABLE_OR_MARKDOWN = (".csv", ".tsv", ".md", ".markdown")
_FIELDS_BELOW_COMMENTS = 3
"""What begins with `#` is Markdown as well, so that a header must be clear."""
_LOOKED_AT = 262_144


def find_kind(text: str, suffix: str) -> str:
    """Return one of `KINDS`.

    Args:
        text: The whole text, without a byte order mark.
        suffix: The file's suffix in small letters, such as `.csv`; may be empty.
    """
    start = text.lstrip()
    if start.startswith("{"):
        return _kind_of_json(text)
    is_named_table = suffix in (".csv", ".tsv")
    if count_fields(text) >= (_FIELDS_BELOW_COMMENTS if start.startswith("#") and not is_named_table else 1):
        return "csv"
    plain = with_plain_breaks(text)
    if suffix not in (*_TABLE_OR_MARKDOWN, "") and _WORKFLOW_KEY.search(plain[:_LOOKED_AT]):
        return "workflow"
    if not suffix and _YAML_BEGINNING.match(plain) and _WORKFLOW_KEY.search(plain[:_LOOKED_AT]):
        return "workflow"
    if _is_state_of_truth(plain):
        return "sot"
    if count_fields(text):
        return "csv"
    return _BY_SUFFIX.get(suffix) or ("sot" if has_headings(hide_dead_text(plain)) else "csv")


def _kind_of_json(text: str) -> str:
    """Return `workflow` for an object with a key that only a workflow has; else `plan`."""
    for key, opening in top_keys(text, _LOOKED_AT):
        if key in _WORKFLOW_KEYS or (key == "tasks" and opening == "{"):
            return "workflow"
        if key == "queues":
            return "plan"
    match = _TASK_MAPPING.search(text, _LOOKED_AT)
    return "workflow" if match and match["opening"] == "{" else "plan"


def _is_state_of_truth(plain: str) -> bool:
    live = hide_dead_text(plain)
    return any(True for _ in sections(live, SECTION_TITLE)) or bool(_CHECKBOX.search(live))
