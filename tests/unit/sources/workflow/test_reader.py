"""What a workflow says: entries, defaults, lanes and their order, and every kind of mistake in it."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskexec.errors import PlanRejected
from taskexec.plan import build_plan
from taskexec.plan.draft import PlanDraft
from taskexec.plan.plan import Plan
from taskexec.sources.workflow.reader import read_workflow


def read(text: str) -> PlanDraft:
    return read_workflow(text, "w.yaml")


def planned(text: str) -> Plan:
    draft = read(text)
    assert draft.faults == []
    return build_plan(draft)


def edges(plan: Plan) -> dict[str, tuple[str, ...]]:
    return {task.id: task.depends_on for task in plan.tasks}


def commands(plan: Plan) -> dict[str, list[list[str]]]:
    return {task.id: [command["argv"] for command in task.payload.get("commands", [])] for task in plan.tasks}


def test_task_is_an_object_a_command_or_nothing():
    plan = planned("tasks:\n  a: {command: [ls, -l], depends_on: b}\n  b: make all\n  c:\n")

    assert commands(plan) == {"a": [["ls", "-l"]], "b": [["make", "all"]], "c": []}
    assert [task.agent for task in plan.tasks] == ["shell", "shell", "noop"]
    assert edges(plan) == {"a": ("b",), "b": (), "c": ()}


def test_tasks_may_be_a_list_with_ids():
    plan = planned("tasks:\n- id: a\n  command: ls\n- {id: b, depends_on: [a]}\n")

    assert edges(plan) == {"a": (), "b": ("a",)}


def test_json_of_the_same_shape_means_the_same():
    workflow = {"version": 1, "tasks": {"a": "ls", "b": {"foreach": [1, 2.50], "depends_on": ["a"]}}}

    draft = read(json.dumps(workflow))

    assert [task.id.value for task in draft.tasks] == ["a", "b[1]", "b[2.5]"]
    assert draft.reading.form == "workflow (JSON), 3 tasks from 2 entries"


def test_json_may_hold_what_yaml_cannot():
    assert planned('{"tasks": {"a": {"title": "\\ud83d\\ude00"}}}').tasks[0].title == "😀"


def test_task_wins_over_its_lane_and_that_over_the_defaults():
    plan = planned("""
defaults: {cpus: 1, retries: 1, priority: 1, lane: L, metadata: {a: 1, b: 1, c: 1}}
lanes: {L: {cpus: 2, retries: 2, metadata: {b: 2, c: 2}}}
tasks: {t: {cpus: 3, metadata: {c: 3.0}}}
""")
    task = plan.tasks[0]

    assert (task.needs.cpus, task.retries, task.priority, task.lane) == (3, 2, 1, "L")
    assert task.metadata == {"a": "1", "b": "2", "c": "3.0"}


def test_agent_of_the_defaults_reads_the_command_and_spares_tasks_without_one():
    plan = planned("defaults: {agent: python}\ntasks: {a: 'm:f [1]', b: {agent: shell, command: ls}, c: }")

    assert [(task.agent, dict(task.payload)) for task in plan.tasks] == [
        ("python", {"call": "m:f", "args": [1], "kwargs": {}}),
        ("shell", {"commands": [{"argv": ["ls"]}]}),
        ("noop", {}),
    ]


def test_lane_waits_for_all_tasks_of_a_lane_and_for_single_ones():
    plan = planned("""
lanes: {Prepare: , Build: {depends_on: [Prepare, fetch]}}
tasks: {p1: {lane: Prepare}, p2: {lane: Prepare}, fetch: , b1: {lane: Build}, b2: {lane: Build, depends_on: [p1]}}
""")

    assert edges(plan)["b1"] == ("p1", "p2", "fetch")
    assert set(edges(plan)["b2"]) == {"p1", "p2", "fetch"}


def test_sequential_lane_is_a_chain_whose_ends_stand_for_it():
    plan = planned("""
