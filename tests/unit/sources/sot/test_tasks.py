"""Bullets `Task` under a queue: every field of a task, in words that people read and as JSON."""

from __future__ import annotations

import json

import pytest

from taskexec.errors import Place
from taskexec.plan import build_plan
from taskexec.plan.draft import DraftTask, PlanDraft
from taskexec.sources.sot.reader import read_sot

HEAD = "### Execution Queue & Task Hooks\n1. **Queue A — One**\n"


def read(body: str) -> PlanDraft:
    return read_sot(HEAD + body, "s.md")


def only(*fields: str) -> DraftTask:
    draft = read("- Task `a` — Title\n" + "".join(f"  - {field}\n" for field in fields))
    assert (len(draft.tasks), draft.faults, draft.warnings) == (1, [], [])
    return draft.tasks[0]


def edges(draft: PlanDraft) -> set[tuple[str, str]]:
    return {(name.value, task.id.value) for task in draft.tasks for name in task.depends_on}


def test_all_fields_in_words():
    task = only(
        "Command: `make -j2 all`",
        "Resources: cpus=2, memory=4G, gpus=1, gpu_memory=8G",
        "Agent: shell",
        "Duration: 90s",
        "Timeout: 10m",
        "Retries: 2",
        "Priority: P0",
        "Status: done",
        "Labels: x, y",
        "Owner: Ann",
    )

    assert (task.id.value, task.title.value, task.lane.value) == ("a", "Title", "Queue A — One")
    assert task.payload == {"commands": [{"argv": ["make", "-j2", "all"]}]}
    assert (task.cpus.value, task.memory_mib.value, task.gpus.value, task.gpu_memory_mib.value) == (2, 4096, 1, 8192)
    assert (task.duration_s.value, task.timeout_s.value, task.retries.value, task.priority.value) == (90, 600, 2, 9)
    assert (task.agent.value, task.satisfied.value, task.labels) == ("shell", True, ("x", "y"))
    assert task.metadata == {"owner": "Ann"}


def test_places_point_into_the_file():
    task = read("   - Task `a`: Title\n     - Retries: 2\n").tasks[0]

    assert (task.id.place, task.title.place) == (Place("s.md", 3, 12), Place("s.md", 3, 16))
    assert task.retries.place == Place("s.md", 4, 17)


@pytest.mark.parametrize(
    "line", ["- Task `a`", "* **Task** `a` – Title", "- Task: `a` - Title", "- task `` a `` -- Title"]
)
def test_task_may_be_written_in_many_ways(line):
    assert [task.id.value for task in read(line + "\n").tasks] == ["a"]


def test_bullet_is_the_detail_of_a_listed_task():
    draft = read("- Tasks: `b`, `a`\n- Task `a` — Title\n  - Retries: 2\n- Task `c`\n- Agent: noop\n")

    assert [(task.id.value, task.agent.value) for task in draft.tasks] == [("b", "noop"), ("a", "noop"), ("c", "noop")]
    assert draft.tasks[1].retries.value == 2


def test_own_words_win_over_those_of_the_queue():
    draft = read(
        "- Task `a`\n  - Agent: python\n  - Command: `m:f`\n  - Resources: cpus=2\n"
        "- Agent: noop\n- Resources: cpus=1, gpus=1\n"
    )

    task = draft.tasks[0]
    assert (task.agent.value, task.cpus.value, task.gpus.value) == ("python", 2, 1)
    assert task.payload == {"call": "m:f", "args": [], "kwargs": {}}


def test_dependencies_of_one_task_are_ids_titles_and_queues():
    body = "- Task `a` — First one\n- Task `b`\n  - Depends on: first one, `q`\n2. **Queue Q**\n- Tasks: `q`\n"
    draft = read(body + "3. **Queue R**\n- Task `r`\n  - Depends on: `Queue A`\n")

    assert edges(draft) == {("a", "b"), ("q", "b"), ("a", "r"), ("b", "r")}


def test_sequential_queue_counts_its_bullets():
    assert edges(read("- Task `a`\n- Task `b`\n- Order: sequential\n- Depends on: `x`\n")) == {("x", "a"), ("a", "b")}


