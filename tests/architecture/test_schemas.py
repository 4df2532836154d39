"""The published JSON Schemas and our readers say the same: what a reader takes, its schema takes.

The other way round, a schema takes more in these cases, which a schema cannot say: texts with a grammar (`4G`, `2h`,
`high`, a status, a command with an unclosed quote, `module:function`), ids and dependencies that must fit together,
duplicate keys, two fields that contradict each other, control characters, numbers above our limits, expressions
outside of `matrix` and `foreach`, a repeated or unknown value of a matrix, and an agent that is left without a command.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from taskexec.cli.schema import SCHEMAS, read_schema
from taskexec.completion.account import RunAccount
from taskexec.domain.states import Reason, TaskStatus
from taskexec.errors import Fault, Place, PlanRejected
from taskexec.plan import build_plan, plan_to_json
from taskexec.plan.draft import DraftAlternative, DraftTask, Located, PlanDraft
from taskexec.sources.config.hooks import apply_hooks
from taskexec.sources.config.manifest import apply_manifest
from taskexec.sources.planfile import read_planfile
from taskexec.sources.task.fields import TASK_FIELDS
from taskexec.sources.text_places import TextPlaces
from taskexec.sources.tree.yaml_text import parse_yaml
from taskexec.sources.workflow.matrix import EXPANSION_FIELDS
from taskexec.sources.workflow.reader import DEFAULT_FIELDS, LANE_FIELDS, TOP_FIELDS, read_workflow

ROOT = Path(__file__).parents[2]
FOLDERS = (ROOT / "tests" / "plans", ROOT / "examples", ROOT / "docs")
EVERY_SCHEMA = pytest.mark.parametrize("name", list(SCHEMAS))
VALIDATORS = {name: Draft202012Validator(read_schema(name)) for name in SCHEMAS}


def takes(name: str, document: Any) -> bool:
    """Return whether a schema takes a document."""
    return VALIDATORS[name].is_valid(document)


def found(pattern: str) -> list[Path]:
    return sorted(path for folder in FOLDERS for path in folder.rglob(pattern))


def parts(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield every object in a schema."""
    if isinstance(schema, dict):
        yield schema
    for child in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from parts(child)


@EVERY_SCHEMA
def test_schema_is_a_valid_one_with_a_name_that_needs_no_network(name: str) -> None:
    schema = read_schema(name)

    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"urn:taskexec:schema:{SCHEMAS[name].replace('-', ':')}"
    assert all(part["$ref"].startswith("#/") for part in parts(schema) if isinstance(part.get("$ref"), str))


@EVERY_SCHEMA
def test_every_property_and_part_is_described(name: str) -> None:
    schema = read_schema(name)
    described = dict(schema["$defs"])
    for part in parts(schema):
        if "description" in part and isinstance(part.get("properties"), dict):
            described |= {f"{part['description'][:20]}.{key}": value for key, value in part["properties"].items()}

    missing = [key for key, part in described.items() if not {"description", "$ref"} & part.keys()]
    assert missing == []


@EVERY_SCHEMA
def test_every_part_is_used(name: str) -> None:
    schema = read_schema(name)
    used = {part["$ref"] for part in parts(schema) if isinstance(part.get("$ref"), str)}

    assert used == {f"#/$defs/{key}" for key in schema["$defs"]}


def test_every_file_in_the_folder_has_a_name() -> None:
    folder = files("taskexec").joinpath("schemas")

    assert {entry.name for entry in folder.iterdir()} == {f"{stem}.json" for stem in SCHEMAS.values()}


def test_fields_are_those_of_the_readers() -> None:
    plan, workflow = read_schema("plan"), read_schema("workflow")
    defaults = workflow["properties"]["defaults"]["properties"].keys()
    shared = workflow["$defs"]["shared"]["properties"].keys()

    assert plan["$defs"]["task"]["properties"].keys() == TASK_FIELDS
    assert workflow["properties"].keys() == set(TOP_FIELDS)
    assert workflow["$defs"]["task_fields"]["properties"].keys() == (TASK_FIELDS - {"id"}) | set(EXPANSION_FIELDS)
    assert shared == LANE_FIELDS
    assert shared | defaults == DEFAULT_FIELDS


