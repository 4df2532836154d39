"""What settings say of resources where a plan says nothing: who wins, what is told, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from taskexec.domain.resources import Alternative, Needs, Route
from taskexec.errors import Place
from taskexec.plan import Plan, PlanDraft, build_plan
from taskexec.settings import Written, load_settings
from taskexec.sources import ReadOptions, read_plan, read_sot
from taskexec.sources.config.defaults import apply_defaults
from taskexec.sources.table.reader import read_csv
from taskexec.sources.workflow.reader import read_workflow

FILE = "tek.toml"


def said(**values: Any) -> dict[str, Written]:
    return {name: Written(value, Place(FILE, line)) for line, (name, value) in enumerate(values.items(), 2)}


def completed(draft: PlanDraft, defaults: dict[str, Written], **queues: dict[str, Written]) -> Plan:
    apply_defaults(draft, defaults, {name.replace("_", " "): table for name, table in queues.items()})
    return build_plan(draft)


def table(text: str) -> PlanDraft:
    return read_csv(text, "p.csv")


def test_default_holds_where_the_source_says_nothing() -> None:
    plan = completed(table("id,command,cpus\na,make,\nb,make,1\n"), said(cpus=2, memory="4G", has=["x"]))

    assert [task.needs for task in plan.tasks] == [
        Needs(cpus=2.0, memory_mib=4_096, has=("x",)),
        Needs(cpus=1.0, memory_mib=4_096, has=("x",)),
    ]


def test_lane_wins_over_route_and_route_over_all() -> None:
    plan = completed(
        table("id,command,gpus,lane\na,make,,\nb,make,1,\nc,make,1,My lane\n"),
        said(cpus=2, memory=1, disk=1),
        gpu=said(cpus=4, memory=2),
        My_lane=said(cpus=8),
    )

    found = [(task.needs.cpus, task.needs.memory_mib, task.needs.disk_mib) for task in plan.tasks]
    assert found == [(2.0, 1, 1), (4.0, 2, 1), (8.0, 2, 1)]


def test_route_may_be_that_of_what_is_said_by_default() -> None:
    plan = completed(table("id,command\na,make\n"), said(gpu_memory="1G"), gpu=said(cpus=4))

    assert plan.tasks[0].needs == Needs(cpus=4.0, gpus=1.0, gpu_memory_mib=1_024)


def test_default_of_no_gpus_does_not_undo_memory_of_one() -> None:
    plan = completed(table("id,command,gpu_memory\na,make,1G\nb,make,\n"), said(gpus=0), gpu=said(cpus=4))

    assert [task.needs for task in plan.tasks] == [Needs(cpus=4.0, gpus=1.0, gpu_memory_mib=1_024), Needs()]


def test_tasks_with_several_nodes_are_of_queue_distributed() -> None:
    plan = completed(table("id,command,nodes\na,make,2\n"), {}, distributed=said(exclusive=True))

    assert (plan.tasks[0].needs, plan.tasks[0].route) == (Needs(nodes=2, exclusive=True), Route.DISTRIBUTED)


def test_defaults_of_a_workflow_win_and_its_empty_lists_say_none() -> None:
    text = "defaults: {cpus: 3}\ntasks: {a: make, b: {command: make, has: [], alternatives: []}}\n"

    plan = completed(read_workflow(text, "w.yaml"), said(cpus=2, has="x", alternatives=[{"gpus": 1, "weight": 0.5}]))

    assert [task.needs for task in plan.tasks] == [
        Needs(cpus=3.0, has=("x",), alternatives=(Alternative(0.5, Needs(gpus=1.0)),)),
        Needs(cpus=3.0),
    ]


def test_state_of_truth_takes_defaults_of_its_queues() -> None:
    text = "## Execution Queue & Task Hooks\n\n1. **Queue A — One**\n   - Tasks: `a`\n"

    plan = completed(read_sot(text, "sot.md"), {}, **{"Queue A — One": said(nodes=2)})

    assert plan.tasks[0].needs.nodes == 2


def test_what_was_supposed_is_told_with_its_place() -> None:
    plan = completed(
        table("id,command,cpus\na,make,1\n"), said(cpus=2, memory="4G"), cpu=said(disk="1G"), gpu=said(cpus=2)
    )

    assert plan.reading.defaults[-2:] == [
        "memory 4G: `plan.defaults` of tek.toml:3",
        "disk 1G in queue `cpu`: `plan.queues` of tek.toml:2",
    ]


def test_wrong_settings_are_faults_at_their_places() -> None:
    draft = table("id,command\na,make\n")

    apply_defaults(
        draft, said(cpus="two", tape=1, has=["x", 3], alternatives=[{"cpus": "x"}]), {"gpu": said(retries=1)}
    )

    assert sorted((fault.code, fault.places[0].line) for fault in draft.faults) == [
        ("settings.shape", 2),
        ("settings.shape", 4),
        ("settings.shape", 5),
        ("settings.unknown_field", 2),
        ("settings.unknown_field", 3),
    ]


def test_settings_of_a_file_reach_the_plan(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(
        '[plan.defaults]\ncpus = 2\n\n[plan.queues."Queue A — One"]\nhas = ["x"]\n\n[plan.queues.gpu]\ndisk = "1G"\n',
        encoding="utf-8",
    )
    (tmp_path / "p.csv").write_text("id,command,lane,gpus\na,make,Queue A — One,1\n", encoding="utf-8")

    settings = load_settings({"plan.defaults.memory": "5"}, cwd=tmp_path, environ={}).plan
    draft = read_plan(tmp_path / "p.csv", ReadOptions(defaults=settings.defaults, queues=settings.queues))

    assert build_plan(draft).tasks[0].needs == Needs(cpus=2.0, memory_mib=5, gpus=1.0, has=("x",), disk_mib=1_024)
    assert draft.tasks[0].cpus is not None
    assert draft.tasks[0].cpus.place == Place(FILE, 2)
    assert settings.queues["Queue A — One"]["has"].place == Place(FILE, 5)
