"""What `Resources` of a State of Truth ask for beside cores, memory and GPUs."""

from __future__ import annotations

from taskexec.domain.resources import Alternative, Needs
from taskexec.errors import Place
from taskexec.plan import build_plan
from taskexec.sources import read_sot

QUEUE = "## Execution Queue & Task Hooks\n\n1. **Queue A — One**\n"


def needs(*lines: str) -> list[Needs]:
    """Return what the tasks of a queue with these bullets ask for."""
    text = QUEUE + "".join(f"   {line}\n" for line in lines)
    return [task.needs for task in build_plan(read_sot(text, "sot.md")).tasks]


def test_all_words_are_read() -> None:
    said = "- Resources: disk=1G, has=ssd, has=zone=a, not=slow, exclusive, nodes=2, packed: yes"

    assert needs("- Tasks: `a`", said) == [
        Needs(disk_mib=1_024, has=("ssd", "zone=a"), has_not=("slow",), exclusive=True, nodes=2, packed=True)
    ]


def test_alternatives_stand_behind_bars() -> None:
    assert needs("- Tasks: `a`", "- Resources: gpus=1 | cpus=16, weight=0.5, has=x | gpu_memory=1G") == [
        Needs(
            gpus=1.0,
            alternatives=(
                Alternative(0.5, Needs(cpus=16.0, has=("x",))),
                Alternative(1.0, Needs(gpus=1.0, gpu_memory_mib=1_024)),
            ),
        )
    ]


def test_alternative_may_be_all_that_is_said() -> None:
    assert needs("- Tasks: `a`", "- Resources: | cpus=4") == [Needs(alternatives=(Alternative(1.0, Needs(cpus=4.0)),))]


def test_own_words_of_a_task_replace_those_of_its_queue() -> None:
    lines = ("- Resources: has=x, exclusive | cpus=4", "- Task `a`", "  - Resources: has=y", "- Task `b`")

    assert needs(*lines) == [
        Needs(has=("y",), exclusive=True, alternatives=(Alternative(1.0, Needs(cpus=4.0)),)),
        Needs(has=("x",), exclusive=True, alternatives=(Alternative(1.0, Needs(cpus=4.0)),)),
    ]


def test_details_take_back_what_a_queue_says() -> None:
    details = '  - Details: `{"has": null, "not": ["z"], "alternatives": null, "disk": "2M"}`'

    assert needs("- Resources: has=x, not=y | cpus=4", "- Task `a`", details) == [Needs(has_not=("z",), disk_mib=2)]


def test_wrong_word_of_an_alternative_is_a_fault_at_its_place() -> None:
    draft = read_sot(QUEUE + "   - Tasks: `a`\n   - Resources: cpus=1 | nodes=2, cpus=x\n", "sot.md")

    assert [(fault.code, fault.places) for fault in draft.faults] == [
        ("sot.number", (Place("sot.md", 5, 26),)),
        ("sot.number", (Place("sot.md", 5, 35),)),
    ]
