"""Plans as States of Truth: bullets that people read, and JSON for what Markdown would take for something else."""

from __future__ import annotations

from typing import Any

import pytest

from taskexec.errors import Place
from taskexec.plan import DraftTask, Located, Plan, PlanDraft, build_plan
from taskexec.sources.sot.reader import read_sot
from taskexec.sources.sot.writer import write_sot
from taskexec.sources.values.lists import NONE_WORDS

PLACE = Place("made.json", 1, 1)
PLAIN = ("payload", "metadata", "labels", "acceptance_criteria", "requirements")


def task(task_id: str, *depends_on: str, **fields: Any) -> DraftTask:
    said = {name: value if name in PLAIN else Located(value, PLACE) for name, value in fields.items()}
    return DraftTask(id=Located(task_id, PLACE), depends_on=[Located(name, PLACE) for name in depends_on], **said)


def plan_of(*tasks: DraftTask) -> Plan:
    return build_plan(PlanDraft(source="made.json", kind="plan", tasks=list(tasks)))


def lines(*tasks: DraftTask) -> list[str]:
    """Return the lines below the heading of the queues, without blanks around them and blank ones."""
    written = write_sot(plan_of(*tasks)).partition("Task Hooks\n")[2]
    return [line.strip() for line in written.splitlines() if line.strip()]


def test_plain_task_is_written_in_words() -> None:
    plain = task(
        "b",
        "a",
        title="Build it",
        payload={"commands": [{"argv": ["make", "-j2"]}]},
        lane="Queue A — Work",
        cpus=2.0,
        memory_mib=512,
        duration_s=90.0,
        timeout_s=600.0,
        retries=2,
        priority=6,
        satisfied=True,
    )

    assert lines(task("a", lane="Queue A — Work"), plain) == [
        "1. **Queue A — Work**",
        "- Task `a`",
        "- Task `b` — Build it",
        "- Command: `make -j2`",
        "- Depends on: `a`",
        "- Resources: cpus=2, memory=512M",
        "- Duration: 90s",
        "- Timeout: 600s",
        "- Retries: 2",
        "- Priority: 6",
        "- Status: done",
    ]


def test_tasks_are_grouped_by_lane_in_the_order_of_their_first_tasks() -> None:
    tasks = [task("a", lane="Queue B"), task("b", lane="Queue A"), task("c", lane="Queue B")]

    assert lines(*tasks) == [
        *("1. **Queue B**", "- Task `a`", "- Task `c`"),
        *("2. **Queue A**", "- Task `b`"),
    ]


def test_tasks_without_a_lane_stand_under_a_queue_that_gives_none() -> None:
    assert lines(task("a")) == ["1. **Queue 1 — tasks**", "- Lane: none", "- Task `a`"]


def test_lane_that_is_no_name_of_a_queue_is_said_below_it() -> None:
    assert lines(task("a", lane="prepare")) == ["1. **Queue 1 — prepare**", "- Lane: prepare", "- Task `a`"]


def test_queues_of_made_names_never_take_the_name_of_a_lane() -> None:
    written = lines(task("a", lane="Queue 1 — tasks"), task("b"))

    assert [line for line in written if "**" in line] == ["1. **Queue 1 — tasks**", "2. **Queue 1 — tasks again**"]


@pytest.mark.parametrize(
    "text", ["a `b` c", "<a>", "<!-- a", "a — Notes: b", "a\nb", "# a", "[a](b)", "*a*", "a\x85b", "a\u2028b", "~~~"]
)
def test_title_that_means_something_in_markdown_stands_in_json(text: str) -> None:
    plan = plan_of(task("a", title=text))

    written = write_sot(plan)

    details = written.splitlines()[-1]
    assert details.startswith("     - Details: `")
    assert details.count("`") == 2
    assert not set("<>") & set(details)
    assert build_plan(read_sot(written, "back")).digest == plan.digest


def test_id_that_means_something_in_markdown_stands_in_json() -> None:
    assert lines(task("a `b`"))[-1] == r'- Details: `{"id":"a \u0060b\u0060"}`'


def test_ids_in_json_get_names_that_differ() -> None:
    written = lines(task("a `b`"), task("a `c`"))

    names = [line for line in written if line.startswith("- Task")]
    assert len(names) == len(set(names)) == 2


def test_dependency_that_would_name_a_queue_stands_in_json() -> None:
    assert lines(task("Queue-1"), task("b", "Queue-1"))[-1] == '- Details: `{"depends_on":["Queue-1"]}`'


@pytest.mark.parametrize("lane", [*sorted(NONE_WORDS - {"[]", "n/a"}), "Null", "KEINE", "none yet"])
def test_lane_with_the_name_of_nothing_is_read_back(lane: str) -> None:
    plan = plan_of(task("a", lane=lane), task("b", lane="Build"), task("c"))

    again = build_plan(read_sot(write_sot(plan), "sot.md"))

    assert [task.lane for task in again.tasks] == [lane, "Build", None]
