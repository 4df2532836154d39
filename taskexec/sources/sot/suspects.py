"""Lines and words that look as if they were meant and that say nothing: almost boxes, dependencies within a title."""

from __future__ import annotations

import re
from collections.abc import Iterable

from taskexec.errors import Fault, Place
from taskexec.sources.sot.bullets import BulletReader
from taskexec.sources.sot.keys import DEPENDENCY_KEYS, DESCRIPTION
from taskexec.sources.sot.names import Names, SotTask
from taskexec.sources.values.amounts import show

__all__ = ["may_be_box", "warn_lost_dependencies", "warn_of_box"]

_ALMOST_BOX = re.compile(r"\[(?:|[ xX]{2,3}|[-~/*oOvV✓✔✗✘])\](?=[ \t]|$)|\[[ xX]\](?=[^\s(\[:])|[☐☑☒](?=\s|\w)")
_BOX_WITHOUT_LIST = re.compile(r"(?:[-*+]|[0-9]{1,9}[.)]|>[> \t]*[-*+][ \t]+)\[[ xX]\](?=[ \t])")
_BOX_HINT = "write `- [ ] Name` for a task to do, `- [x] Name` for one that is done"

_KEYWORDS = "|".join(sorted((key.replace(" ", r"\s+") for key in DEPENDENCY_KEYS), key=len, reverse=True))
_KEYWORD = re.compile(
    rf"(?<![\w-])(?P<key>{_KEYWORDS}|depend\s+on|depending\s+on)(?:(?P<colon>\s*:)|(?=\s))\s*(?:the\s+)?", re.IGNORECASE
)
_STOP = re.compile(r"[),;\].]+(?=\s|\Z)|\s[—–-]+\s|\s(?:and|&)\s|\n")
_WORDS_MOST = 8
_CHARACTERS_MOST = 200
_KEYWORDS_MOST = 20


def may_be_box(text: str) -> bool:
    """Return whether a line without a list mark looks like an item with a box: `-[ ] x`, `> - [ ] x`."""
    return _BOX_WITHOUT_LIST.match(text) is not None


def warn_of_box(text: str, place: Place, bullets: BulletReader) -> None:
    """Warn of a line that was probably meant as a task, if it looks so.

    Args:
        text: The line, behind its list mark if it has one.
        place: Where it stands.
        bullets: Takes the warning.
    """
    almost = _ALMOST_BOX.match(text) or _BOX_WITHOUT_LIST.match(text)
    if almost is not None:
        message = f"{show(almost[0])} is no box, so that this is not read as a task"
        if almost[0][:1] in ">-*+" or almost[0][:1].isdigit():
            message = f"{show(almost[0])} begins no item with a box, so that this is not read as a task"
        elif almost[0] in ("[ ]", "[x]", "[X]"):
            message = f"{show(almost[0])} has no blank behind it, so that this is not read as a task"
        bullets.warnings.append(Fault("sot.box", message, (place,), _BOX_HINT))


def warn_lost_dependencies(tasks: Iterable[SotTask], names: Names, bullets: BulletReader) -> None:
    """Warn of tasks to do whose title or description names what they wait for, which is not read there."""
    for task in tasks:
        if task.is_satisfied or task.is_settled:
            continue
        title, description = task.draft.title, task.draft.metadata.get(DESCRIPTION, "")
        for text, place in (
            (title.value if title else "", (title or task.draft.id).place),
            (description, task.draft.id.place),
        ):
            words = _lost(text, task, names) if text else None
            if words:
                message = (
                    f"{show(words)} stands within a text, so that {show(task.draft.id.value)} does not wait for it"
                )
                hint = "write it as a field, ` — Depends on: name`, or on a line of its own, `  - Depends on: name`"
                bullets.warnings.append(Fault("sot.lost_dependency", message, (place,), hint))
                break


def _lost(text: str, task: SotTask, names: Names) -> str | None:
    """Return the words of a text that look like a dependency, or None."""
    for count, match in enumerate(_KEYWORD.finditer(text)):
        if count == _KEYWORDS_MOST:
            return None
        rest = text[match.end() : match.end() + _CHARACTERS_MOST]
        if match["colon"] and rest.strip() and match["key"].casefold() != "after":
            return match[0] + rest[:40].split("\n")[0]
        stop = _STOP.search(rest)
        words = (rest[: stop.start()] if stop else rest).split()[:_WORDS_MOST]
        for length in range(len(words), 0, -1):
            name = " ".join(words[:length]).strip("`*_\"' ")
            if any(found is not task for found in names.tasks(name)) or names.queues(name):
                return match[0] + name
    return None