def test_words_of_events_are_those_of_the_domain() -> None:
    task = read_schema("events")["$defs"]["task"]["properties"]

    assert task["status"]["enum"] == [status.value for status in TaskStatus]
    assert task["reason"]["enum"] == [*(reason.value for reason in Reason), None]


def test_account_of_a_run_is_what_the_schema_of_events_says() -> None:
    account = RunAccount(["a", "b"])
    account.tasks[1].because_of = 0
    account.tasks[0].record = {"started_at": "2025-01-01T00:00:00.000001Z", "exit_status": 1, "reason": "exit"}

    VALIDATORS["events"].validate(account.lines())
    assert set(account.lines()[1]) == set(read_schema("events")["$defs"]["task"]["properties"])


@pytest.mark.parametrize(
    ("name", "pattern"), [("plan", "plan.json"), ("hooks", "*hooks*.json"), ("manifest", "manifest.json")]
)
def test_files_in_tests_and_examples_are_what_their_schema_says(name: str, pattern: str) -> None:
    for path in found(pattern):
        VALIDATORS[name].validate(json.loads(path.read_text(encoding="utf-8")))


def test_workflows_in_tests_and_examples_are_what_their_schema_says() -> None:
    for path in [*found("*.yaml"), *found("*.yml")]:
        text = path.read_text(encoding="utf-8")
        root, _ = parse_yaml(text, TextPlaces(text, str(path)))

        VALIDATORS["cluster" if "workers" in root.members() else "workflow"].validate(root.plain())


PLACE = Place("p", 1, 1)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=5)
AMOUNTS = st.floats(0, 1000) | st.integers(0, 1000)