lanes: {A: , B: {depends_on: A, order: sequential}, C: {depends_on: [B], order: parallel}}
tasks: {a: {lane: A}, b1: {lane: B}, b2: {lane: B}, b3: {lane: B}, c: {lane: C}}
""")

    assert edges(plan) == {"a": (), "b1": ("a",), "b2": ("b1",), "b3": ("b2",), "c": ("b3",)}


def test_reading_tells_entries_and_defaults():
    draft = read("name: nightly\ndefaults: {cpus: 2}\ntasks: {a: ls, b: {foreach: [1, 2]}}")

    assert draft.kind == "workflow"
    assert draft.reading.form == "workflow `nightly` (YAML), 3 tasks from 2 entries"
    assert draft.reading.defaults == ["cpus 2: `defaults` of w.yaml"]


def test_anchors_and_merge_keys_share_fields():
    plan = planned("tasks:\n  a: &slow {retries: 3, cpus: 2}\n  b: {<<: *slow, cpus: 1}\n  c: *slow\n")

    assert [(task.id, task.retries, task.needs.cpus) for task in plan.tasks] == [("a", 3, 2), ("b", 3, 1), ("c", 3, 2)]


def test_every_id_stands_at_its_own_key():
    plan = planned("tasks:\n  a: &x {retries: 3}\n  b: *x\n")

    assert [(place.line, place.column) for place in plan.places] == [(2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("", "workflow.shape", 1),
        ("[]", "workflow.shape", 1),
        ("version: 1", "workflow.shape", 1),
        ("tasks: 3", "workflow.shape", 1),
        ("tasks: [3]", "workflow.shape", 1),
        ("tasks:\n- command: ls", "workflow.shape", 2),
        ("tasks:\n- id: 3", "workflow.shape", 2),
        ("tasks:\n  a: 3", "workflow.shape", 2),
        ("tasks:\n  a: [ls]", "workflow.shape", 2),
        ("tasks:\n  a: {id: b}", "workflow.shape", 2),
        ("version: 2\ntasks: {a: }", "workflow.version", 1),
        ("version: {}\ntasks: {a: }", "workflow.version", 1),
        ("name: 3\ntasks: {a: }", "workflow.shape", 1),
        ("taks: {a: }\ntasks: {a: }", "workflow.unknown_field", 1),
        ("tasks:\n  a:\n    depend_on: [b]", "workflow.unknown_field", 3),
        ("tasks:\n  a:\n    commands:\n    - {cmd: ls, cdw: x}", "workflow.unknown_field", 4),
        ("tasks:\n  a: {cpus: two}", "workflow.shape", 2),
        ("tasks:\n  a: {depends_on: [1]}", "workflow.shape", 2),
        ("tasks:\n  a: {agent: shell}", "workflow.command", 2),
        ("tasks:\n  a: {agent: python, command: x y}", "workflow.command", 2),
        ("tasks:\n  a: {status: purple}", "workflow.status", 2),
        ('tasks:\n  "a\\nb\\u0085": ', "workflow.character", 2),
        ("defaults: {command: ls}\ntasks: {a: }", "workflow.unknown_field", 1),
        ("defaults: {depends_on: [a]}\ntasks: {a: }", "workflow.unknown_field", 1),
        ("defaults: []\ntasks: {a: }", "workflow.shape", 1),
        ("lanes: [L]\ntasks: {a: }", "workflow.shape", 1),
        ("lanes: {L: 3}\ntasks: {a: }", "workflow.shape", 1),
        ("lanes: {L: {order: random}}\ntasks: {a: }", "workflow.shape", 1),
        ("lanes: {L: {lane: M}}\ntasks: {a: }", "workflow.unknown_field", 1),
        ("lanes: {L: {depends_on: [M]}}\ntasks: {a: }", "workflow.unknown_dependency", 1),
        ("lanes: {L: {depends_on: [a]}, a: }\ntasks: {a: , b: {lane: L}}", "workflow.ambiguous", 1),
        ("lanes: {L: {depends_on: {}}}\ntasks: {a: }", "workflow.shape", 1),
        ("lanes: {L: {depends_on: L}}\ntasks: {a: {lane: L}}", "workflow.self_dependency", 1),
        ("lanes: {L: {depends_on: [a]}}\ntasks: {a: {lane: L}, b: {lane: L}}", "workflow.self_dependency", 1),
        ("tasks:\n  a:\n    commands:\n    - {cmd: ls, cwd: ../x}", "workflow.cwd", 4),
        ("tasks:\n  a: {metadata: {n: 99999999999999999999}}", "workflow.number", 2),
        ("tasks:\n  a: {agent: python, command: 'm:f [99999999999999999999]'}", "workflow.command", 2),
        ("tasks:\n  a: ls\n  a: ls", "workflow.duplicate_key", 2),
        ("tasks:\n- {id: a, foreach: [1]}\n- {id: a}", "workflow.duplicate_id", 2),
        ("tasks:\n- {id: a}\n- {id: a, foreach: [1]}", "workflow.duplicate_id", 2),
        ("include: [x.yaml]\ntasks: {a: }", "workflow.include", 1),
        ("tasks: {a: b: c}", "workflow.yaml", 1),
        ("tasks:\n  a: !x ls", "workflow.tag", 2),
    ],
)
def test_mistake_is_one_fault_at_its_line(text, code, line):
    draft = read(text)

    assert [fault.code for fault in draft.faults] == [code]
    assert draft.faults[0].places[0].line == line
    assert draft.faults[0].hint


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("taks: {}\ntasks: {a: }", "did you mean `tasks`?"),
        ("tasks: {a: {depend_on: b}}", "did you mean `depends_on`?"),
        ("defaults: {command: ls}\ntasks: {a: }", "write it in each task: `defaults` cannot say it"),
        (
            "tasks: {a: {duration: '1:30'}}",
            "write `1:30:00` for hours and minutes, `0:01:30` for minutes and seconds",
        ),
        ("tasks: {a: {title: 3}}", 'put it in quotes: "3"'),
        ("tasks: {a: {cpus: '2'}}", "write it without quotes: `2`"),
        ("tasks: {a: {matrixx: {}}}", "did you mean `matrix`?"),
        ("lanes: {Build: {oder: x}}\ntasks: {a: }", "did you mean `order`?"),
        ("lanes: {Build: , C: {depends_on: [Biuld]}}\ntasks: {a: }", "did you mean `Build`?"),
    ],
)
def test_fault_offers_the_nearest_name(text, hint):
    assert read(text).faults[0].hint == hint


def test_two_fields_that_disagree_stand_at_both_places():
    fault = read("tasks: {a: {status: done, satisfied: false}}").faults[0]

    assert [place.column for place in fault.places] == [21, 38]
    assert "`satisfied` says `false`" in fault.message


def test_folder_outside_the_plan_is_taken_when_allowed():
    draft = read_workflow("tasks: {a: {commands: [{cmd: ls, cwd: /x}]}}", "w.yaml", allow_outside=True)

    assert draft.faults == []


def test_lane_that_nearly_has_an_entry_is_a_warning():
    draft = read("lanes: {Build: }\ntasks: {a: {lane: Biuld}, b: {lane: Other}}")

    assert [(warning.code, warning.hint) for warning in draft.warnings] == [("workflow.lane", "did you mean `Build`?")]


def test_plain_duplicates_are_left_to_validation():
    draft = read("tasks: [{id: a}, {id: a}]")

    assert draft.faults == []
    with pytest.raises(PlanRejected) as rejected:
        build_plan(draft)
    assert [fault.code for fault in rejected.value.faults()] == ["plan.duplicate_id"]


KEYS = st.sampled_from(
    [
        "version",
        "tasks",
        "lanes",
        "defaults",
        "a",
        "b",
        "L",
        "command",
        "depends_on",
        "matrix",
        "foreach",
        "exclude",
        "cpus",
        "lane",
        "order",
        "agent",
        "payload",
        "include",
        "id",
        "retries",
        "title",
        "x",
    ]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.sampled_from(["a", "b", "L", "shell", "${{ item }}", "${{ matrix.x }}"])
)
SHAPES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=20
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(KEYS, SHAPES, max_size=4), SHAPES)
def test_any_shape_is_read_or_refused(top, tasks):
    text = json.dumps(top | {"tasks": tasks})
    draft = read(text)

    if not draft.faults:
        with contextlib.suppress(PlanRejected):
            build_plan(draft)


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("taskscommand: \n-{}[]$\"'&*<1") | st.characters(codec=None), max_size=60))
def test_any_text_is_read_or_refused(text):
    draft = read(text)

    assert draft.faults or draft.tasks or "include" in text or "tasks" in text
