"""Words for priority, status and truth, as trackers, planners and schedulers write them."""

from __future__ import annotations

import pytest

from taskexec.sources.values.words import is_abandoned, parse_priority, parse_status, parse_truth


@pytest.mark.parametrize(
    ("text", "priority"),
    [
        *(("5", 5), ("-3", -3), ("700", 700), ("3.0", 3)),
        *(("P0", 9), ("p1", 6), ("P2", 3), ("P3", 0), ("P9", 0)),
        *(("Critical", 9), ("Highest", 9), ("Must have", 9), ("must-have", 9), ("dringend", 9), ("höchste", 9)),
        *(("High", 6), ("Major", 6), ("hoch", 6), ("Should", 6), ("medium", 3), ("Normal", 3), ("Could have", 3)),
        *(("Low", 0), ("Trivial", 0), ("Won't have", 0), ("niedrig", 0), ("none", 0)),
        *(("2 - High", 6), ("1: Critical", 9), ("3 (Medium)", 3), ("4. Low", 0)),
    ],
)
def test_written_priority_is_known(text: str, priority: int) -> None:
    assert parse_priority(text) == priority


@pytest.mark.parametrize("text", ["", "soon", "P", "P10", "3.5", "high-ish", "2 - ", "!!", "²", "very high"])
def test_other_text_is_no_priority(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected"):
        parse_priority(text)


@pytest.mark.parametrize(
    "text",
    [
        *("done", "Done", "DONE", " done ", "Closed", "Resolved", "COMPLETED", "passed", "merged", "x", "✓", "✅"),
        *("erledigt", "Abgeschlossen", "terminé", "completado"),
        *("cancelled", "CANCELLED by 1000", "Won't Do", "Won’t fix", "WONT_FIX", "duplicate", "abgebrochen"),
    ],
)
def test_status_of_what_is_never_run_is_known(text: str) -> None:
    assert parse_status(text) is True


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "To Do",
            "to-do",
            "TODO",
            "In Progress",
            "in_progress",
            "Backlog",
            "blocked",
            "Selected for Development",
        ),
        *("PENDING", "RUNNING", "FAILED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "offen", "In Arbeit", "No"),
    ],
)
def test_status_of_what_is_to_be_run_is_known(text: str) -> None:
    assert parse_status(text) is False


@pytest.mark.parametrize("text", ["Parked", "almost done", "undone", "not done", "done?!yes", "100"])
def test_status_that_is_not_known_means_nothing(text: str) -> None:
    assert parse_status(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Cancelled", True), ("canceled by ann", True), ("won't do", True), ("done", False), ("cancelling", False)],
)
def test_abandoned_is_told_from_done(text: str, expected: bool) -> None:
    assert is_abandoned(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((word, True) for word in ("Yes", "y", "TRUE", "1", "Ja", "oui", "sí", "x", "✓", " yes ")),
        *((word, False) for word in ("", " ", "No", "n", "false", "0", "Nein")),
        *((word, None) for word in ("maybe", "2", "done", "yes!")),
    ],
)
def test_truth_is_written_in_words(text: str, expected: bool | None) -> None:
    assert parse_truth(text) is expected