@pytest.mark.parametrize(
    ("written", "argv"),
    [
        ("`sort < in > out`", ["/bin/sh", "-c", "sort < in > out"]),
        ("``echo `date` ``", ["/bin/sh", "-c", "echo `date`"]),
        ("make all", ["make", "all"]),
        ("run `make all` first", ["make", "all"]),
    ],
)
def test_command_is_what_stands_in_backticks(written, argv):
    assert only(f"Command: {written}").payload == {"commands": [{"argv": argv}]}


def test_several_commands_run_in_order():
    task = only("Commands:\n    - `a`\n    - `b c`", "Command: `d`")

    assert [command["argv"] for command in task.payload["commands"]] == [["a"], ["b", "c"], ["d"]]


def test_own_agent_gets_the_command_as_it_is():
    assert only("Agent: http", "Command: `GET x`").payload == {"command": "GET x"}


def test_placeholders_say_nothing():
    draft = read(
        "- Task `<id>` — <Title>\n  - Command: `<command>`\n"
        "- Task `a` — <Title>\n  - Command: `<command>`\n  - Agent: <a>\n"
    )

    assert [(task.id.value, task.title, task.payload, task.agent) for task in draft.tasks] == [("a", None, {}, None)]
    assert draft.reading.left_out == ["1 placeholder"]


def test_details_win_over_words_and_null_takes_back():
    details = {
        "id": "new `id` <x>",
        "title": "Other",
        "lane": None,
        "cpus": None,
        "retries": 5,
        "metadata": {"a b": "c\nd"},
        "labels": ["l"],
        "layer": "L",
    }
    text = json.dumps(details).replace("`", "\\u0060").replace("<", "\\u003c")
    task = only("Retries: 2", "Resources: cpus=2, memory=1G", "Owner: Ann", f"Details: `{text}`")

    assert (task.id.value, task.title.value, task.lane, task.cpus) == ("new `id` <x>", "Other", None, None)
    assert (task.retries.value, task.memory_mib.value) == (5, 1024)
    assert (task.metadata, task.labels, task.layer.value) == ({"a b": "c\nd"}, ("l",), "L")


def test_renamed_task_is_found_by_both_names():
    body = '- Task `a`\n  - Details: `{"id": "new name"}`\n- Task `b`\n  - Depends on: `a`\n'
    draft = read(body + "- Task `c`\n  - Depends on: New Name\n")

    assert edges(draft) == {("new name", "b"), ("new name", "c")}


def test_dependencies_in_details_are_all_there_are():
    body = "- Tasks: `x`, `y`\n- Order: sequential\n- Task `a`\n  - Depends on: `x`\n"
    draft = read(body + '  - Details: `{"depends_on": ["y"]}`\n- Task `b`\n  - Details: `{"depends_on": []}`\n')

    assert edges(draft) == {("x", "y"), ("y", "a")}


def test_details_may_stand_in_more_backticks_and_wrap():
    assert only('Details: `` {"title": "a`b",\n    "retries": 3} ``').title.value == "a`b"


def test_agent_in_words_counts_for_a_command_in_details():
    assert only("Agent: python", 'Details: `{"command": "m:f [1]"}`').payload == {
        "call": "m:f",
        "args": [1],
        "kwargs": {},
    }


def test_queue_may_be_executed_in_the_ledger():
    text = "## Ledger\n- [x] 2025-01-01 — `a` — Notes: ok\n" + HEAD + "- Task `a` — Title\n  - Notes: mine\n"
    draft = read_sot(text, "s.md")

    assert len(build_plan(draft).tasks) == 1
    assert draft.tasks[0].satisfied.value
    assert draft.tasks[0].metadata == {"notes": "mine", "executed_at": "2025-01-01"}


def test_unknown_key_is_a_warning_with_the_nearest_one():
    warning = read("- Task `a`\n  - Comand: `x`\n  - text\n").warnings

    assert [(fault.code, fault.places[0].line, fault.hint) for fault in warning] == [
        ("sot.unknown_key", 4, "did you mean `command`?"),
        ("sot.unknown_key", 5, None),
    ]
