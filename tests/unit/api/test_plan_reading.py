"""A plan in memory says what its document says, without what stands in it twice and what says nothing."""

from __future__ import annotations

from unittest.mock import patch

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskexec.api import plan_reading
from taskexec.api.plan_reading import PackedObject, read_plan_document
from taskexec.domain.secrets import Redactor
from taskexec.observability.pace import Pace

NOTHING = (None, 0, "", [], {}, False)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.floats(0, 10) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def plain(value: object) -> object:
    return dict(value) if isinstance(value, PackedObject) else value


@given(
    st.lists(st.dictionaries(st.text(min_size=1, max_size=6), VALUES, max_size=5), max_size=4),
    VALUES,
    st.sampled_from((1, 20, 10**6)),
)
def test_tasks_say_what_they_said(tasks: list[dict[str, object]], other: object, part: int) -> None:
    tasks = [{"id": f"t{number}", "depends_on": ["t0"] * (number > 0), **task} for number, task in enumerate(tasks)]
    document = orjson.dumps({"version": 2, "queues": [{"tasks": []}], "other": other, "tasks": tasks, "folders": {}})
    for data in (document, orjson.dumps(orjson.loads(document), option=orjson.OPT_INDENT_2)):
        with patch.object(plan_reading, "_PART", part):
            plan = read_plan_document(data, Redactor())

        assert plan.keys() == {"version", "other", "tasks"}
        assert plan["other"] == other
        for small, task in zip(plan["tasks"], tasks, strict=True):
            kept = {name: value for name, value in task.items() if name in small}
            assert {name: plain(value) for name, value in small.items()} == kept
            left_out = [value for name, value in task.items() if name not in small]
            assert all(value in NOTHING for value in left_out)


@pytest.mark.parametrize("part", [1, 10, 100, 10**6])
def test_tasks_are_told_apart_whatever_stands_in_them(monkeypatch: pytest.MonkeyPatch, part: int) -> None:
    monkeypatch.setattr(plan_reading, "_PART", part)
    title = 'a},{"id":"x"},{"id":'
    payload = {"id": "y", "steps": [{"id": 1}, {"id": 2}, {"id": [{"id": 3}, {"id": 4}]}], "text": '"},{"id":'}
    tasks = [{"id": f"t{number}", "title": title, "payload": payload} for number in range(9)]
    after = {"others": [{"id": 1}, {"id": 2}], "last": [{}, {"id": "z"}]}

    plan = read_plan_document(orjson.dumps({"tasks": tasks, **after}), Redactor())

    assert [{name: plain(value) for name, value in task.items()} for task in plan["tasks"]] == tasks
    assert {name: plan[name] for name in after} == after


def test_titles_and_lanes_come_without_secrets_and_the_others_as_they_are() -> None:
    tasks = [
        {"id": f"t{at}", "title": title, "lane": "hush hush"} for at, title in enumerate(["say hushhush", "plain"])
    ]

    plan = read_plan_document(orjson.dumps({"source": "hushhush.csv", "tasks": tasks}), Redactor(["hushhush"]))

    assert plan["source"] == "***.csv"
    assert [(task["title"], task["lane"]) for task in plan["tasks"]] == [
        ("say ***", "hush hush"),
        ("plain", "hush hush"),
    ]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"tasks": 1}', '{"tasks": [1', '{"a" 1}', '{"tasks": [{}] "b": 1}'])
def test_what_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read_plan_document(text.encode(), Redactor())


def test_packed_object_reads_as_one() -> None:
    packed = PackedObject({"a": [1], "b": None})

    assert (dict(packed), packed["a"], len(packed), list(packed.items())) == (
        {"a": [1], "b": None}, [1], 2, [("a", [1]), ("b", None)]
    )  # fmt: skip


def test_tasks_are_told_apart_by_their_commands_when_these_are_kept_packed() -> None:
    commands = ("sleep 1", "make all", "sleep 2", "make all")
    tasks = [{"id": f"t{at}", "agent": "shell", "payload": {"commands": [text]}} for at, text in enumerate(commands)]
    document = read_plan_document(orjson.dumps({"tasks": tasks}), Redactor([]))
    assert isinstance(document["tasks"][0]["payload"], PackedObject)
    pace = Pace(document["tasks"])

    for index, work_s in enumerate((1.0, 60.0)):
        pace.succeeded(index, work_s=work_s, held_s=work_s, since_ready_s=work_s)

    assert [pace.expected_s(index) for index in (2, 3)] == [1.0, 60.0]
