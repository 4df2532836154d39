"""A plan in memory says what its document says, without what stands in it twice and what says nothing."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskexec.api.plan_reading import PackedObject, read_plan_document
from taskexec.domain.secrets import Redactor

NOTHING = (None, 0, "", [], {}, False)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.floats(0, 10) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def plain(value: object) -> object:
    return dict(value) if isinstance(value, PackedObject) else value


@given(st.lists(st.dictionaries(st.text(min_size=1, max_size=6), VALUES, max_size=5), max_size=4), VALUES)
def test_tasks_say_what_they_said(tasks: list[dict[str, object]], other: object) -> None:
    tasks = [{"id": f"t{number}", "depends_on": ["t0"] * (number > 0), **task} for number, task in enumerate(tasks)]
    document = orjson.dumps({"version": 2, "queues": [{"tasks": []}], "other": other, "tasks": tasks, "folders": {}})
    for data in (document, orjson.dumps(orjson.loads(document), option=orjson.OPT_INDENT_2)):
        plan = read_plan_document(data, Redactor())

        assert plan.keys() == {"version", "other", "tasks"}
        assert plan["other"] == other
        for small, task in zip(plan["tasks"], tasks, strict=True):
            kept = {name: value for name, value in task.items() if name in small}
            assert {name: plain(value) for name, value in small.items()} == kept
            left_out = [value for name, value in task.items() if name not in small]
            assert all(value in NOTHING for value in left_out)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"tasks": 1}', '{"tasks": [1', '{"a" 1}', '{"tasks": [{}] "b": 1}'])
def test_what_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read_plan_document(text.encode(), Redactor())


def test_packed_object_reads_as_one() -> None:
    packed = PackedObject({"a": [1], "b": None})

    assert (dict(packed), packed["a"], len(packed), list(packed.items())) == (
        {"a": [1], "b": None}, [1], 2, [("a", [1]), ("b", None)]
    )  # fmt: skip