def located(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values.map(lambda value: Located(value, PLACE))


ALTERNATIVES = st.builds(
    DraftAlternative,
    place=st.just(PLACE),
    weight=located(st.floats(0.1, 2)),
    cpus=AMOUNTS.map(lambda value: Located(value, PLACE)),
    gpu_memory_mib=located(st.integers(0, 99)),
    has=st.none() | st.just((Located("ssd", PLACE),)),
    exclusive=located(st.booleans()),
)
DRAFTS = st.builds(
    DraftTask,
    id=st.integers(0, 10**6).map(lambda number: Located(f"t{number}", PLACE)),
    title=located(TEXTS),
    agent=located(st.sampled_from(["shell", "noop", "x"])),
    payload=st.dictionaries(TEXTS, TEXTS | st.lists(st.integers(0, 9)), max_size=2),
    lane=located(st.sampled_from(["L", "Queue A — X"])),
    cpus=located(AMOUNTS),
    memory_mib=located(st.integers(0, 10**6)),
    gpus=located(st.sampled_from([0, 0.5, 1, 2])),
    duration_s=located(AMOUNTS),
    timeout_s=located(st.floats(0.1, 1000)),
    retries=located(st.integers(0, 9)),
    priority=located(st.integers(-5, 20)),
    layer=located(TEXTS),
    gpu_memory_mib=located(st.integers(0, 99)),
    disk_mib=located(st.integers(0, 99)),
    has=st.none() | st.just((Located("ssd", PLACE),)),
    has_not=st.none() | st.just((Located("slow", PLACE), Located("far", PLACE))),
    exclusive=located(st.booleans()),
    alternatives=st.none() | st.lists(ALTERNATIVES, max_size=2).map(tuple),
    satisfied=located(st.booleans()),
    labels=st.lists(TEXTS, max_size=2).map(tuple),
    acceptance_criteria=st.lists(TEXTS, max_size=2).map(tuple),
    requirements=st.lists(TEXTS, max_size=2).map(tuple),
    metadata=st.dictionaries(TEXTS, TEXTS, max_size=2),
)


@settings(max_examples=80, deadline=None)
@given(st.lists(DRAFTS, min_size=1, max_size=4, unique_by=lambda task: task.id.value))
def test_every_plan_that_is_written_is_what_the_schema_says_and_is_read_again(tasks: list[DraftTask]) -> None:
    tasks[-1].depends_on = [task.id for task in tasks[:-1]]
    plan = build_plan(PlanDraft(source="p", kind="csv", tasks=tasks))

    document = json.loads(json.dumps(plan_to_json(plan, generated_at="2025-01-01T00:00:00Z")))

    VALIDATORS["plan"].validate(document)
    assert build_plan(read_planfile(json.dumps(document), "p.json")) == plan


def plan_faults(document: Any) -> list[Fault]:
    return _plan_faults(read_planfile(json.dumps(document), "p.json"))


def workflow_faults(document: Any) -> list[Fault]:
    return _plan_faults(read_workflow(json.dumps(document), "w.json", read_include=lambda path: ("tasks: {z: }", path)))


def _plan_faults(draft: PlanDraft) -> list[Fault]:
    if draft.faults:
        return draft.faults
    try:
        build_plan(draft)
    except PlanRejected as rejected:
        return list(rejected.faults())
    return []


def hooks_faults(document: Any) -> list[Fault]:
    draft = PlanDraft(source="p", kind="sot", tasks=[DraftTask(id=Located("a", PLACE))])
    apply_hooks(draft, json.dumps(document), "h.json")
    return draft.faults


def manifest_faults(document: Any) -> list[Fault]:
    draft = PlanDraft(source="p", kind="sot", tasks=[DraftTask(id=Located("a", PLACE))])
    apply_manifest(draft, json.dumps(document), "m.json")
    return draft.faults


READERS: dict[str, Callable[[Any], list[Fault]]] = {
    "plan": plan_faults,
    "workflow": workflow_faults,
    "hooks": hooks_faults,
    "manifest": manifest_faults,
}
FIELDS: dict[str, Any] = {
    "title": "A",
    "agent": "shell",
    "commands": [{"cmd": ["ls", "x"], "cwd": ".", "env": {"A": "1", "N": 2}}, {"cmd": "ls | wc"}],
    "lane": "L",
    "route": "GPU",
    "cpus": 1.5,
    "memory": "4G",
    "gpus": 1,
    "gpu_memory_mib": 4,
    "disk": "10G",
    "has": ["ssd", "zone=a"],
    "not": "slow",
    "exclusive": True,
    "nodes": 2,
    "packed": False,
    "alternatives": [{"gpus": 0.5, "gpu_memory": "8G", "weight": 0.5}, {"cpus": 16, "has": "fast", "not": None}],
    "duration": "2h",
    "timeout_s": 5,
    "retries": 1,
    "priority": "high",
    "layer": 2,
    "satisfied": True,
    "labels": ["x"],
    "acceptance_criteria": "y",
    "requirements": ["R1"],
    "metadata": {"owner": "Ann", "n": 3, "t": True, "nothing": None},
}
SHARED = {key: value for key, value in FIELDS.items() if key not in ("commands", "lane")}
DOCUMENTS: dict[str, list[Any]] = {
    "plan": [
        {
            "version": 2,
            "tasks": [{"id": "a", "depends_on": ["b"], **FIELDS}, {"id": "b", "depends_on": "c"}, {"id": "c"}],
        },
        {"version": 2, "tasks": [{"id": "a", "command": "ls", "queue": "cpu", "status": "done", "duration_s": 0}]},
        {"version": "1.0", "queues": [{"name": "Q", "tasks": [{"id": "a", "title": "A", "layer": 1}]}]},
    ],
    "workflow": [
        {
            "version": 1,
            "name": "n",
            "defaults": SHARED,
            "lanes": {"L": {"depends_on": ["b"], "order": "sequential", **SHARED}, "M": None},
            "include": ["x.yaml"],
            "tasks": {"a": {"depends_on": ["b"], **FIELDS}, "b": "ls", "c": None},
        },
        {
            "tasks": [
                {"id": "m", "matrix": {"x": [1, "b", True], "y": [1]}, "exclude": [{"x": 1}], "cpus": "${{ matrix.y }}"}
            ]
        },
        {"tasks": {"f": {"foreach": [1, "b"], "command": ["echo", "${{ item }}"]}}},
    ],
    "hooks": [{"a": {"commands": FIELDS["commands"]}, "L": {"commands": []}}],
    "manifest": [
        {
            "version": "1.0",
            "layers": {"core": {"agent": "shell", "tasks": ["a"], "queues": ["L"]}},
            "agents": {"a": "noop", "*": "noop"},
            "default_agent": "noop",
        },
        {"layers": [{"name": "core", "agent": None, "tasks": None}]},
    ],
}
VALID = [(name, document) for name, documents in DOCUMENTS.items() for document in documents]


@pytest.mark.parametrize(("name", "document"), VALID)
def test_document_that_uses_every_field_is_taken_by_both(name: str, document: Any) -> None:
    assert READERS[name](document) == []
    VALIDATORS[name].validate(document)


def spots(document: Any) -> Iterator[tuple[Any, Any]]:
    """Yield container and key of every value in a document."""
    pairs = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in pairs:
        yield document, key
        yield from spots(value)


VALUES = st.one_of(
    *(
        st.none(),
        st.booleans(),
        st.integers(-3, 3),
        st.floats(-2, 2),
        st.sampled_from(["", "a", "b", "gpu", "4G", "1.0"]),
    ),
    *(st.just([]), st.just({}), st.lists(st.integers(0, 2), min_size=1, max_size=2), st.just({"a": 1}), st.just([{}])),
    *(st.just(["b"]), st.just({"cmd": "ls"}), st.just([{"cmd": ["ls"]}])),
)
KEYS = st.sampled_from([*TASK_FIELDS, *EXPANSION_FIELDS, *TOP_FIELDS, "order", "queues", "cmd", "env", "cwd", "zz", ""])


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(VALID), st.data())
def test_what_a_reader_takes_its_schema_takes(chosen: tuple[str, Any], data: st.DataObject) -> None:
    name, document = chosen[0], json.loads(json.dumps(chosen[1]))
    for _ in range(data.draw(st.integers(1, 2))):
        container, key = data.draw(st.sampled_from(list(spots(document))))
        change = data.draw(st.sampled_from(["replace", "add", "remove"]))
        if change == "remove":
            del container[key]
        elif change == "add" and isinstance(container, dict):
            container[data.draw(KEYS)] = copy.deepcopy(data.draw(VALUES))
        else:
            container[key] = copy.deepcopy(data.draw(VALUES))
        if not list(spots(document)):
            break

    if READERS[name](document) == []:
        VALIDATORS[name].validate(document)


