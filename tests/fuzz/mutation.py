"""Samples of every kind of source, changed at random places, and what must hold of whatever comes of them."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from hypothesis import strategies as st

from taskexec.errors import Fault, Place, PlanRejected
from taskexec.plan import PlanDraft, build_plan
from taskexec.sources.text_places import LINE_BREAK

__all__ = ["changed", "check_draft", "check_faults", "data_of", "texts_of", "time_limit"]

TESTS = Path(__file__).parents[1]
TEMPLATES = TESTS.parent / "taskexec" / "templates"
LONGEST_S = 20.0
"""Processor time that one sample may take; some milliseconds are usual."""

_BLANKS = ("", " ", "\n", "\r\n", "\r", "\t", "\0", "\ufeff", "\u2028", "\x85", "\x1b[2J", "\u202e", "        ")
_LINES = ("```\n", "tasks:\n", "---\n", "...\n", "\n\n\n", "1. **Queue A — B**\n", "   - Task `a` — b\n", "## 2) ")
_PHRASES = (": ", "- ", "- [ ] ", "- [x] ", "&a ", "<<: *a", "!!float x", "5 days", "${{ matrix.x }}", "Details: `{}`")
_WORDS = r"""
    retry: retry_delay on: exit:75 x2 50% deadline 2026-03-01 2026-03-01T18:00Z inputs outputs: ../x ./a//b
    " ' "" ` ~~~ \ \u0000 \ud800 <!-- --> < > # % @ ! ? , ; | : { } [ ] {} [] *a * / é 😀 ¼ ² ٣ ﬁ İ .nan NaN -Infinity
    1e999 -1 0x10 1,500 null true none 1:30 P1D 2-04 1FS+2d 3SS T-1–T-999999 id id,title tasks "tasks": queues matrix
    foreach include: command depends_on version: ../../etc/passwd ${{ {{task}}
"""
_LONG = ("9" * 30, "9" * 5_000, "a" * 300, "(" * 50, "[" * 120)
_TOKENS = (*_BLANKS, *_LINES, *_PHRASES, *_WORDS.split(), *_LONG)
"""What means something in one of the kinds, or nothing in any."""


def data_of(*patterns: str) -> list[bytes]:
    """Return the files that patterns below `tests`, or names of templates, stand for; large ones are left out."""
    files = sorted({path for pattern in patterns for folder in (TESTS, TEMPLATES) for path in folder.glob(pattern)})
    return [data for path in files if path.is_file() and 0 < len(data := path.read_bytes()) < 8_000]


def texts_of(*patterns: str) -> list[str]:
    """Return the texts among these files."""
    return [data.decode(errors="replace") for data in data_of(*patterns)]


@st.composite
def changed(draw: st.DrawFn, samples: Sequence[Any]) -> Any:
    """Draw a sample with up to four parts taken out, repeated, replaced or taken from another one."""
    text = draw(st.sampled_from(samples))
    tokens = [token.encode() if isinstance(text, bytes) else token for token in _TOKENS]
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 60)))
        part = text[start:end]
        how = draw(st.sampled_from(("take out", "put in", "repeat", "replace", "splice", "cut off")))
        if how == "put in":
            part = draw(st.sampled_from(tokens)) + part
        elif how == "replace":
            part = draw(st.sampled_from(tokens))
        elif how == "repeat":
            part *= draw(st.integers(2, 40))
        elif how == "splice":
            other = draw(st.sampled_from(samples))
            at = draw(st.integers(0, len(other)))
            part += other[at : at + draw(st.integers(1, 400))]
        else:
            part = part[:0]
        text = text[:start] + part + (text[:0] if how == "cut off" else text[end:])
    return text


@contextmanager
def time_limit() -> Iterator[None]:
    """Fail if what is done inside takes more than `LONGEST_S` of processor time."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise AssertionError(f"more than {LONGEST_S:g} s")

    before = signal.signal(signal.SIGPROF, stop)  # pytest's own limit uses the timer of real time
    signal.setitimer(signal.ITIMER_PROF, LONGEST_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def check_draft(read: Callable[[], PlanDraft], texts: Mapping[str, str]) -> None:
    """Read and judge; it must give a plan or faults, in bounded time, and every place must lie in its file.

    Args:
        read: Reads the plan, by whatever reader.
        texts: What stands in each file, by the name that places give it.
    """
    with time_limit():
        draft = read()
        check_faults([*draft.faults, *draft.warnings], texts)
        for task in draft.tasks:
            for place in (task.id.place, *(name.place for name in task.depends_on)):
                _check_place(place, texts)
        try:
            plan = build_plan(draft)
        except PlanRejected as rejected:
            check_faults(rejected.faults(), texts)
            return
        assert plan.tasks
        assert plan.digest
        check_faults(plan.warnings, texts)


def check_faults(faults: Sequence[Fault], texts: Mapping[str, str]) -> None:
    """Check that faults can be told and stand inside their files."""
    for fault in faults:
        assert fault.code
        assert fault.message
        assert fault.message.isprintable()
        assert (fault.hint or "").isprintable()
        assert fault.render()
        for place in fault.places:
            _check_place(place, texts)


def _check_place(place: Place, texts: Mapping[str, str]) -> None:
    lines = LINE_BREAK.split(texts[place.file])
    assert 0 <= place.line <= len(lines), place
    assert 0 <= place.column <= len(lines[max(place.line, 1) - 1]) + 1, place
    assert place.line or not place.column, place
