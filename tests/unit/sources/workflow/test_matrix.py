"""Entries that are many tasks: their ids, what becomes of `${{ … }}`, what depends on them, and the limits."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskexec.errors import Place
from taskexec.plan import build_plan
from taskexec.plan.draft import PlanDraft
from taskexec.sources.workflow import links, matrix
from taskexec.sources.workflow.reader import read_workflow


def read(text: str) -> PlanDraft:
    return read_workflow(text, "w.yaml")


def ids(draft: PlanDraft) -> list[str]:
    assert draft.faults == []
    return [task.id.value for task in draft.tasks]


def entry(fields: str) -> PlanDraft:
    return read("tasks:\n  t: {" + fields + "}\n")


def test_matrix_makes_every_combination_the_last_name_fastest():
    draft = entry("matrix: {python: [3.10, '3.13'], os: [linux, mac]}")

    assert ids(draft) == ["t[3.10,linux]", "t[3.10,mac]", "t[3.13,linux]", "t[3.13,mac]"]


def test_exclude_leaves_out_what_it_matches():
    draft = entry("matrix: {a: [1, 2, 3], b: [x, y]}, exclude: [{a: 1, b: x}, {b: y, a: 2}, {a: 3}]")

    assert ids(draft) == ["t[1,y]", "t[2,x]"]


def test_foreach_makes_one_task_of_each_value():
    assert ids(entry("foreach: [a, 2, true]")) == ["t[a]", "t[2]", "t[true]"]


def test_values_are_put_into_all_texts_as_they_are_written():
    draft = entry(
        "matrix: {v: [3.10]}, title: '${{matrix.v}} and ${{ matrix.v }}', command: 'echo ${{ matrix.v }} $X ${Y}', "
        "metadata: {m: '${{ matrix.v }}'}, lane: 'L ${{ matrix.v }}', labels: ['${{ matrix.v }}']"
    )
    task = draft.tasks[0]

    assert (task.title.value, task.lane.value, task.labels) == ("3.10 and 3.10", "L 3.10", ("3.10",))
    assert task.metadata == {"m": "3.10"}
    assert task.payload["commands"][0]["argv"][2] == "echo 3.10 $X ${Y}"


def test_value_stays_a_number_where_only_numbers_may_stand():
    draft = entry("foreach: [1, 2.5], cpus: '${{ item }}', timeout: '${{ item }}'")

    assert [(task.cpus.value, task.timeout_s.value) for task in draft.tasks] == [(1.0, 1.0), (2.5, 2.5)]


def test_what_is_put_in_is_not_looked_at_again():
    draft = entry("matrix: {a: ['${{ matrix.b }}'], b: [secret]}, title: '${{ matrix.a }}'")

    assert draft.tasks[0].title.value == "${{ matrix.b }}"


def test_task_without_many_keeps_its_text_with_a_warning():
    draft = read("tasks: {a: {title: '${{ item }}'}, b: {title: '${{ github.ref }}'}}")

    assert [task.title.value for task in draft.tasks] == ["${{ item }}", "${{ github.ref }}"]
    assert [warning.code for warning in draft.warnings] == ["workflow.expression"]


def test_name_of_an_entry_stands_for_all_its_members():
    plan = build_plan(read("tasks: {t: {foreach: [1, 2]}, after: {depends_on: t}, one: {depends_on: ['t[2]']}}"))

    depends_on = {task.id: task.depends_on for task in plan.tasks}
    assert (depends_on["after"], depends_on["one"]) == (("t[1]", "t[2]"), ("t[2]",))


def test_member_may_name_the_member_that_matches_it():
    plan = build_plan(
        read("""
tasks:
  test: {matrix: {py: [3.10, 3.13], os: [linux]}}
  pack: {matrix: {py: [3.10, 3.13]}, depends_on: ["test[${{ matrix.py }},linux]"]}
