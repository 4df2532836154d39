"""Tests of a graph as lines of text."""

from __future__ import annotations

from taskexec.plan.graph import Graph
from taskexec.plan.levels import Piece, level_rows


def lines(
    graph: Graph, statuses: dict[str, str] | None = None, *, width: int = 60, critical: tuple[int, ...] = ()
) -> list[str]:
    ids = [f"t{index}" for index in range(len(graph))]
    return ["".join(piece.text for piece in row) for row in rows(graph, ids, statuses or {}, critical, width)]


def rows(
    graph: Graph, ids: list[str], statuses: dict[str, str], critical: tuple[int, ...], width: int
) -> list[list[Piece]]:
    return list(level_rows(graph, ids, statuses, critical=critical, width=width))


def test_each_level_has_a_line_with_a_block_for_each_task() -> None:
    assert lines(Graph.of([(), (0,), (0,), (1, 2)])) == [
        "   0 █  1  t0  ",
        "   1 ██ 2  t1  t2  ",
        "   2 █  1  t3  ",
    ]


def test_critical_tasks_are_named_first_and_marked() -> None:
    found = rows(Graph.of([(), ()]), ["a", "b"], {}, (1,), 60)

    assert [(piece.text, piece.is_critical) for piece in found[0] if piece.text.strip() in {"a", "b"}] == [
        ("b", True),
        ("a", False),
    ]


def test_blocks_show_each_status_however_few_have_it() -> None:
    graph = Graph.of([()] * 1000)
    ids = [str(index) for index in range(1000)]
    statuses = dict.fromkeys(ids, "succeeded") | {"7": "failed"}

    blocks = {piece.status: len(piece.text) for piece in rows(graph, ids, statuses, (), 100)[0] if "█" in piece.text}

    assert blocks["failed"] == 1
    assert sum(blocks.values()) == 32


def test_lines_are_never_wider_than_asked_for() -> None:
    graph = Graph.of([()] * 50 + [tuple(range(50))])

    for width in (30, 60, 120):
        assert max(map(len, lines(graph, {"t3": "running"}, width=width))) <= width


def test_very_many_levels_are_cut() -> None:
    chain = Graph.of([(index - 1,) if index else () for index in range(200)])

    assert lines(chain)[-1] == "… and 140 more levels"
