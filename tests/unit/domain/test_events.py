"""Log entries: every line of the scripts becomes a transition."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from taskexec.domain.events import LogEntry, Transition, TransitionKind, parse_entry


def read(*lines: str) -> list[Transition]:
    return list(parse_entry(LogEntry("1-0", 5, "w1", "\n".join(lines))))


@pytest.mark.parametrize(
    ("line", "kind", "index", "attempt", "detail"),
    [
        ("A 0 0", TransitionKind.STARTED, -1, 0, ""),
        ("Q 3 1", TransitionKind.QUEUED, 3, 1, ""),
        ("R 3 2", TransitionKind.RUNNING, 3, 2, ""),
        ('S 3 2 {"a": "b c"}', TransitionKind.SUCCEEDED, 3, 2, '{"a": "b c"}'),
        ('F 3 2 {"a": 1}', TransitionKind.FAILED, 3, 2, '{"a": 1}'),
        ("T 3 1 {}", TransitionKind.TRIED, 3, 1, "{}"),
        ("L 3 1 {}", TransitionKind.LOST, 3, 1, "{}"),
        ("B 3 1", TransitionKind.GIVEN_BACK, 3, 1, ""),
        ("X 4 3", TransitionKind.SKIPPED, 4, 0, "3"),
        ("C 4 0", TransitionKind.CANCELLED, 4, 0, ""),
        ("P 4 0", TransitionKind.SATISFIED, 4, 0, ""),
        ("D 3 1 {}", TransitionKind.REFUSED, 3, 1, "{}"),
        ("E failed 0", TransitionKind.ENDED, -1, 0, "failed"),
    ],
)
def test_line_is_read(line: str, kind: TransitionKind, index: int, attempt: int, detail: str) -> None:
    assert read(line) == [Transition(kind, 5, "w1", index, attempt, detail)]


def test_transitions_keep_their_order() -> None:
    assert [step.kind for step in read("S 0 1 {}", "Q 1 1", "E succeeded 0")] == [
        TransitionKind.SUCCEEDED,
        TransitionKind.QUEUED,
        TransitionKind.ENDED,
    ]


def test_every_letter_of_the_scripts_is_known() -> None:
    folder = resources.files("taskexec.store").joinpath("lua")
    sources = [path.read_text(encoding="utf-8") for path in folder.iterdir()]
    letters = {letter for source in sources for letter in re.findall(r"line\('([A-Z])'", source)} | {"A", "E"}

    assert {read(f"{letter} 0 0")[0].kind for letter in letters} == set(TransitionKind)
