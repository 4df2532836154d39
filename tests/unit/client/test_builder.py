"""Tests of plans that programs put together."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from taskexec import WorkflowBuilder
from taskexec.errors import PlanRejected, UsageError
from taskexec.plan import build_plan
from taskexec.sources import read_plan


def depends_on(flow: WorkflowBuilder) -> dict[str, set[str]]:
    return {task.id: set(task.depends_on) for task in flow.build().tasks}


def faults_of(flow: WorkflowBuilder) -> list[tuple[str, str, int]]:
    """Return code, file and line of each fault."""
    with pytest.raises(PlanRejected) as refused:
        flow.build()
    return [(fault.code, Path(fault.places[0].file).name, fault.places[0].line) for fault in refused.value.faults()]


def line() -> int:
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return frame.f_back.f_lineno


def test_tasks_have_the_fields_of_a_plan() -> None:
    flow = WorkflowBuilder("nightly")
    flow.add("a", "make", memory="2G", cpus=2, retries=3, timeout="10m", priority="high", labels=["x"])

    (task,) = flow.build().tasks

    assert (task.agent, task.needs.memory_mib, task.needs.cpus, task.timeout_s) == ("shell", 2048, 2.0, 600.0)
    assert flow.build().source == "nightly"


def test_arrows_are_dependencies() -> None:
    flow = WorkflowBuilder()
    a, b, c, d = (flow.add(name) for name in "abcd")

    a >> [b, c]
    [b, c] >> d
    d << a

    assert depends_on(flow) == {"a": set(), "b": {"a"}, "c": {"a"}, "d": {"a", "b", "c"}}


def test_dependencies_are_ids_or_tasks_one_or_several() -> None:
    flow = WorkflowBuilder()
    a = flow.add("a")
    flow.add("b", depends_on=a)
    flow.add("c", depends_on="b")
    flow.add("d", depends_on=[a, "c"]).after("b")

    assert depends_on(flow) == {"a": set(), "b": {"a"}, "c": {"b"}, "d": {"a", "b", "c"}}


def test_stage_waits_for_all_of_the_stage_before_also_when_that_grows_later() -> None:
    flow = WorkflowBuilder()
    first, empty, last = flow.stage("first"), flow.stage("empty"), flow.stage("last")
    last.add("z", depends_on="own")
    flow.add("own")
    first.add("a")
    before = depends_on(flow)
    first.add("b")

    assert empty.tasks == []
    assert before == {"z": {"own", "a"}, "own": set(), "a": set()}
    assert depends_on(flow) == {"z": {"own", "a", "b"}, "own": set(), "a": set(), "b": set()}
    assert {task.id: task.lane for task in flow.build().tasks} == {"z": "last", "own": None, "a": "first", "b": "first"}


def test_python_callables_are_named_or_given() -> None:
    flow = WorkflowBuilder()
    flow.add("a", call="steps:make", args=[1], kwargs={"n": 2}, cpus=1)
    flow.add("b", call=build_plan)

    first, second = flow.build().tasks

    assert (first.agent, first.payload) == ("python", {"call": "steps:make", "args": [1], "kwargs": {"n": 2}})
    assert second.payload == {"call": "taskexec.plan.validation:build_plan"}


@pytest.mark.parametrize("call", [lambda: None, print.__call__, WorkflowBuilder.build])
def test_function_that_no_worker_could_import_is_refused(call: object) -> None:
    with pytest.raises(UsageError):
        WorkflowBuilder().add("a", call=call)


def test_all_faults_are_told_at_the_lines_that_added_the_tasks() -> None:
    flow = WorkflowBuilder()
    start = line()
    flow.add("a", depends_on="nothing")
    flow.add("b", memory="lots")
    flow.add("c", colour="red")
    flow.add("a")
    flow.stage("s").add("d", cpus=-1)

    here = Path(__file__).name
    assert set(faults_of(flow)) == {
        ("plan.unknown_dependency", here, start + 1),
        ("plan.duplicate_id", here, start + 1),
        ("planfile.shape", here, start + 2),
        ("planfile.unknown_field", here, start + 3),
        ("planfile.shape", here, start + 5),
    }


def test_faults_speak_of_tasks_and_not_of_a_file() -> None:
    flow = WorkflowBuilder()
    flow.add("b", memory="lots")
    flow.add("c", colour="red")

    with pytest.raises(PlanRejected) as refused:
        flow.build()

    first, second = [fault.message for fault in refused.value.faults()]
    assert first.startswith("a text `lots` stands at `memory` of task `b`")
    assert second == "field `colour` of task `c` means nothing"


def test_cycle_is_told_with_the_lines_of_its_tasks() -> None:
    flow = WorkflowBuilder()
    a, b = flow.add("a"), flow.add("b")

    a >> b >> a

    assert faults_of(flow)[0][0] == "plan.cycle"


def test_value_that_json_cannot_hold_is_a_fault() -> None:
    flow = WorkflowBuilder()
    start = line()
    flow.add("a", agent="noop", payload={"x": object()})
    flow.add("b", cpus=float("nan"))

    assert faults_of(flow) == [
        ("workflow.value", Path(__file__).name, start + 1),
        ("workflow.value", Path(__file__).name, start + 2),
    ]


def test_empty_workflow_is_no_plan() -> None:
    assert [code for code, _, _ in faults_of(WorkflowBuilder("empty"))] == ["plan.empty"]


@pytest.mark.parametrize("suffix", [".yaml", ".json", ".csv", ".md"])
def test_written_file_is_the_same_plan(tmp_path: Path, suffix: str) -> None:
    flow = WorkflowBuilder()
    flow.add("a", "make", memory="2G", lane="one")
    flow.add("b", "make test", depends_on="a", lane="one")

    path = flow.write(tmp_path / f"plan{suffix}")

    assert build_plan(read_plan(path)).digest == flow.build().digest


def test_other_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        WorkflowBuilder().write(tmp_path / "plan.xlsx")
