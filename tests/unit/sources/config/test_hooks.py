"""Which tasks a hooks file changes, and which faults it can have."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskexec.errors import Place
from taskexec.plan.draft import PlanDraft
from taskexec.sources import apply_hooks, read_csv

ECHO = {"commands": [{"cwd": ".", "cmd": ["echo", "x"]}]}


@pytest.fixture
def draft() -> PlanDraft:
    return read_csv("id,lane,agent,command\na,L,,\nb,L,python,m:f\nc,M,,true\n", "p.csv")


def payloads(draft: PlanDraft) -> list[object]:
    return [task.payload for task in draft.tasks]


def codes(draft: PlanDraft) -> list[str]:
    return [fault.code for fault in draft.faults]


def test_hook_of_a_lane_makes_shell_tasks_of_all_its_tasks(draft):
    apply_hooks(draft, json.dumps({"L": ECHO}), "h.json")

    payload = {"commands": [{"argv": ["echo", "x"], "cwd": "."}]}
    assert payloads(draft) == [payload, payload, {"commands": [{"argv": ["true"]}]}]
    assert draft.tasks[1].agent is None


def test_hook_of_a_task_wins_over_that_of_its_lane(draft):
    apply_hooks(draft, json.dumps({"a": {"commands": [{"cmd": "ls | wc"}]}, "L": ECHO}), "h.json")

    assert payloads(draft)[0] == {"commands": [{"argv": ["/bin/sh", "-c", "ls | wc"]}]}
    assert payloads(draft)[1] == {"commands": [{"argv": ["echo", "x"], "cwd": "."}]}


def test_hook_without_commands_in_its_list_makes_a_task_do_nothing(draft):
    apply_hooks(draft, '{"c": {"commands": []}}', "h.json")

    assert (draft.faults, payloads(draft)[2]) == ([], {"commands": []})


def test_key_that_matches_nothing_is_a_warning_at_its_place(draft):
    apply_hooks(draft, json.dumps({"L": ECHO, "Z": ECHO}, indent=1), "h.json")

    assert [warning.code for warning in draft.warnings] == ["hooks.unmatched"]
    assert draft.warnings[0].places == (Place("h.json", 13, 2),)


@pytest.mark.parametrize(
    ("value", "column"),
    [
        ("3", 7),
        ("[]", 7),
        ("{}", 7),
        ('{"commands": {}}', 20),
        ('{"commands": ["ls"]}', 21),
        ('{"commands": [{}]}', 21),
        ('{"commands": [{"cmd": []}]}', 29),
        ('{"commands": [{"cmd": ["a", 1]}]}', 35),
        ('{"commands": [{"cmd": ["a\\u0000"]}]}', 30),
        ('{"commands": [{"cmd": "\'x"}]}', 29),
        ('{"commands": [{"cmd": ""}]}', 29),
        ('{"commands": [{"cwd": 1, "cmd": "x"}]}', 29),
    ],
)
def test_wrong_shape_is_a_fault_at_its_value(draft, value, column):
    before = payloads(draft)

    apply_hooks(draft, '{"a": ' + value + "}", "h.json")

    assert codes(draft) == ["hooks.shape"]
    assert draft.faults[0].places == (Place("h.json", 1, column),)
    assert payloads(draft) == before


def test_unknown_field_of_a_hook_is_a_warning(draft):
    apply_hooks(draft, '{"a": {"commands": [{"cmd": "x", "environ": {}}], "comands": []}}', "h.json")

    assert [(warning.code, warning.hint) for warning in draft.warnings] == [
        ("hooks.unknown_field", "did you mean `commands`?"),
        ("hooks.unknown_field", "remove it; known here: `cmd`, `cwd`, `env`"),
    ]


def test_variables_of_a_command_are_kept(draft):
    apply_hooks(draft, '{"a": {"commands": [{"cmd": "x", "env": {"CI": "1", "N": 3.10}}]}}', "h.json")

    assert payloads(draft)[0] == {"commands": [{"argv": ["x"], "env": {"CI": "1", "N": "3.10"}}]}


@pytest.mark.parametrize(
    ("env", "code"),
    [
        ("[]", "hooks.shape"),
        ('{"A": []}', "hooks.shape"),
        ('{"A": null}', "hooks.shape"),
        ('{"A": "\\u0000"}', "hooks.shape"),
        ('{"": "x"}', "hooks.env"),
        ('{"A=B": "x"}', "hooks.env"),
        ('{"A\\u0000": "x"}', "hooks.env"),
    ],
)
def test_variable_that_no_process_can_have_is_a_fault(draft, env, code):
    apply_hooks(draft, '{"a": {"commands": [{"cmd": "x", "env": ' + env + "}]}}", "h.json")

    assert codes(draft) == [code]
    assert payloads(draft)[0] == {}


@pytest.mark.parametrize("cwd", ["/", "/tmp", "..", "../x", "a/../..", "a/../../b", "./../x"])
def test_folder_outside_the_project_is_a_fault_unless_allowed(draft, cwd):
    hooks = json.dumps({"a": {"commands": [{"cmd": "x", "cwd": cwd}]}})

    apply_hooks(draft, hooks, "h.json")
    assert codes(draft) == ["hooks.cwd"]
    assert payloads(draft)[0] == {}

    draft.faults.clear()
    apply_hooks(draft, hooks, "h.json", allow_outside=True)
    assert codes(draft) == []
    assert payloads(draft)[0] == {"commands": [{"argv": ["x"], "cwd": cwd}]}


@pytest.mark.parametrize("cwd", [".", "", "a", "a/..", "a/../b", "..a", "a/..b"])
def test_folder_inside_the_project_is_taken(draft, cwd):
    apply_hooks(draft, json.dumps({"a": {"commands": [{"cmd": "x", "cwd": cwd}]}}), "h.json")

    assert codes(draft) == []


def test_likely_name_is_offered_for_a_key_that_matches_nothing():
    draft = read_csv("id,lane\nTASK-001,Queue A — Core\n", "p.csv")

    apply_hooks(draft, json.dumps({"TASK-01": ECHO, "Queue A - Core": ECHO}), "h.json")

    assert [warning.hint for warning in draft.warnings] == [
        "did you mean `TASK-001`?",
        "did you mean `Queue A — Core`?",
    ]


def test_hooks_in_another_format_are_told_so(draft):
    apply_hooks(draft, "a:\n  commands: []\n", "hooks.yaml")

    assert codes(draft) == ["hooks.json"]
    assert "JSON" in draft.faults[0].hint


def test_reading_names_the_hooks_file(draft):
    apply_hooks(draft, "{}", "h.json")

    assert draft.reading.files == ["h.json"]


def test_duplicate_key_is_a_fault_at_both_places(draft):
    apply_hooks(draft, '{"a": {"commands": []},\n "a": {"commands": []}}', "h.json")

    assert codes(draft) == ["hooks.duplicate_key"]
    assert draft.faults[0].places == (Place("h.json", 1, 2), Place("h.json", 2, 2))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"a": {}\n  "b": {}}', Place("h.json", 2, 3)),
        ("", Place("h.json", 1, 1)),
        ('{"a": NaN}', Place("h.json", 1, 7)),
        ("[" * 200 + "]" * 200, Place("h.json", 1, 101)),
        ("[" * 100_000, Place("h.json", 1, 101)),
        ('{"a": 1e999}', Place("h.json", 1, 7)),
        ('{"a": "\\ud800"}', Place("h.json", 1, 7)),
    ],
)
def test_text_that_is_no_json_is_one_fault(draft, text, place):
    apply_hooks(draft, text, "h.json")

    assert len(draft.faults) == 1
    assert draft.faults[0].places == (place,)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "L", "commands", "cmd", "cwd"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(JSON_VALUES)
def test_any_json_is_applied_or_refused(value):
    draft = read_csv("id,lane\na,L\n", "p.csv")

    apply_hooks(draft, json.dumps(value), "h.json")

    assert draft.faults or draft.tasks[0].payload == {} or "commands" in draft.tasks[0].payload
