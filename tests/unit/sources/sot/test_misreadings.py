"""What a hasty writer means is read, or said to be unclear: ticks, ledgers of queue tasks, lost fields and boxes."""

from __future__ import annotations

import time

import pytest

from taskexec.plan.draft import DraftTask, PlanDraft
from taskexec.sources.sot.reader import read_sot

H = "### Execution Queue & Task Hooks\n1. **Queue A — One**\n"
QUEUE = H + "- Tasks: `TASK-001`–`TASK-004`, `lint`, `compile`, `pack`, `a`\n## Done\n"


def read(text: str) -> PlanDraft:
    return read_sot(text, "s.md")


def by_id(draft: PlanDraft) -> dict[str, DraftTask]:
    return {task.id.value: task for task in draft.tasks}


def done(draft: PlanDraft) -> list[str]:
    return [task.id.value for task in draft.tasks if task.satisfied is not None and task.satisfied.value]


def codes(draft: PlanDraft) -> list[str]:
    return [fault.code for fault in draft.warnings]


def waits(draft: PlanDraft) -> dict[str, list[str]]:
    return {task.id.value: [name.value for name in task.depends_on] for task in draft.tasks}


@pytest.mark.parametrize(
    ("bullets", "ticked"),
    [
        ("- Tasks:\n  - [x] `c`\n  - [ ] `d`\n", ["c"]),
        ("- Tasks:\n  - [x] `c`, `d`\n", ["c", "d"]),
        ("- Tasks: `c` ✅, `d`\n", ["c"]),
        ("- Tasks: [x] `c`, [ ] `d`\n", ["c"]),
        ("- Tasks:\n  - [x] `c`, [ ] `d`\n", ["c"]),
        ("- Tasks: [x] `c`, `d`\n", ["c"]),
        ("- Tasks: [ ] `c`, [x] `d`\n", ["d"]),
        ("- Tasks: `c`, `d` [x]\n", ["d"]),
        ("- Tasks: `c1`–`c3` ✔\ufe0f, `d`\n", ["c1", "c2", "c3"]),
        ("- Task `c` [x]\n- Task `d` [ ]\n", ["c"]),
        ("- Task `c` — ✅ done\n- Task `d`\n", ["c"]),
        ("- Task `c` — Title ✔\n- Task `d` — Title\n", ["c"]),
        ("- [x] Task `c` — Title\n- [ ] Task `d` — Title\n", ["c"]),
        ("- [x] `c` — Title\n- [ ] `d` — Title\n", ["c"]),
    ],
)
def test_ticked_task_of_a_queue_is_satisfied(bullets, ticked):
    draft = read(H + bullets)

    assert (done(draft), draft.faults, draft.warnings) == (ticked, [], [])


def test_tick_is_no_part_of_the_title():
    draft = read(H + "- Task `a` — Title ✅\n- Task `b` — ✅ done\n- Task `c` [ ] — Other\n")

    assert [task.title and task.title.value for task in draft.tasks] == ["Title", None, "Other"]


def test_tick_between_two_ids_is_a_warning():
    draft = read(H + "- Tasks: `a` ✅ `b`\n")

    assert (done(draft), codes(draft)) == ([], ["sot.tick"])


def test_box_below_a_queue_has_fields_as_a_task_has():
    draft = read(H + "- [ ] `a` — Title\n  - Command: `make`\n  - Depends on: `b`\n- [x] `b`\n")

    assert by_id(draft)["a"].payload == {"commands": [{"argv": ["make"]}]}
    assert (waits(draft)["a"], done(draft)) == (["b"], ["b"])


def test_box_without_an_id_below_a_queue_says_what_to_write():
    warning = read(H + "- Tasks: `a`\n- [ ] Compile it\n").warnings[0]

    assert (warning.code, warning.places[0].line) == ("sot.unknown_key", 4)
    assert "- [ ] `id` — Title" in (warning.hint or "")


