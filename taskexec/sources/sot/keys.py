"""The keys of fields in a State of Truth, and how a text begins with one: `Depends on: x`."""

from __future__ import annotations

import re

from taskexec.sources.sot.code import hide_code

__all__ = ["ALIASES", "DEPENDENCY_KEYS", "DESCRIPTION", "KNOWN_KEYS", "QUEUE_KEYS", "read_key"]

DEPENDENCY_KEYS = frozenset(
    {
        *("dependencies", "dependency", "depends", "depends on", "deps", "blocked by", "blockers", "requires"),
        *("prerequisites", "prerequisite", "needs", "after", "waits for", "waits on"),
    }
)
"""The keys of what a task or a queue waits for, in small letters."""

DESCRIPTION = "description"
"""The key of what stands below or behind a name without a key of its own."""

QUEUE_KEYS = ("tasks", "depends on", "order", "agent", "resources", "lane")
"""The keys of a queue's own bullets."""

ALIASES = {
    **dict.fromkeys(DEPENDENCY_KEYS, "dependencies"),
    "commands": "command",
    "lane": "queue",
    "tags": "labels",
    "acceptance": "acceptance criteria",
    "artifact": "artifacts",
    "artefacts": "artifacts",
    "note": "notes",
    "retry": "retries",
}
"""The key that another one stands for."""

_KEYS = (
    "acceptance, acceptance criteria, agent, artefacts, artifact, artifacts, assignee, command, commands, context, "
    "deadline, deliverables, due, due date, duration, estimate, evidence, hashes, impact, inputs, labels, lane, "
    "layer, mitigation, note, notes, outputs, owner, owners, priority, queue, rationale, repro, requirements, "
    "resources, retries, retry, retry backoff, retry delay, retry factor, retry jitter, retry max delay, retry "
    "memory, retry on, status, tags, target, target date, timeout, total timeout"
)
KNOWN_KEYS = DEPENDENCY_KEYS | frozenset(map(str.strip, _KEYS.split(",")))
"""The keys that begin a field within a line, in small letters."""

_WRITTEN_KEYS = {written: key for key in KNOWN_KEYS for written in (key, key.capitalize(), key.title(), key.upper())}
"""The keys as most people write them, so that nothing else need be looked at."""
_KEY = re.compile(
    r"(?:\*\*|__|[*_])?(?P<key>[^\W\d_]+(?:[ \t_/-]{1,3}[^\W\d_]+){0,4})"
    r"(?:[ \t]{1,3}\([^()\n]{0,60}\))?(?:\*\*|__|[*_])?[ \t]{0,3}:(?:\*\*|__|[*_])?(?P<tail>[\s`<]|\Z)?"
)
_KEY_LONGEST = 40
_REMARK_LONGEST = 60


def read_key(text: str, *, may_be_unknown: bool = True) -> tuple[str, int] | None:
    """Return the key that a text begins with, in small letters with single blanks, and where its value starts.

    Args:
        text: `Depends on: x`, also with a remark (`Artifacts (planned):`) or in bold.
        may_be_unknown: Whether any words count; then a blank must follow the colon, unlike in `http://x`.
    """
    colon = text.find(":", 0, 2 * _KEY_LONGEST + _REMARK_LONGEST)
    if colon < 0:
        return None
    word = _WRITTEN_KEYS.get(text[:colon])
    if word is not None:
        return word, len(text) - len(text[colon + 1 :].lstrip(" \t"))
    match = _KEY.match(hide_code(text))
    if match is None or len(match["key"]) > _KEY_LONGEST:
        return None
    key = " ".join(match["key"].lower().replace("_", " ").split())
    if "-" in key and key.replace("-", " ") in DEPENDENCY_KEYS:
        key = "dependencies"
    if key not in KNOWN_KEYS and (match["tail"] is None or not may_be_unknown):
        return None
    end = match.end() if match["tail"] is None else match.start("tail")
    return key, len(text) - len(text[end:].lstrip(" \t"))
