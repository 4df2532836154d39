"""What words for a task's priority and status mean, as trackers, planners and schedulers write them."""

from __future__ import annotations

import re

from taskexec.sources.values.amounts import parse_integer

__all__ = ["is_abandoned", "parse_priority", "parse_status", "parse_truth"]

_PRIORITY_WORDS = {
    9: "critical blocker highest urgent immediate emergency must musthave kritisch dringend höchste",
    6: "high major important should shouldhave hoch wichtig",
    3: "medium normal moderate average could couldhave mittel",
    0: "low lowest minor trivial optional none nopriority wont wonthave niedrig gering",
}
"""Priority, and the words for it: P0 to P3 are 9, 6, 3 and 0, and so are these."""

_DONE = (
    "done complete completed closed resolved fixed finished finish succeeded success successful passed satisfied "
    "cached merged released shipped deployed delivered verified erledigt fertig abgeschlossen geschlossen beendet "
    "terminé fini hecho completado terminado x ✓ ✔ ✅ ☑"
)
_ABANDONED = (
    "cancelled|canceled|cancel|wont do|wont fix|wontfix|rejected|abandoned|duplicate|obsolete|invalid|declined|dropped|"
    "withdrawn|superseded|storniert|abgebrochen|verworfen|abgelehnt"
)
_OPEN = (
    "to do|todo|open|new|backlog|planned|plan|proposed|pending|ready|in progress|inprogress|doing|started|active|wip|"
    "blocked|waiting|on hold|hold|in review|review|testing|in test|queued|scheduled|draft|not started|reopened|"
    "running|failed|failure|timeout|node fail|out of memory|preempted|error|selected for development|idea|next|"
    "assigned|accepted|approved|submitted|suspended|requeued|in arbeit|offen|geplant|neu|begonnen|nicht begonnen|"
    "wartend|in bearbeitung|false|no"
)
_LEVEL = re.compile(r"p(?P<level>[0-9])", re.IGNORECASE)
_NUMBER_AND_WORD = re.compile(r"\d+\s*[-–—:.(]\s*(?P<word>[^\W\d].*?)\)?\s*")
_LEADING_NUMBER = re.compile(r"\d+\s*[-–—:.)]\s*(?=[^\W\d])")
_PARTING = re.compile(r"[\s_\-]+")
_MARKS = "✓✔✅☑"
_NOT_LETTER = re.compile(r"[\W\d_]+")
_TRUE = frozenset(["yes", "y", "true", "t", "1", "ja", "j", "wahr", "oui", "sí", "si", "x", "✓", "✔", "✅", "☑"])
_FALSE = frozenset(["no", "n", "false", "f", "0", "nein", "falsch", "non"])

_PRIORITIES = {word: priority for priority, words in _PRIORITY_WORDS.items() for word in words.split()}
_DONE_WORDS = frozenset(_DONE.split())
_ABANDONED_WORDS = frozenset(_ABANDONED.split("|"))
_OPEN_WORDS = frozenset(_OPEN.split("|"))


def parse_priority(text: str) -> int:
    """Return a priority, higher first: a whole number as it is, `P0` to `P3` as 9, 6, 3, 0, words as these.

    Raises:
        ValueError: The text is none of these.
    """
    level = _LEVEL.fullmatch(text)
    if level:
        return max(9 - 3 * int(level["level"]), 0)
    try:
        return parse_integer(text)
    except ValueError:
        pass
    numbered = _NUMBER_AND_WORD.fullmatch(text)
    word = _NOT_LETTER.sub("", (numbered["word"] if numbered else text).replace("'", "")).casefold()
    if word in _PRIORITIES:
        return _PRIORITIES[word]
    raise ValueError("a number from 0 to 9, `P0` to `P3`, or a word such as `high` was expected")


def parse_status(text: str) -> bool | None:
    """Return whether a status says that a task is done, or given up; None for a word that is not known."""
    word = _plain(text)
    if word in _DONE_WORDS or is_abandoned(text):
        return True
    return False if not word or word in _OPEN_WORDS else None


def is_abandoned(text: str) -> bool:
    """Return whether a status says that a task will never be done."""
    word = _plain(text)
    return word in _ABANDONED_WORDS or word.startswith(("cancelled by ", "canceled by "))


def parse_truth(text: str) -> bool | None:
    """Return what `Yes`, `No`, `Ja`, `1` and the like mean; None for another word."""
    word = text.strip().casefold()
    if word in _TRUE:
        return True
    return False if not word or word in _FALSE else None


def _plain(text: str) -> str:
    """Return a status in small letters with single blanks, without a number before it (`3 - Done`) and check marks.

    Digits, `%` and question marks within stay, so that `50% done` and `done?` are no known words.
    """
    word = _LEADING_NUMBER.sub("", text.strip())
    word = _PARTING.sub(" ", word.replace("'", "").replace("’", "")).casefold()
    return " ".join(word.split()) if word.strip() in _MARKS else " ".join(word.strip(_MARKS + " ").split())
