"""What the reader of JSON plans takes, and where it says a value is wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskexec.domain.resources import Route
from taskexec.errors import Fault, Place, PlanRejected
from taskexec.plan import build_plan
from taskexec.plan.draft import PlanDraft
from taskexec.sources import read_planfile
from taskexec.sources.text_places import TextPlaces
from taskexec.sources.tree.json_text import parse_json

TASK = {
    "id": "a",
    "title": "A",
    "agent": "shell",
    "payload": {"commands": [{"argv": ["true"]}]},
    "depends_on": ["b", "c"],
    "lane": "L",
    "route": "gpu",
    "cpus": 1.5,
    "memory_mib": 10,
    "gpus": 1,
    "duration_s": 0,
    "timeout_s": 5,
    "retries": 2,
    "priority": 3,
    "layer": "base",
    "metadata": {"owner": "Ann"},
}
OLD = {
    "version": "1.0",
    "source": "SOT.md",
    "generated_at": "2025-01-01T00:00:00Z",
    "queues": [{"name": "Queue A — X", "tasks": [{"id": "a", "title": "A", "layer": 2}, {"id": "b"}]}],
}


def codes(draft: PlanDraft) -> list[str]:
    return [fault.code for fault in draft.faults]


def refusal(draft: PlanDraft) -> Sequence[Fault]:
    """Return why no plan can be made of a draft."""
    with pytest.raises(PlanRejected) as rejected:
        build_plan(draft)
    return rejected.value.faults()


def one_task(**fields: object) -> PlanDraft:
    return read_planfile(json.dumps({"version": 2, "tasks": [{"id": "a", **fields}]}), "p.json")


def test_every_field_of_our_own_plan_is_read():
    draft = read_planfile(json.dumps({"version": 2, "queues": [1], "extra": 1, "tasks": [TASK]}), "p.json")

    task = draft.tasks[0]
    assert (draft.faults, draft.warnings) == ([], [])
    assert (task.id.value, task.title.value, task.agent.value, task.layer.value) == (
        "a",
        "A",
        "shell",
        "base",
    )
    assert (task.payload, task.metadata) == (TASK["payload"], {"owner": "Ann"})
    assert [name.value for name in task.depends_on] == ["b", "c"]
    assert (task.lane.value, task.route.value) == ("L", Route.GPU)
    assert (task.cpus.value, task.memory_mib.value, task.gpus.value) == (1.5, 10, 1.0)
    assert (task.duration_s.value, task.timeout_s.value) == (0.0, 5.0)
    assert (task.retries.value, task.priority.value) == (2, 3)


@pytest.mark.parametrize("version", [{}, {"version": 1}, {"version": "1"}, {"version": "1.0"}])
def test_plan_of_the_older_kit_gives_lanes_without_order(version):
    plan = {key: value for key, value in OLD.items() if key != "version"} | version
    draft = read_planfile(json.dumps(plan), "p.json")

    assert draft.faults == []
    assert [(task.id.value, task.lane.value, task.agent) for task in draft.tasks] == [
        ("a", "Queue A — X", None),
        ("b", "Queue A — X", None),
    ]
    assert (draft.tasks[0].layer.value, draft.tasks[1].title) == ("2", None)
    assert [task.depends_on for task in draft.tasks] == [[], []]


def test_null_says_nothing():
    draft = one_task(**{field: None for field in TASK if field != "id"})

    assert (draft.faults, draft.tasks[0].cpus, draft.tasks[0].payload) == ([], None, {})


def test_unknown_version_is_a_fault():
    assert codes(read_planfile('{"version": 3, "tasks": []}', "p.json")) == ["planfile.version"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", 1),
        ("title", []),
        ("payload", "x"),
        ("depends_on", 1),
        ("depends_on", [1]),
        ("depends_on", ["b", None]),
        ("route", "tpu"),
        ("cpus", -1),
        ("cpus", True),
        ("cpus", 10**18 * -1),
        ("id", {}),
        ("id", None),
        ("memory_mib", 1.5),
        ("timeout_s", 0),
        ("retries", -1),
        ("priority", "soon"),
        ("priority", True),
        ("memory", "4X"),
        ("duration", "long"),
        ("timeout", "0s"),
        ("satisfied", "yes"),
        ("labels", [1]),
        ("command", ""),
        ("command", []),
        ("commands", [{"cwd": "."}]),
        ("metadata", {"a": []}),
        ("metadata", "x"),
    ],
)
def test_wrong_value_of_a_task_is_one_fault(field, value):
    assert codes(one_task(**{field: value})) in (["planfile.shape"], ["planfile.command"])


@pytest.mark.parametrize(
    "text",
    ["[]", "{}", "3", '{"tasks": {}}', '{"tasks": [1]}', '{"tasks": [{}]}', '{"queues": [{"name": "L"}]}'],
)
def test_wrong_shape_of_a_plan_is_one_fault(text):
    assert codes(read_planfile(text, "p.json")) == ["planfile.shape"]


def test_fault_stands_at_the_line_and_column_of_its_value():
    draft = read_planfile('{"tasks": [\n  {"id": "a",\n   "cpus": "two"}\n]}', "p.json")

    assert draft.faults[0].places == (Place("p.json", 3, 12),)


def test_dependencies_have_places_of_their_own():
    draft = read_planfile('{"tasks": [{"id": "a", "depends_on": ["b",\n"c"]}]}', "p.json")

    assert [name.place for name in draft.tasks[0].depends_on] == [
        Place("p.json", 1, 39),
        Place("p.json", 2, 1),
    ]


def test_unknown_field_of_a_task_is_a_warning():
    warning = one_task(depend_on=["b"]).warnings[0]

    assert (warning.code, warning.hint) == ("planfile.unknown_field", "did you mean `depends_on`?")


def test_form_names_the_version():
    assert one_task().reading.form == "plan (JSON), version 2"
    assert read_planfile(json.dumps(OLD), "p.json").reading.form == "plan (JSON), version 1"


def test_fields_that_a_plan_of_ours_leaves_out_when_empty_are_read():
    task = one_task(
        gpu_memory_mib=8, satisfied=True, labels=["x"], acceptance_criteria=["y"], requirements=["R1"]
    ).tasks[0]

    assert (task.gpu_memory_mib.value, task.satisfied.value) == (8, True)
    assert (task.labels, task.acceptance_criteria, task.requirements) == (("x",), ("y",), ("R1",))


def test_duplicate_key_is_a_fault():
    assert codes(read_planfile('{"tasks": [{"id": "a", "id": "b"}]}', "p.json")) == ["planfile.duplicate_key"]


def test_control_character_in_an_id_is_a_fault():
    assert codes(read_planfile('{"tasks": [{"id": "a\\u0000"}]}', "p.json")) == ["planfile.character"]


@pytest.mark.parametrize(
    "fields",
    [
        {"title": "a\0"},
        {"lane": "a\0"},
        {"queue": "a\0"},
        {"labels": ["a\0"]},
        {"depends_on": "a\0"},
        {"metadata": {"a": "\0"}},
        {"metadata": {"\0": "a"}},
    ],
)
def test_nul_in_a_text_is_a_fault_at_its_value(fields):
    draft = one_task(**fields)

    assert codes(draft) == ["planfile.character"]
    assert draft.faults[0].places[0].column > 30


def test_whole_number_beyond_64_bits_is_a_fault_at_its_value():
    draft = one_task(payload={"n": [1, 2**64]})

    assert codes(draft) == ["planfile.number"]
    assert draft.faults[0].places == (Place("p.json", 1, 59),)


def test_task_with_a_number_as_its_id_can_be_named_by_others():
    draft = read_planfile('{"tasks": [{"id": 7}, {"id": "b", "depends_on": ["7"]}]}', "p.json")

    assert [fault.code for fault in refusal(draft)] == ["planfile.shape"]


def test_task_without_an_id_is_left_out_and_told_once():
    draft = read_planfile('{"tasks": [{"title": "x"}, {"id": "b"}]}', "p.json")

    assert [fault.code for fault in refusal(draft)] == ["planfile.shape"]


@pytest.mark.parametrize("cwd", ["/etc", "..", "a/../../b"])
def test_folder_outside_the_plan_is_a_fault_unless_allowed(cwd):
    text = json.dumps({"tasks": [{"id": "a", "commands": [{"cmd": "x", "cwd": cwd}]}]})

    assert codes(read_planfile(text, "p.json")) == ["planfile.cwd"]
    assert codes(read_planfile(text, "p.json", allow_outside=True)) == []
    assert codes(one_task(payload={"commands": [{"argv": ["x"], "cwd": cwd}]})) == []


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(JSON_VALUES, st.sampled_from([None, 1]))
def test_tree_holds_what_the_json_decoder_reads(value, indent):
    text = json.dumps(value, indent=indent)

    root, faults = parse_json(text, TextPlaces(text, "p.json"), code="planfile")

    assert (root.plain(), faults) == (value, [])


@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from('{}[]",:\\ntrue1.e-') | st.characters(), max_size=40))
def test_any_text_gives_a_draft_with_faults(text):
    assert read_planfile(text, "p.json").faults


def test_what_tasks_of_the_older_kit_say_besides_is_taken():
    plan = {"queues": [{"name": "Q", "tasks": [{"id": "a", "status": "done"}, {"id": "b", "depends_on": ["a"]}]}]}

    draft = read_planfile(json.dumps(plan), "p.json")

    assert (codes(draft), draft.tasks[0].satisfied.value) == ([], True)
    assert [name.value for name in draft.tasks[1].depends_on] == ["a"]
