"""What of a Markdown text is alive: headings, lines, code spans, and no comment or code block."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskexec.sources.sot.code import code_spans, hide_code
from taskexec.sources.sot.markdown import headings, read_live_text, sections, split_lines

PIECES = st.sampled_from(["<!--", "-->", "`", "``", "```", "~~~", "\n", "# ", "a", " ", "---", "==", "- ", "1. ", "\t"])
TEXTS = st.lists(PIECES, max_size=40).map("".join)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("# A\n", [(1, "A")]),
        ("   ###### B ##  \n", [(6, "B")]),
        ("####### seven\n#none\n", []),
        ("# C#\n", [(1, "C#")]),
        ("Title\n=====\n\nOther\n---\n", [(1, "Title"), (2, "Other")]),
        ("- item\n---\n\n| a |\n---\n", []),
        ("##\n", [(2, "")]),
    ],
)
def test_headings_have_marks_or_a_line_below(text, found):
    assert [(heading.level, heading.text) for heading in headings(text)] == found


def test_section_ends_at_the_next_heading_of_its_level():
    text = "## B. Tasks\none\n### deeper\ntwo\n## C\nthree\n"

    assert [text[start:end].split() for start, end in sections(text, "tasks")] == [["one", "###", "deeper", "two"]]


@pytest.mark.parametrize(
    ("text", "kept", "comments", "code_blocks"),
    [
        ("a<!-- b -->c", "ac", 1, 0),
        ("a<!-- b <!-- c --> d -->\ne", "a e", 1, 0),
        ("a <!-- b <!-- c --> d", "a d", 1, 0),
        ("a <!-- b", "a", 1, 0),
        ("a\n```\nb\n```\nc", "a c", 0, 1),
        ("a\n~~~\nb\n```\nc", "a", 0, 1),
        ("`<!--` a", "`<!--` a", 0, 0),
    ],
)
def test_dead_text_is_hidden_and_counted(text, kept, comments, code_blocks):
    live = read_live_text(text)

    assert live.text.split() == (kept.split() if kept != "ac" else ["a", "c"])
    assert (live.comments, live.code_blocks) == (comments, code_blocks)


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("`a` b `c`", ["a", "c"]),
        ("``a`b`` `c`", ["a`b", "c"]),
        ("`a", []),
        ("``a` b``", ["a` b"]),
        ("```a` `b`", ["` `"]),
    ],
)
def test_code_span_ends_at_as_many_backticks_as_it_began_with(text, inside):
    found = [text[span.start : span.end] for span in code_spans(text, 0, len(text))]

    assert found == inside if inside != ["` `"] else len(found) == 1


@given(TEXTS)
def test_hiding_keeps_every_offset(text):
    live = read_live_text(text).text

    assert len(live) == len(text)
    assert [index for index, character in enumerate(live) if character == "\n"] == [
        index for index, character in enumerate(text) if character == "\n"
    ]
    assert len(hide_code(text)) == len(text)


@given(TEXTS)
def test_lines_cover_the_text(text):
    lines = list(split_lines(text))

    assert "\n".join(text[line.start : line.end] for line in lines).rstrip("\n") == text.rstrip("\n")
    assert all(line.start <= line.body <= line.end for line in lines)


@pytest.mark.parametrize(
    "text",
    [
        "# a" + " " * 100_000 + "b",
        "<!-- " * 100_000,
        "`" * 50_000,
        "`a" * 50_000,
        "\n".join("`" * length for length in range(3, 800)),
        "a\n" + "-" * 100_000 + "x",
        "~" * 100_000 + "\n" + "~" * 99_999,
        " " * 200_000 + "x",
    ],
)
def test_hostile_text_takes_linear_time(text):
    begun_at = time.process_time()

    live = read_live_text(text).text
    list(headings(live))
    list(split_lines(live))
    hide_code(live)

    assert time.process_time() - begun_at < 2
