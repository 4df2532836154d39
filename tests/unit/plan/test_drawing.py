from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskexec.plan import Estimates, Graph, Plan, build_plan, draw_svg, summarize
from taskexec.plan.layout import Grid, lay_out
from taskexec.plan.svg import fit_text, format_duration

from .drafting import acyclic, draft, plan_of, task

SVG = "{http://www.w3.org/2000/svg}"


def draw(plan: Plan, statuses: Mapping[str, str] | None = None) -> ET.Element:
    return ET.fromstring(draw_svg(plan, summarize(plan, Estimates(plan)), Estimates(plan), statuses=statuses))


def titles(picture: ET.Element) -> list[str]:
    return [(title.text or "").splitlines()[0] for title in picture.iter(f"{SVG}title")]


def fan(width: int) -> dict[str, Sequence[str]]:
    middle: dict[str, Sequence[str]] = {f"m{number}": ["first"] for number in range(width)}
    return {"first": [], **middle, "last": list(middle)}


@pytest.mark.parametrize("width", [3, 30, 80, 200, 3_000])
def test_every_task_has_a_title_at_any_size(width: int) -> None:
    plan = plan_of(fan(width))

    assert titles(draw(plan)) == [task.id for task in plan.tasks]


@pytest.mark.parametrize(("width", "has_labels"), [(3, True), (80, True), (400, False)])
def test_large_plans_are_drawn_without_labels(width: int, has_labels: bool) -> None:
    texts = [text.text for text in draw(plan_of(fan(width))).iter(f"{SVG}text")]

    assert ("first" in texts) is has_labels


@pytest.mark.parametrize("hostile", ["<svg><script>", "a&b", "\"'", "}}>"])
def test_hostile_text_is_escaped(hostile: str) -> None:
    plan = build_plan(draft(task(hostile, title=hostile + "\x0b", lane=hostile), source=hostile))

    picture = draw(plan, {plan.tasks[0].id: "succeeded"})

    assert titles(picture) == [hostile]


def test_lanes_differ_by_shape_and_stand_in_the_legend() -> None:
    plan = build_plan(draft(task("a", lane="Lane one"), task("b", lane="Lane two")))

    picture = draw(plan)

    marks = [path.get("d") for path in picture.iter(f"{SVG}path") if (path.get("class") or "").startswith("q")]
    assert len(set(marks)) == 2
    assert {"Lane one (1)", "Lane two (1)"} <= {text.text for text in picture.iter(f"{SVG}text")}


def test_critical_path_is_drawn_apart() -> None:
    plan = plan_of({"a": [], "b": ["a"], "c": ["a"]}, b=2.0, c=1.0)

    (hot,) = [path for path in draw(plan).iter(f"{SVG}path") if path.get("class") == "edge hot"][1:]

    assert (hot.get("d") or "").count("M") == 1


def test_statuses_are_signs_with_a_legend() -> None:
    texts = [text.text for text in draw(plan_of({"a": []}), {"a": "failed"}).iter(f"{SVG}text")]

    assert "✕" in texts
    assert "✕ failed (1)" in texts


@settings(deadline=None)
@given(acyclic())
def test_layout_keeps_columns_and_gaps(predecessors: list[list[int]]) -> None:
    graph, grid = Graph.of(predecessors), Grid(100, 40, 20, 50, 6)

    layout = lay_out(graph, grid)

    for node, before in enumerate(predecessors):
        x, y = layout.nodes[node]
        assert 0 <= x <= layout.width - 100 + 1e-6
        assert 10 - 1e-6 <= y <= layout.height - 10 + 1e-6
        assert all(layout.nodes[index][0] + 140 <= x + 1e-6 for index in before)
    for level in range(len(graph.widths)):
        rows = sorted(layout.nodes[n][1] for n in range(len(graph)) if graph.levels[n] == level)
        assert all(below - above >= 20 - 1e-6 for above, below in pairwise(rows))


def test_drawing_is_the_same_every_time() -> None:
    plan = plan_of(fan(40))

    assert draw_svg(plan, summarize(plan, Estimates(plan)), Estimates(plan)) == draw_svg(
        plan, summarize(plan, Estimates(plan)), Estimates(plan)
    )


@given(st.text(), st.integers(20, 300))
def test_fitted_text_is_the_text_or_its_ends(text: str, width: int) -> None:
    fitted = fit_text(text, width)

    head, _, tail = fitted.partition("…")
    assert fitted == text or (text.startswith(head) and text.endswith(tail))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (0.3456, "0.346 s"), (59.96, "1 min"), (250, "4 min 10 s"), (7500, "2 h 5 min")],
)
def test_durations_read_as_people_say_them(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
