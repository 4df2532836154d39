"""What the State-of-Truth reader takes as queues, tasks and order, and what it leaves alone."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskexec.errors import Place
from taskexec.plan.draft import PlanDraft
from taskexec.sources import read_sot

HEADING = "### G. Execution Queue & Task Hooks\n"
QUEUE_A = "1. **Queue A — One**\n"
QUEUE_B = "2. **Queue B — Two**\n"


def read(body: str) -> PlanDraft:
    return read_sot(HEADING + body, "sot.md")


def ids(draft: PlanDraft) -> list[str]:
    return [task.id.value for task in draft.tasks]


def codes(draft: PlanDraft) -> list[str]:
    return [fault.code for fault in draft.faults]


def edges(draft: PlanDraft) -> set[tuple[str, str]]:
    return {(name.value, task.id.value) for task in draft.tasks for name in task.depends_on}


def test_tasks_of_a_queue_have_its_name_as_lane_and_no_order():
    draft = read(QUEUE_A + "   - Tasks: `T-1`, `T-2`\n\n" + QUEUE_B + "   - Tasks: `T-3`\n")

    assert [(task.id.value, task.lane.value) for task in draft.tasks] == [
        ("T-1", "Queue A — One"),
        ("T-2", "Queue A — One"),
        ("T-3", "Queue B — Two"),
    ]
    assert (draft.faults, draft.warnings, edges(draft)) == ([], [], set())
    assert draft.tasks[1].id.place == Place("sot.md", 3, 21)


@pytest.mark.parametrize(
    "heading",
    [
        "# Execution Queue & Task Hooks",
        "## 7) execution queue and task hooks",
        "###### 1.4 Execution  Queue &amp; Task Hooks ##",
        "### **Execution Queue & Task Hooks**:",
    ],
)
def test_heading_may_have_any_level_prefix_and_case(heading):
    assert ids(read_sot(f"{heading}\n{QUEUE_A}- Tasks: `a`\n", "sot.md")) == ["a"]


@pytest.mark.parametrize("dash", ["—", "–", "-"])
@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
def test_dash_and_line_break_may_be_any(dash, line_break):
    text = f"{HEADING}1. **Queue A {dash} One**\n   - Tasks: `a`\n### H. Next\n- Tasks: `b`\n"
    draft = read_sot(text.replace("\n", line_break), "sot.md")

    assert (draft.faults, ids(draft)) == ([], ["a"])
    assert draft.tasks[0].lane.value == f"Queue A {dash} One"
    assert draft.tasks[0].id.place == Place("sot.md", 3, 14)


def test_section_ends_at_a_heading_of_its_level_but_not_at_a_lower_one():
    draft = read(QUEUE_A + "- Tasks: `a`\n#### Detail\n" + QUEUE_B + "- Tasks: `b`\n### H.\n- Tasks: `c`\n")

    assert ids(draft) == ["a", "b"]


def test_list_goes_on_over_indented_lines_and_deeper_bullets():
    draft = read(QUEUE_A + "   - Tasks: `a`,\n   `b`,\n     `c`\n     - `d`\n     - `e`\n   - Order: sequential\n")

    assert (draft.faults, ids(draft)) == ([], ["a", "b", "c", "d", "e"])


@pytest.mark.parametrize(
    "dead",
    [
        "<!-- `x` -->",
        "<!-- <!-- `x` --> `x` -->",
        "<!--\n   - Tasks: `x`\n-->",
        "<!--\n<!-- `x`\n-->",
        "\n```text\n   - Tasks: `x`\n```\n",
        "\n   ~~~\n   - Tasks: `x`\n   ~~~~\n",
        "\n   - Tasks: `<TASK-ID>`, `T-<N>`\n",
    ],
)
def test_comments_code_and_placeholders_are_no_tasks(dead):
    draft = read(QUEUE_A + "   - Tasks: `a`\n" + dead + "\n" + QUEUE_B + "   - Tasks: `b`\n")

    assert (draft.faults, ids(draft)) == ([], ["a", "b"])


def test_arrow_far_below_does_not_close_a_comment():
    draft = read_sot("<!-- a <!-- b -->\n" + HEADING + QUEUE_A + "- Tasks: `a`\n\nA --> B\n", "sot.md")

    assert ids(draft) == ["a"]


def test_comment_mark_in_inline_code_opens_no_comment():
    assert ids(read_sot("Use `<!--` for notes.\n" + HEADING + QUEUE_A + "- Tasks: `a`\n", "sot.md")) == ["a"]


def test_tasks_before_any_queue_are_a_fault():
    assert codes(read("- Tasks: `a`\n")) == ["sot.no_queue"]


def test_tasks_under_another_numbered_line_do_not_join_the_queue_before():
    draft = read(QUEUE_A + "- Tasks: `a`\n2. Remarks\n- Tasks: `b`\n")

    assert (codes(draft), ids(draft)) == (["sot.no_queue"], ["a"])


def test_queue_without_bold_name_is_a_fault():
    assert "sot.queue" in codes(read("1. Queue A — One\n   - Tasks: `a`\n"))


def test_two_queues_of_one_name_are_a_fault_at_both_places():
    draft = read(QUEUE_A + "- Tasks: `a`\n" + QUEUE_A + "- Tasks: `b`\n")

    assert codes(draft) == ["sot.duplicate_queue"]
    assert [place.line for place in draft.faults[0].places] == [2, 4]


def test_task_in_two_queues_is_left_to_validation():
    draft = read(QUEUE_A + "- Tasks: `a`\n" + QUEUE_B + "- Tasks: `a`\n")

    assert (draft.faults, ids(draft)) == ([], ["a", "a"])


@pytest.mark.parametrize("text", ["", "# Notes\n", HEADING, HEADING + QUEUE_A + "- Tasks: `<ID>`\n"])
def test_text_without_tasks_is_a_fault(text):
    assert codes(read_sot(text, "sot.md")) == ["sot.no_tasks"]


@pytest.mark.parametrize("sign", ["–", "—", "-", " – "])
def test_range_is_spelled_out(sign):
    assert ids(read(QUEUE_A + f"- Tasks: `T-008`{sign}`T-011`, `x`\n")) == [
        "T-008",
        "T-009",
        "T-010",
        "T-011",
        "x",
    ]


@pytest.mark.parametrize(
    ("first", "last"), [("T-1", "S-3"), ("T-1", "T-10"), ("T-3", "T-1"), ("a", "b"), ("T-000000", "T-999999")]
)
def test_range_of_unlike_ids_is_a_fault(first, last):
    draft = read(QUEUE_A + f"- Tasks: `{first}`–`{last}`\n")

    assert codes(draft) == ["sot.range"]
    assert draft.faults[0].places[0] == Place("sot.md", 3, 11)


def test_queue_that_depends_on_a_queue_waits_for_all_its_tasks():
    tail = "- Tasks: `c`, `d`\n- Depends on: `Queue A`, `x`\n"
    draft = read(QUEUE_B + tail + QUEUE_A + "- Tasks: `a`, `b`\n")

    assert edges(draft) == {(before, after) for before in "abx" for after in "cd"}


def test_full_name_of_a_queue_is_resolved():
    draft = read(QUEUE_A + "- Tasks: `a`\n" + QUEUE_B + "- Tasks: `b`\n- Depends on: `Queue A — One`\n")

    assert edges(draft) == {("a", "b")}


def test_short_name_of_two_queues_is_a_fault():
    other = "2. **Queue A — Other**\n- Tasks: `b`\n3. **Queue C**\n- Tasks: `c`\n- Depends on: `Queue A`\n"
    assert codes(read(QUEUE_A + "- Tasks: `a`\n" + other)) == ["sot.ambiguous_queue"]


def test_sequential_queue_is_a_chain():
    draft = read(QUEUE_A + "- Tasks: `a`, `b`, `c`\n- Order: sequential\n- Depends on: `x`\n")

    assert edges(draft) == {("x", "a"), ("a", "b"), ("b", "c")}


def test_unknown_order_is_a_fault():
    assert codes(read(QUEUE_A + "- Tasks: `a`\n- Order: random\n")) == ["sot.order"]


def test_agent_and_resources_hold_for_every_task_of_the_queue():
    bullets = "- Tasks: `a`, `b`\n- **Agent:** `noop`\n- Resources: cpus=2, memory=4G, gpus=0.5\n"
    draft = read(QUEUE_A + bullets)

    assert draft.faults == []
    for task in draft.tasks:
        assert (task.agent.value, task.cpus.value) == ("noop", 2.0)
        assert (task.memory_mib.value, task.gpus.value) == (4096, 0.5)


@pytest.mark.parametrize(("words", "code"), [("cpus=many", "sot.number"), ("tape=1", "sot.resource")])
def test_wrong_resource_is_a_fault_at_its_place(words, code):
    draft = read(QUEUE_A + f"- Tasks: `a`\n- Resources: cpus=1, {words}\n")

    assert codes(draft) == [code]
    assert draft.faults[0].places == (Place("sot.md", 4, 22),)


def test_unknown_bullet_under_a_queue_is_a_warning():
    draft = read(QUEUE_A + "- Tasks: `a`\n- Owner: Ann\n")

    assert [(warning.code, warning.places[0].line) for warning in draft.warnings] == [("sot.unknown_key", 4)]


def test_id_without_backticks_is_a_warning():
    draft = read(QUEUE_A + "- Tasks: `a`, b, `c`\n")

    assert [(warning.code, warning.places[0].column) for warning in draft.warnings] == [("sot.unquoted", 15)]


MARKS = (
    "<!--",
    "-->",
    "```",
    "~~~",
    "`",
    "`a`",
    "`a1`",
    "–",
    "-",
    "**",
    "\n",
    "\r\n",
    " ",
    "   ",
    "# ",
    "\0",
)
WORDS = ("Queue A", "- Tasks:", "1.", HEADING, QUEUE_A, "- Depends on:", "- Resources:", "cpus=", "<x>", "é")
PIECES = st.sampled_from([*MARKS, *WORDS])


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES | st.text(max_size=3), max_size=30).map("".join))
def test_any_text_gives_tasks_or_faults(text):
    draft = read_sot(HEADING + text, "sot.md")

    assert draft.tasks or draft.faults


@pytest.mark.parametrize("piece", ["<!-- ", "```\n", "`", "- Tasks: `a\n", "<!-- <!-- -->\n", "1. **Queue A**\n"])
def test_hostile_text_is_read_in_time_that_grows_with_its_length(piece):
    begun_at = time.process_time()

    read(piece * 10_000)

    assert time.process_time() - begun_at < 5


@pytest.mark.parametrize(("said", "lane"), [("Build", "Build"), ("`Build`", "Build"), ("none", None), ("None", None)])
def test_lane_of_a_queue_may_be_another_than_its_name_or_none(said, lane):
    draft = read(QUEUE_A + f"   - Lane: {said}\n   - Tasks: `a`\n   - Task `b`\n" + QUEUE_B + "   - Tasks: `c`\n")

    lanes = [None if task.lane is None else task.lane.value for task in draft.tasks]
    assert lanes == [lane, lane, "Queue B — Two"]
    assert (draft.faults, draft.warnings) == ([], [])


@pytest.mark.parametrize("sign", ["–", " — ", "-", " to ", " through ", " bis ", " To\n     "])
def test_range_may_be_written_with_a_dash_or_a_word(sign):
    draft = read(
        QUEUE_A + f"   - Tasks: `T-1`{sign}`T-3`\n" + QUEUE_B + f"   - Tasks: `x`\n   - Depends on: `T-2`{sign}`T-3`\n"
    )

    assert ids(draft) == ["T-1", "T-2", "T-3", "x"]
    assert edges(draft) == {("T-2", "x"), ("T-3", "x")}
    assert (draft.faults, draft.warnings) == ([], [])


def test_range_in_words_needs_no_backticks_in_dependencies():
    draft = read(QUEUE_A + "   - Tasks: `T-1`–`T-3`\n" + QUEUE_B + "   - Tasks: `x`\n   - Depends on: T-1 to T-3\n")

    assert edges(draft) == {("T-1", "x"), ("T-2", "x"), ("T-3", "x")}
