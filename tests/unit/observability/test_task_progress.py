"""Lines that report progress are found however they come in, and other lines mean nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskexec.observability.task_progress import ProgressLines, Reported, read_progress


@pytest.mark.parametrize(
    ("line", "reported"),
    [
        (b"::progress 0.4 compiling the kernels", Reported(0.4, "compiling the kernels")),
        (b"::progress 40% compiling", Reported(0.4, "compiling")),
        (b"  ::progress 40 %  ", Reported(0.4, None)),
        (b"::progress 1", Reported(1.0, None)),
        (b"::progress .5", Reported(0.5, None)),
        (b"::progress 100%", Reported(1.0, None)),
        (b"::progress 0.5 \x1b[31mred\x1b[0m\x07", Reported(0.5, "red")),
        (b"::progress 0.5 caf\xc3\xa9 \xff", Reported(0.5, "caf\u00e9 \ufffd")),
    ],
)
def test_reports_are_read(line: bytes, reported: Reported) -> None:
    found = read_progress(line.replace(b" %", b"%"))

    assert found == reported


@pytest.mark.parametrize(
    "line",
    [
        *(b"", b"progress 0.4", b"::progress", b"::progress x", b"::progress 4", b"::progress 140%", b"::progress -1"),
        *(b"::progress 1e9", b"say ::progress 0.4", b"::progress nan", b"::progressive 0.4"),
    ],
)
def test_other_lines_mean_nothing(line: bytes) -> None:
    assert read_progress(line) is None


@given(st.lists(st.integers(1, 7), min_size=1, max_size=60))
def test_pieces_of_any_size_say_the_same(sizes: list[int]) -> None:
    data = b"x\n::progress 0.1 one\r\nnoise ::progress 0.9\n::progress 20% two\n::progress 0.3"
    lines, last, at = ProgressLines(), None, 0
    for size in [*sizes, len(data)]:
        last = lines.feed(data[at : at + size]) or last
        at += size

    assert last == Reported(0.2, "two")


def test_line_without_end_takes_no_memory() -> None:
    lines = ProgressLines()

    for _ in range(100):
        assert lines.feed(b"::progress 0.5 " + b"x" * 1000) is None

    assert len(lines._rest) <= 4096
    assert lines.feed(b"\n::progress 0.6 on\n") == Reported(0.6, "on")