def test_box_in_the_queue_section_under_no_queue_is_a_warning():
    draft = read(H + "- Tasks: `a`\n2. Remarks\n- [ ] Review\n- [ ]\n- [ ] <name>\n")

    assert [(fault.code, fault.places[0].line) for fault in draft.warnings] == [("sot.box", 5)]


@pytest.mark.parametrize(
    ("line", "ticked"),
    [
        ("TASK-001, TASK-002 — both", ["TASK-001", "TASK-002"]),
        ("`TASK-003`/`TASK-004` — both", ["TASK-003", "TASK-004"]),
        ("TASK-001/TASK-002: both", ["TASK-001", "TASK-002"]),
        ("TASK-001 and TASK-002", ["TASK-001", "TASK-002"]),
        ("**TASK-001**, **lint** — x", ["TASK-001", "lint"]),
        ("lint: ok", ["lint"]),
        ("lint.", ["lint"]),
        ("2026-01-01 compile", ["compile"]),
        ("2026-01-01 TASK-001: x", ["TASK-001"]),
        ("Pack (`pack`)", ["pack"]),
        ("Pack (TASK-001, pack)", ["TASK-001", "pack"]),
        ("`TASK-001`–`TASK-003`", ["TASK-001", "TASK-002", "TASK-003"]),
        ("TASK-001 – TASK-003 — x", ["TASK-001", "TASK-002", "TASK-003"]),
        ("TASK-001 to TASK-003", ["TASK-001", "TASK-002", "TASK-003"]),
    ],
)
def test_ledger_line_satisfies_the_queue_tasks_at_its_beginning(line, ticked):
    draft = read(f"{QUEUE}- [x] {line}\n")

    assert (sorted(done(draft)), draft.faults, draft.warnings) == (sorted(ticked), [], [])
    assert len(draft.tasks) == 8


def test_range_in_the_ledger_invents_no_tasks():
    draft = read(H + "- Tasks: `T-1`, `T-3`, `T-4`\n## Done\n- [x] `T-1`–`T-3` — x\n")

    assert ([task.id.value for task in draft.tasks], done(draft)) == (["T-1", "T-3", "T-4"], ["T-1", "T-3"])


def test_date_before_an_id_is_kept():
    assert by_id(read(QUEUE + "- [x] 2026-01-01 compile\n"))["compile"].metadata == {"executed_at": "2026-01-01"}


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("Finished `a` today", "`a`"),
        ("All of TASK-001 at last", "`TASK-001`"),
        ("Other — Notes: TASK-002 as well", "`TASK-002`"),
        ("lint, docs — done", "`lint`"),
    ],
)
def test_ledger_line_that_only_names_a_queue_task_is_a_warning(line, name):
    draft = read(f"{QUEUE}- [x] {line}\n")

    assert codes(draft) == ["sot.named_in_ledger"]
    assert name in draft.warnings[0].message
    assert draft.warnings[0].places[0].line == 5


def test_no_warning_of_a_task_that_another_line_says_is_done():
    assert (
        read(QUEUE + "- [x] TASK-001: Title\n- [x] More of TASK-001 at last\n- [x] Fix compile times\n").warnings == []
    )


@pytest.mark.parametrize(
    "key",
    ["Blocked by", "Requires", "After", "Blockers", "Prerequisites", "Needs", "Waits for", "Depends-on", "blocked-by"],
)
def test_key_that_means_a_dependency_is_one(key):
    draft = read(f"{H}- Tasks: `q`\n- {key}: `B`\n## Plans\n- [ ] B\n- [ ] C — {key}: B\n- [ ] D\n  - {key}: B, C\n")

    assert waits(draft) == {"q": ["B"], "B": [], "C": ["B"], "D": ["B", "C"]}
    assert (draft.faults, draft.warnings) == ([], [])


@pytest.mark.parametrize(
    "line",
    [
        "J: Dependencies: A",
        "M —Dependencies: A",
        "P — Depends on A",
        "F (depends on A)",
        "G\n  - it needs `A`",
        "after the A",
    ],
)
def test_dependency_within_a_text_is_a_warning(line):
    draft = read(f"- [ ] A\n- [ ] {line}\n")

    assert codes(draft) == ["sot.lost_dependency"]
    assert draft.warnings[0].places[0].line == 2


