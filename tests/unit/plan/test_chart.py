"""Tests of bars over time as text and as a drawing."""

from __future__ import annotations

from xml.etree import ElementTree

from taskexec.plan.chart import Bar, Chart, Row, chart_text, draw_chart, pack

S = 1_000_000


def chart(*rows: Row, hidden: int = 0) -> Chart:
    return Chart("run", "facts", rows, 10 * S, hidden)


def test_bars_that_overlap_stand_in_rows_of_their_own() -> None:
    bars = [("w", Bar(0, 2 * S, "a")), ("w", Bar(S, 3 * S, "b")), ("w", Bar(2 * S, 4 * S, "c"))]

    rows, hidden = pack(bars, 10)

    assert [[bar.label for bar in row.bars] for row in rows] == [["a", "c"], ["b"]]
    assert hidden == 0


def test_wait_of_a_bar_takes_room_in_its_row() -> None:
    bars = [("w", Bar(0, 2 * S, "a")), ("w", Bar(3 * S, 4 * S, "b", since_us=S))]

    assert len(pack(bars, 10)[0]) == 2


def test_bars_beyond_the_most_rows_are_counted() -> None:
    rows, hidden = pack([("w", Bar(0, S, str(one))) for one in range(5)], 2)

    assert (len(rows), hidden) == (2, 3)
    assert list(chart_text(chart(*rows, hidden=hidden), 60))[-1] == "and 3 more in rows that are not shown"


def test_text_names_bars_where_there_is_room_and_shades_the_rest() -> None:
    row = Row(
        "w1", [Bar(0, 4 * S, "train"), Bar(5 * S, 5 * S + 1000, "tiny"), Bar(8 * S, 10 * S, "eval", since_us=6 * S)]
    )

    line = next(iter(chart_text(chart(row), 44)))

    assert line == "w1 [train─────────]    ░   ········[eval──]"
    assert len(line) <= 44


def test_drawing_is_well_formed_whatever_tasks_are_called() -> None:
    nasty = '<script>"&\x1b[31m'
    svg = draw_chart(chart(Row(nasty, [Bar(0, 9 * S, nasty, note=nasty, kind="failed", is_chain=True, since_us=0)])))

    root = ElementTree.fromstring(svg)

    assert "<script>" not in svg
    assert "\x1b" not in svg
    rectangles = [one.get("class") for one in root.iter("{http://www.w3.org/2000/svg}rect")]
    assert "bar q0 failed chain" in rectangles


def test_huge_drawing_is_bounded_and_says_so() -> None:
    rows = [Row("w", [Bar(at, at + 1, f"t{at}") for at in range(25_000)])]

    svg = draw_chart(chart(*rows))

    assert svg.count("<title>") == 20_000
    assert "and 5,000 more bars" in svg