""")
    )

    depends_on = {task.id: task.depends_on for task in plan.tasks}
    assert depends_on["pack[3.10]"] == ("test[3.10,linux]",)
    assert depends_on["pack[3.13]"] == ("test[3.13,linux]",)


def test_members_are_chained_in_a_sequential_lane():
    plan = build_plan(read("lanes: {L: {order: sequential}}\ntasks: {t: {lane: L, foreach: [1, 2, 3]}}"))

    assert [task.depends_on for task in plan.tasks] == [(), ("t[1]",), ("t[2]",)]


@pytest.mark.parametrize(
    ("fields", "code", "hint"),
    [
        ("matrix: {}", "workflow.shape", None),
        ("matrix: ", "workflow.shape", None),
        ("matrix: [1]", "workflow.shape", None),
        ("matrix: {a: []}", "workflow.shape", None),
        ("matrix: {a: 1}", "workflow.shape", None),
        ("matrix: {a: [[1]]}", "workflow.shape", None),
        ("matrix: {a: [null]}", "workflow.shape", None),
        ("matrix: {a: [1, '1']}", "workflow.matrix", "keep one of them"),
        ("matrix: {'a b': [1]}", "workflow.matrix", None),
        ("foreach: {}", "workflow.shape", None),
        ("foreach: []", "workflow.shape", None),
        ("foreach: [1], matrix: {a: [1]}", "workflow.matrix", "keep one of them"),
        ("exclude: [{a: 1}]", "workflow.matrix", None),
        ("foreach: [1], exclude: [{a: 1}]", "workflow.shape", None),
        ("matrix: {a: [1]}, exclude: {a: 1}", "workflow.shape", None),
        ("matrix: {a: [1]}, exclude: [1]", "workflow.shape", None),
        ("matrix: {arch: [1, 2]}, exclude: [{arhc: 1}]", "workflow.matrix", "did you mean `arch`?"),
        ("matrix: {a: [1]}, exclude: [{a: 2}]", "workflow.shape", None),
        ("matrix: {a: [1]}, exclude: [{a: 1}]", "workflow.matrix", None),
        (
            "matrix: {python: [1]}, command: '${{ matrix.pyhton }}'",
            "workflow.expression",
            "did you mean `matrix.python`?",
        ),
        ("matrix: {a: [1]}, command: '${{ item }}'", "workflow.expression", None),
        ("foreach: [1], command: '${{ matrix.a }}'", "workflow.expression", None),
        ("foreach: [1], command: '${{ item'", "workflow.expression", "write `${{ matrix.NAME }}` or `${{ item }}`"),
        ("foreach: [1], command: '${{ item + 1 }}'", "workflow.expression", None),
        ("foreach: [1], command: '${{ env.HOME }}'", "workflow.expression", None),
        ("foreach: [x], cpus: '${{ item }}'", "workflow.shape", None),
        ("foreach: [1, 2], cpus: -1", "workflow.shape", None),
        ("foreach: [1, 2], depends_on: t", "workflow.self_dependency", "name single members instead"),
    ],
)
def test_mistake_is_told_once(fields, code, hint):
    draft = entry(fields)

    assert [fault.code for fault in draft.faults] == [code]
    assert draft.faults[0].places[0].line == 2
    assert draft.faults[0].hint
    assert hint in (None, draft.faults[0].hint)


@pytest.mark.parametrize("tasks", ["{'': {foreach: [1]}}", "[{id: ' ', foreach: [1]}]"])
def test_entry_without_an_id_is_refused(tasks):
    assert [fault.code for fault in read(f"tasks: {tasks}").faults] == ["workflow.shape"]


def test_too_many_tasks_are_refused_at_once():
    axes = ", ".join(f"x{number}: [0, 1]" for number in range(30))
    started = time.monotonic()

    draft = entry("matrix: {" + axes + "}")

    assert [fault.code for fault in draft.faults] == ["workflow.too_many"]
    assert draft.faults[0].places == (Place("w.yaml", 2, 6),)
    assert time.monotonic() - started < 5


def test_entries_share_one_limit(monkeypatch):
    monkeypatch.setattr("taskexec.sources.workflow.reader.TASKS_MAX", 5)

    assert ids(read("tasks: {a: {foreach: [1, 2, 3]}, b: {foreach: [1, 2]}}"))
    draft = read("tasks: {a: {foreach: [1, 2, 3]}, b: {foreach: [1, 2, 3]}}")
    assert [fault.code for fault in draft.faults] == ["workflow.too_many"]


def test_large_values_are_not_copied_into_very_many_tasks(monkeypatch):
    monkeypatch.setattr(matrix, "VALUES_MAX", 100)

    draft = entry("foreach: [1, 2, 3, 4, 5], payload: {x: [" + ", ".join(["0"] * 30) + "]}")

    assert [fault.code for fault in draft.faults] == ["workflow.too_many"]


def test_very_many_dependencies_are_refused_once(monkeypatch):
    monkeypatch.setattr(links, "DEPENDENCIES_MAX", 20)

    draft = read("tasks: {a: {foreach: [1, 2, 3, 4, 5]}, b: {foreach: [1, 2, 3, 4, 5], depends_on: a}}")

    assert [fault.code for fault in draft.faults] == ["workflow.too_many"]


AXES = st.dictionaries(
    st.sampled_from("abc"), st.lists(st.integers(0, 9), min_size=1, max_size=3, unique=True), min_size=1, max_size=3
)


@settings(max_examples=60, deadline=None)
@given(AXES)
def test_there_are_as_many_members_as_combinations(axes):
    text = ", ".join(f"{name}: {values}" for name, values in axes.items())
    expected = 1
    for values in axes.values():
        expected *= len(values)

    draft = entry("matrix: {" + text + "}")

    assert len(set(ids(draft))) == expected