@pytest.mark.parametrize("line", ["Tidy up after the party", "What it needs"])
def test_words_that_name_no_task_are_no_lost_dependency(line):
    assert "sot.lost_dependency" not in codes(read(f"- [ ] A\n- [ ] {line}\n"))


def test_field_with_one_blank_belongs_to_the_item_above():
    draft = read("- [ ] A\n- [ ] B\n - Depends on: A\n - [ ] C\n")

    assert waits(draft) == {"A": [], "B": ["A"], "C": []}


def test_fields_need_no_bullet_on_lines_of_their_own():
    draft = read(
        H + "- Task `q`\n  Command: `make q`\n- Tasks: `r`\n  Depends on: `S`\n## Plans\n"
        "- [ ] S\n  Command: `make x`\n- [ ] T — Notes: a\n  b\nDepends on: S\n"
    )

    commands = {name: task.payload["commands"][0]["argv"] for name, task in by_id(draft).items() if task.payload}
    assert commands == {"q": ["make", "q"], "S": ["make", "x"]}
    assert waits(draft) == {"q": ["S"], "r": ["S"], "S": [], "T": ["S"]}
    assert by_id(draft)["T"].metadata == {"notes": "a b"}
    assert (draft.faults, draft.warnings) == ([], [])


def test_code_block_that_is_never_closed_is_told():
    draft = read("- [ ] a\n```\n- [ ] b\n")

    assert [(fault.code, fault.places[0].line) for fault in draft.warnings] == [("sot.open_code", 2)]
    assert read("- [ ] a\n```\n- [ ] b\n```").warnings == []
    assert [fault.code for fault in read("```\n- [ ] b\n").faults] == ["sot.open_code"]


@pytest.mark.parametrize(
    "line", ["- [ ]no blank", "- [x]done", "-[ ] x", "*[x] x", "> - [ ] x", "- ☐ x", "- ☑ x", "- ☑x", "1.[ ] x"]
)
def test_line_that_is_almost_a_box_is_a_warning_at_its_line(line):
    draft = read(f"- [ ] a\n{line}\n- [ ] b\n")

    assert sorted(by_id(draft)) == ["a", "b"]
    assert [(fault.code, fault.places[0].line) for fault in draft.warnings] == [("sot.box", 2)]


@pytest.mark.parametrize("line", ["- [x](http://x)", "- [x]: http://x", "- [x][y]", "-- x", "> text", "- text"])
def test_line_that_only_resembles_a_box_is_left_alone(line):
    assert read(f"- [ ] a\n\n{line}\n").warnings == []


@pytest.mark.parametrize("field", ["Timeout: 5x", "Duration: soon", "Retries: many"])
def test_amount_of_a_backlog_that_cannot_be_read_is_a_warning(field):
    draft = read(f"- [ ] a — {field}\n")

    assert (codes(draft), draft.faults) == (["sot.number"], [])
    assert list(draft.tasks[0].metadata.values()) == [field.split(": ")[1]]


def test_command_in_a_list_of_tasks_is_a_warning():
    draft = read(H + "- Tasks: `e`, run `make all` first\n")

    assert codes(draft) == ["sot.blank_in_id"]


@pytest.mark.parametrize(
    "piece",
    [
        "TASK-001, ",
        "`a`/",
        "(`a` ",
        "needs A ",
        "depends on: ",
        "after `",
        "TASK-001–",
        "- [x] ",
        "✅ ",
        "**a",
        "[x] `a` ",
    ],
)
@pytest.mark.parametrize("head", ["- [x] ", "- [ ] ", "- Task `x` "])
def test_hostile_lines_are_read_in_time_that_grows_with_their_length(head, piece):
    begun_at = time.process_time()

    read(H + "- Tasks: `TASK-001`, `a`\n" + head + piece * 5000 + "\n## Plans\n" + head + piece * 5000)

    assert time.process_time() - begun_at < 5