WRONG: dict[str, list[Any]] = {
    "plan": [
        *([], 3, {}, {"version": 3, "tasks": [{"id": "a"}]}, {"tasks": {}}, {"tasks": []}, {"tasks": [1]}),
        *({"tasks": [{}]}, {"queues": [{"name": "L"}]}, {"queues": [{"tasks": []}]}),
        *({"queues": [{"name": "L", "tasks": [{"id": 1}]}]}, {"tasks": [{"id": ""}]}),
    ],
    "workflow": [
        *([], {}, {"tasks": 3}, {"tasks": [3]}, {"tasks": [{}]}, {"tasks": {"a": 3}}, {"tasks": {"a": {"id": "a"}}}),
        *({"tasks": {"a": None}, "task": 1}, {"tasks": {"a": None}, "version": 2}, {"tasks": {"a": None}, "name": 3}),
        *({"tasks": {"a": {"cpu": 1}}}, {"tasks": {"a": {"matrix": {}}}}, {"tasks": {"a": {"matrix": {"x": []}}}}),
        *({"tasks": {"a": {"foreach": [None]}}}, {"tasks": {"a": {"foreach": [1], "matrix": {"x": [1]}}}}),
        *({"tasks": {"a": {"exclude": [{"x": 1}]}}}, {"tasks": {"a": None}, "lanes": {"L": {"order": "x"}}}),
        *({"tasks": {"a": None}, "lanes": {"L": {"lane": "M"}}}, {"tasks": {"a": None}, "defaults": {"command": "ls"}}),
        *({"tasks": {"a": None}, "include": [3]}, {"tasks": {"a": {"matrix": {"a b": [1]}}}}, {"tasks": {"": None}}),
    ],
    "hooks": [
        *([], 3, {"a": 3}, {"a": {}}, {"a": {"commands": {}}}, {"a": {"commands": ["ls"]}}, {"a": {"commands": [{}]}}),
        *({"a": {"commands": [{"cmd": []}]}}, {"a": {"commands": [{"cmd": ["a", 1]}]}}),
        *({"a": {"commands": [{"cmd": [""]}]}}, {"a": {"commands": [{"cmd": "x", "cwd": 1}]}}),
        *(
            {"a": {"commands": [{"cmd": "x", "env": {"A=B": "x"}}]}},
            {"a": {"commands": [{"cmd": "x", "env": {"A": []}}]}},
        ),
    ],
    "manifest": [
        *(
            [],
            {"version": "2"},
            {"layers": 3},
            {"layers": {"x": 3}},
            {"layers": [{}]},
            {"layers": {"x": {"tasks": "a"}}},
        ),
        *({"layers": {"x": {"tasks": [1]}}}, {"layers": {"x": {"agent": 1}}}, {"agents": []}, {"agents": {"a": None}}),
        *({"default_agent": " "}, {"layers": [{"name": 3}]}),
    ],
}
WRONG_FIELDS = [
    *[("title", []), ("agent", 1), ("payload", "x"), ("command", ""), ("command", []), ("commands", [1])],
    *[
        ("depends_on", 1),
        ("depends_on", [1]),
        ("lane", 1),
        ("route", "tpu"),
        ("queue", 1),
        ("cpus", -1),
        ("cpus", True),
    ],
    *[
        ("memory_mib", 1.5),
        ("memory", True),
        ("gpus", "x"),
        ("gpu_memory_mib", -1),
        ("gpu_memory", []),
        ("retries", 0.5),
    ],
    *[("duration_s", "1"), ("duration", -1), ("timeout_s", 0), ("timeout", 0), ("priority", 1.5), ("priority", [])],
    *[("layer", True), ("satisfied", "yes"), ("status", 1), ("labels", [1]), ("requirements", {}), ("metadata", "x")],
    *[("metadata", {"a": []}), ("acceptance_criteria", [None])],
    *[("disk", True), ("disk_mib", 1.5), ("exclusive", 1), ("nodes", 0), ("nodes", 1.5), ("packed", "yes")],
    *[("has", 1), ("not", [1]), ("alternatives", {}), ("alternatives", [1])],
    *[("alternatives", [{"cpus": 1, "weight": 0}]), ("alternatives", [{"cpus": "1"}])],
]


@pytest.mark.parametrize(
    ("name", "document"),
    [
        *((name, document) for name, documents in WRONG.items() for document in documents),
        *(("plan", {"tasks": [{"id": "a", key: value}]}) for key, value in WRONG_FIELDS),
        *(("workflow", {"tasks": {"a": {key: value}}}) for key, value in WRONG_FIELDS),
    ],
)
def test_wrong_document_is_refused_by_both(name: str, document: Any) -> None:
    assert READERS[name](document) != []
    assert not takes(name, document)
