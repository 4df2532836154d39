"""Any plan, written in any form, is read back as the same plan; `TEK_FUZZ_EXAMPLES=5000` tries more of them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.plan_strategies import any_plan, bounded

from taskexec.domain.task import Task
from taskexec.errors import Place
from taskexec.plan import DraftTask, Located, Plan, PlanDraft, build_plan
from taskexec.sources import read_csv, read_plan, read_planfile, read_sot, write_plan
from taskexec.sources.workflow.reader import read_workflow
from taskexec.sources.writing import FORMS

READERS: dict[str, Callable[[str, str], PlanDraft]] = {
    "csv": read_csv,
    "yaml": read_workflow,
    "json": read_planfile,
    "sot": read_sot,
}
SUFFIXES = {"csv": ".csv", "yaml": ".yaml", "json": ".json", "sot": ".md"}
WARNINGS = {"plan.case", "plan.retry", "plan.timeout", "workflow.expression"}
"""What is said of some plans in any form, and of a text in a workflow that looks like a variable of a matrix."""

KINDS = {"csv": "csv", "yaml": "workflow", "json": "plan", "sot": "sot"}


def test_every_form_is_tried() -> None:
    assert FORMS.keys() == READERS.keys()


@pytest.mark.parametrize("form", READERS)
@bounded(60)
@given(plan=any_plan())
def test_any_plan_is_read_back_from_any_form(form: str, plan: Plan) -> None:
    text = write_plan(plan, form)
    back = build_plan(READERS[form](text, "back"))

    check_same(back, plan, is_grouped=form == "sot")


@bounded(60)
@given(plan=any_plan(), forms=st.permutations(list(READERS)))
def test_any_plan_survives_every_form_one_after_the_other(plan: Plan, forms: list[str]) -> None:
    back = plan

    for form in forms:
        back = build_plan(READERS[form](write_plan(back, form), "back"))

    check_same(back, plan, is_grouped=True)


@bounded(60)
@given(plan=any_plan(), form=st.sampled_from(list(READERS)), has_own_suffix=st.booleans())
def test_kind_of_any_written_plan_is_known_by_its_content(plan: Plan, form: str, has_own_suffix: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "plan" + (SUFFIXES[form] if has_own_suffix else ".txt"))
        path.write_bytes(write_plan(plan, form).encode())

        back = build_plan(read_plan(path))

    assert back.kind == KINDS[form]
    check_same(back, plan, is_grouped=form == "sot")


PLACE = Place("made.csv", 1, 1)
ODD = {
    "yaml_merge_key_as_id": ("yaml", DraftTask(id=Located("<<", PLACE))),
    "yaml_merge_key_in_payload": ("yaml", DraftTask(id=Located("a", PLACE), payload={"<<": {}})),
    "yaml_next_line": ("yaml", DraftTask(id=Located("a", PLACE), title=Located("b\x85c", PLACE))),
    "yaml_agent_without_command": ("yaml", DraftTask(id=Located("a", PLACE), agent=Located("shell", PLACE))),
    "csv_path_like_a_list": ("csv", DraftTask(id=Located("a", PLACE), inputs=(Located('["b"]', PLACE),))),
    "sot_path_with_backtick": ("sot", DraftTask(id=Located("a", PLACE), outputs=(Located("b`c", PLACE),))),
    "sot_lane_null": ("sot", DraftTask(id=Located("a", PLACE), lane=Located("null", PLACE))),
}
"""What was once lost in a form."""


@pytest.mark.parametrize("name", ODD)
def test_what_was_once_lost_is_read_back(name: str) -> None:
    form, task = ODD[name]
    plan = build_plan(PlanDraft(source="made.csv", kind="csv", tasks=[task]))

    back = build_plan(READERS[form](write_plan(plan, form), "back"))

    check_same(back, plan, is_grouped=True)


def check_same(back: Plan, plan: Plan, *, is_grouped: bool) -> None:
    """Check that two plans are equal to the last field; a State of Truth groups tasks by lane."""
    by_id: Callable[[Task], str] = attrgetter("id")
    tasks, expected = list(back.tasks), list(plan.tasks)
    if is_grouped:
        tasks.sort(key=by_id)
        expected.sort(key=by_id)
    assert tasks == expected
    assert back.digest == plan.digest
    assert [fault for fault in back.warnings if fault.code not in WARNINGS] == []
