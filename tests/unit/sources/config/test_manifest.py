"""Which layers and agents a manifest of the older kit gives, and what can be wrong with it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskexec.errors import Place
from taskexec.plan.draft import DraftTask, Located, PlanDraft
from taskexec.sources.config.manifest import apply_manifest

PLACE = Place("p", 1, 1)


def task(name: str, lane: str | None = None, **fields: object) -> DraftTask:
    located = {key: Located(value, PLACE) for key, value in fields.items() if key != "payload"}
    lane_field = None if lane is None else Located(lane, PLACE)
    return DraftTask(id=Located(name, PLACE), lane=lane_field, payload=fields.get("payload", {}), **located)


@pytest.fixture
def draft() -> PlanDraft:
    tasks = [
        task("TASK-001", "Queue A — Core"),
        task("TASK-002", "Queue A — Core", agent="python", layer="own"),
        task("TASK-003", "Queue B — Web"),
        task("TASK-004", payload={"commands": [{"argv": ["true"]}]}),
    ]
    return PlanDraft(source="p", kind="sot", tasks=tasks)


def apply(draft: PlanDraft, manifest: object) -> None:
    apply_manifest(draft, json.dumps(manifest), "manifest.json")


def layers(draft: PlanDraft) -> list[str | None]:
    return [None if found.layer is None else found.layer.value for found in draft.tasks]


def agents(draft: PlanDraft) -> list[str | None]:
    return [None if found.agent is None else found.agent.value for found in draft.tasks]


def test_layers_of_tasks_and_queues_are_given_to_those_without(draft):
    apply(draft, {"version": "1.0", "layers": {"core": {"queues": ["Queue A — Core"]}, "ui": {"tasks": ["TASK-003"]}}})

    assert (draft.faults, draft.warnings) == ([], [])
    assert layers(draft) == ["core", "own", "ui", None]


def test_layer_of_a_task_wins_over_that_of_its_queue(draft):
    apply(draft, {"layers": {"core": {"queues": ["Queue A — Core"]}, "one": {"tasks": ["TASK-001"]}}})

    assert layers(draft)[0] == "one"


def test_layers_may_be_a_list(draft):
    apply(draft, {"layers": [{"name": "core", "agent": "shell", "tasks": ["TASK-001"]}]})

    assert (draft.faults, draft.warnings) == ([], [])
    assert (layers(draft)[0], agents(draft)[0]) == ("core", "shell")


@pytest.mark.parametrize(
    ("manifest", "expected"),
    [
        ({"default_agent": "noop"}, ["noop", "python", "noop", None]),
        ({"agents": {"*": "shell"}, "default_agent": "noop"}, ["shell", "python", "shell", None]),
        ({"agents": {"Queue A — Core": "http", "*": "shell"}}, ["http", "python", "shell", None]),
        ({"agents": {"TASK-001": "llm", "Queue A — Core": "http"}}, ["llm", "python", None, None]),
        (
            {"layers": {"core": {"agent": "http", "tasks": ["TASK-001"]}}, "agents": {"*": "noop"}},
            ["http", "python", "noop", None],
        ),
    ],
)
def test_nearest_agent_is_given_to_tasks_that_say_nothing(draft, manifest, expected):
    apply(draft, manifest)

    assert (draft.faults, agents(draft)) == ([], expected)


def test_names_that_match_nothing_are_warnings_with_the_nearest(draft):
    apply(draft, {"layers": {"x": {"tasks": ["TASK-01"], "queues": ["Queue A - Core"]}}, "agents": {"zzzzzz": "noop"}})

    assert [(warning.code, warning.hint) for warning in draft.warnings] == [
        ("manifest.unmatched", "did you mean `TASK-001`?"),
        ("manifest.unmatched", "did you mean `Queue A — Core`?"),
        ("manifest.unmatched", "write the task or queue as it stands in the plan, or remove it"),
    ]


def test_unknown_fields_are_warnings_with_the_nearest(draft):
    apply(draft, {"layer": {}, "layers": {"x": {"task": []}}})

    assert [(warning.code, warning.hint) for warning in draft.warnings] == [
        ("manifest.unknown_field", "did you mean `layers`?"),
        ("manifest.unknown_field", "did you mean `tasks`?"),
    ]


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("", "manifest.json", 1),
        ("layers: {}", "manifest.json", 1),
        ("[]", "manifest.shape", 1),
        ('{"version":\n "2.0"}', "manifest.version", 2),
        ('{"version": []}', "manifest.version", 1),
        ('{"layers": 3}', "manifest.shape", 1),
        ('{"layers": {"x":\n 3}}', "manifest.shape", 2),
        ('{"layers": [{"tasks": []}]}', "manifest.shape", 1),
        ('{"layers": [{"name": 3}]}', "manifest.shape", 1),
        ('{"layers": {"x": {"tasks": "TASK-001"}}}', "manifest.shape", 1),
        ('{"layers": {"x": {"tasks": [\n1]}}}', "manifest.shape", 2),
        ('{"layers": {"x": {"agent": 1}}}', "manifest.shape", 1),
        ('{"layers": {"x": {"tasks": ["TASK-001"]},\n"y": {"tasks": ["TASK-001"]}}}', "manifest.layer", 1),
        ('{"agents": []}', "manifest.shape", 1),
        ('{"agents": {"TASK-001": 1}}', "manifest.shape", 1),
        ('{"agents": {"TASK-001": " "}}', "manifest.shape", 1),
        ('{"default_agent": {}}', "manifest.shape", 1),
        ('{"default_agent": "a", "default_agent": "b"}', "manifest.duplicate_key", 1),
    ],
)
def test_mistake_is_one_fault_at_its_line(draft, text, code, line):
    apply_manifest(draft, text, "m.json")

    assert [fault.code for fault in draft.faults] == [code]
    assert draft.faults[0].places[0].line == line


def test_task_in_two_layers_stands_at_both_places(draft):
    apply_manifest(draft, '{"layers": {"x": {"tasks": ["TASK-001"]},\n"y": {"tasks": ["TASK-001"]}}}', "m.json")

    assert draft.faults[0].places == (Place("m.json", 1, 29), Place("m.json", 2, 17))


def test_reading_names_the_manifest(draft):
    apply(draft, {})

    assert draft.reading.files == ["manifest.json"]


SHAPES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["TASK-001", "noop", "1.0", "*"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["version", "layers", "agents", "default_agent", "tasks", "queues", "agent", "name", "*"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@settings(max_examples=150, deadline=None)
@given(SHAPES)
def test_any_json_is_applied_or_refused(manifest):
    draft = PlanDraft(source="p", kind="sot", tasks=[task("TASK-001")])

    apply(draft, manifest)

    assert all(fault.places for fault in (*draft.faults, *draft.warnings))
