"""Ledger and backlog of a State of Truth: which items are tasks, what they are called, what their fields mean."""

from __future__ import annotations

import json

import pytest
from unit.plan.drafting import WORKLOADS

from taskexec.errors import Place
from taskexec.plan import build_plan
from taskexec.plan.draft import DraftTask, PlanDraft
from taskexec.sources.sot.reader import read_sot

REAL = WORKLOADS / "real_sot"
HEADING = "### G. Execution Queue & Task Hooks\n"
QUEUE = HEADING + "1. **Queue A — One**\n- Tasks: `TASK-001`, `TASK-002`, `fetch`\n"


def read(body: str) -> PlanDraft:
    return read_sot("## Backlog\n" + body, "sot.md")


def only(body: str) -> DraftTask:
    draft = read(body)
    assert (len(draft.tasks), draft.faults) == (1, [])
    return draft.tasks[0]


def ids(draft: PlanDraft) -> list[str]:
    return [task.id.value for task in draft.tasks]


def codes(draft: PlanDraft) -> list[str]:
    return [fault.code for fault in draft.faults]


def edges(draft: PlanDraft) -> set[tuple[str, str]]:
    return {(name.value, task.id.value) for task in draft.tasks for name in task.depends_on}


def done(draft: PlanDraft) -> list[str]:
    return [task.id.value for task in draft.tasks if task.satisfied is not None and task.satisfied.value]


def test_ledger_line_is_a_satisfied_task_with_its_record():
    task = only(
        "- [x] 2025-10-05 12:04 UTC — Scan — Artifacts: `a.md`, `t/{x,y}.py` — Notes: first — then\n  the rest — end.\n"
    )

    assert (task.id.value, task.title.value, task.satisfied.value) == ("Scan", "Scan", True)
    assert task.id.place == Place("sot.md", 2, 30)
    assert task.metadata == {
        "executed_at": "2025-10-05 12:04 UTC",
        "artifacts": "a.md;t/x.py;t/y.py",
        "notes": "first — then the rest — end.",
    }


def test_ledger_in_nested_form_has_the_same_record():
    task = only(
        "- [x] 2025-10-05 12:04 UTC — Scan\n  - Artifacts (final):\n    - `a.md`\n    - t/{x,y}.py\n"
        "  - Notes: first — then\n    the rest\n  - Repro:\n    - Cmd: make\n    - Output: log\n"
    )

    assert task.metadata == {
        "executed_at": "2025-10-05 12:04 UTC",
        "artifacts": "a.md;t/x.py;t/y.py",
        "notes": "first — then the rest",
        "repro": "Cmd: make; Output: log",
    }


def test_backlog_line_is_a_task_to_do():
    draft = read(
        "- [ ] Scan\n- [ ] Smoke — Rationale: boots break — Target: 2026-01-15 — Owner: Ann — Dependencies: Scan\n"
    )

    assert draft.tasks[1].satisfied is None
    assert draft.tasks[1].metadata == {"rationale": "boots break", "target": "2026-01-15", "owner": "Ann"}
    assert edges(draft) == {("Scan", "Smoke")}


def test_name_in_bold_has_a_description_behind_it():
    task = only("- [ ] **Roll out** — to all — slowly — Owner: Ann\n  - be careful\n")

    assert (task.id.value, task.title.value) == ("Roll out", "Roll out")
    assert task.metadata == {"description": "to all — slowly; be careful", "owner": "Ann"}


@pytest.mark.parametrize("mark", ["- [ ]", "* [ ]", "+ [ ]", "1. [ ]", "2) [ ]", "  - [ ]", "- [x]", "- [X]", "-  [x]"])
def test_any_list_mark_and_box_makes_a_task(mark):
    assert ids(read(f"{mark} Name\n")) == ["Name"]


@pytest.mark.parametrize(
    "body",
    [
        "[ ] Name\n",
        "text - [ ] Name\n",
        "    - [ ] code\n",
        "> - [ ] quoted\n",
        "```\n- [x] code\n```\n",
        "~~~md\n- [ ] code\n~~~\n",
        "<!-- - [x] hidden -->\n",
        "<!--\n- [x] hidden\n<!-- - [ ] deeper -->\n-->\n",
        "- [link](x)\n",
        "- [ ]Name\n",
        "- [ ] <Task name> — Rationale: <why> — Dependencies: <a, b>\n",
        "- [x] <YYYY-MM-DD HH:MM UTC> — <Task title> — Artifacts: <path>\n",
        "- [ ] **<Name>** — text\n",
        "- [ ] `<ID>` — <Title>\n",
        "- [ ] \n",
        "# Head only\n",
    ],
)
def test_nothing_else_is_a_task(body):
    assert codes(read(body)) == ["sot.no_tasks"]


def test_boxes_below_an_item_are_part_of_it():
    draft = read(
        "- [ ] A\n  - Deliverables:\n    - [ ] a1\n    - [x] a2\n  - [ ] a3\n- [x] B — Deliverables:\n   - [x] b1\n"
    )

    assert ids(draft) == ["A", "B"]
    assert draft.tasks[0].metadata["deliverables"] == "[ ] a1; [x] a2"
    assert draft.tasks[0].metadata["description"] == "[ ] a3"
    assert draft.tasks[1].metadata["deliverables"] == "[x] b1"


def test_boxes_below_a_bullet_without_box_are_items():
    assert ids(read("- TODOs\n  - [ ] Rotate keys — Owner: <name>\n  - [ ] <item>\n")) == ["Rotate keys"]


def test_name_may_wrap_and_a_paragraph_below_is_description():
    task = only("- [ ] A long\nname\n  that wraps — Notes: x\n\n  A paragraph.\n")

    assert task.id.value == "A long name that wraps"
    assert task.metadata == {"notes": "x", "description": "A paragraph."}


def test_heading_rule_and_paragraph_end_an_item():
    draft = read("- [ ] A\n---\n- [ ] B\n## Next\ntext\n- [ ] C\n\ntext\n")

    assert [task.title.value for task in draft.tasks] == ["A", "B", "C"]


@pytest.mark.parametrize(
    "time",
    [
        "2025-10-05",
        "2025-10-05 12:04",
        "2025-10-05T12:04:05Z",
        "2025-10-05 12:04 UTC",
        "2025-10-05 12:04–13:10 UTC",
        "2025/10/05",
        "05.10.2025",
        "Oct 5, 2025",
        "5 October 2025",
        "12:04",
        "2025-10",
    ],
)
@pytest.mark.parametrize("form", ["{} — Name", "**{}** — Name", "[{}] – Name", "{}: Name", "Name — {}"])
def test_time_is_told_from_the_name(time, form):
    task = only(f"- [x] {form.format(time)}\n")

    assert (task.id.value, task.metadata) == ("Name", {"executed_at": time})


@pytest.mark.parametrize(
    ("written", "task_id", "title"),
    [
        ("`TASK-006` — Title", "TASK-006", "Title"),
        ("**OPS-12** Title", "OPS-12", "Title"),
        ("**OPS-12** — Title — more", "OPS-12", "Title — more"),
        ("**OPS-12: Title**", "OPS-12", "Title"),
        ("`WF_3`: Title", "WF_3", "Title"),
        ("TASK-006 — Title", "TASK-006", "Title"),
        ("task-006: Title", "task-006", "Title"),
        ("TASK-006", "TASK-006", None),
        ("`T1`", "T1", None),
        ("Title (WORKFLOW-006)", "WORKFLOW-006", "Title"),
        ("Title [WF-6]", "WF-6", "Title"),
        ("**Title** (WF-6) — text", "WF-6", "Title"),
        ("Titles (Tasks 010/011)", "Titles (Tasks 010/011)", "Titles (Tasks 010/011)"),
        ("Hashes (SHA-256)", "Hashes (SHA-256)", "Hashes (SHA-256)"),
        ("CAL-002 diff worker", "CAL-002 diff worker", "CAL-002 diff worker"),
        ("Audit: local — all", "Audit: local — all", "Audit: local — all"),
        ("Status: a page for it", "Status: a page for it", "Status: a page for it"),
        ("`make all` in CI", "`make all` in CI", "`make all` in CI"),
        ("Support List<int>", "Support List<int>", "Support List<int>"),
        ("See [docs](http://x/y-1)", "See [docs](http://x/y-1)", "See [docs](http://x/y-1)"),
    ],
)
def test_id_is_stated_or_the_title(written, task_id, title):
    task = only(f"- [ ] {written}\n")

    assert (task.id.value, None if task.title is None else task.title.value) == (task_id, title)


def test_long_title_has_a_short_id_and_may_be_named_whole():
    title = "word " * 60 + "end"
    draft = read(f"- [ ] {title}\n- [ ] B — Dependencies: {title}\n- [ ] {title}2\n")

    first, second, third = draft.tasks
    assert len(first.id.value) <= 200
    assert first.id.value != third.id.value
    assert first.title.value == title
    assert edges(draft) == {(first.id.value, second.id.value)}
    assert len(build_plan(draft).tasks) == 3


def test_repeated_work_gets_ids_of_its_own_without_a_word():
    draft = read("- [x] 2025-01-01 — Backup\n- [x] 2025-01-02 — Backup\n- [x] 2025-01-02 — Backup\n- [x] Backup\n")

    assert ids(draft) == ["Backup", "Backup (2025-01-02)", "Backup (2025-01-02) #2", "Backup #2"]
    assert (draft.warnings, len(build_plan(draft).tasks)) == ([], 4)


def test_dependency_on_repeated_work_takes_the_first_and_warns():
    draft = read("- [x] 2025-01-01 — Backup\n- [x] 2025-01-02 — Backup\n- [ ] B — Dependencies: backup\n")
    exact = read("- [x] 2025-01-01 — Backup\n- [x] 2025-01-02 — Backup\n- [ ] B — Dependencies: Backup\n")

    assert edges(draft) == edges(exact) == {("Backup", "B")}
    assert [warning.code for warning in exact.warnings] == ["sot.ambiguous_task"]
    assert [warning.code for warning in draft.warnings] == ["sot.ambiguous_task"]


def test_work_to_do_again_keeps_its_name():
    draft = read("- [x] 2025-01-01 — Backup\n- [ ] Backup\n- [ ] B — Dependencies: Backup\n")

    assert ids(draft) == ["Backup (2025-01-01)", "Backup", "B"]
    assert edges(draft) == {("Backup", "B")}
    assert [warning.code for warning in draft.warnings] == ["sot.ambiguous_task"]


@pytest.mark.parametrize(
    "line",
    [
        "- [x] `T-1`, `T-2` — done — Artifacts: `a`",
        "- [x] 2025-10-05 — `T-1` and `T-2` — Artifacts: `a`",
        "- [x] `T-1`; `T-2`: done — Artifacts: `a`",
        "- [x] `T-1`, `T-2`\n  - Artifacts: `a`",
    ],
)
def test_ledger_line_marks_each_of_the_tasks_that_it_names(line):
    draft = read(f"## Execution Queue & Task Hooks\n1. **Queue A**\n- Tasks: `T-1`–`T-3`\n\n# Ledger\n{line}\n")

    assert ids(draft) == ["T-1", "T-2", "T-3"]
    assert done(draft) == ["T-1", "T-2"]
    assert [task.metadata.get("artifacts") for task in draft.tasks] == ["a", "a", None]


def test_ledger_line_that_names_no_task_of_a_queue_is_one_task():
    draft = read("- [x] `a.md`, `b.md` — moved\n")

    assert ids(draft) == ["`a.md`, `b.md` — moved"]


def test_list_of_tasks_within_a_sentence_is_part_of_the_name():
    draft = read("## Execution Queue & Task Hooks\n1. **Queue A**\n- Tasks: `a`\n# L\n- [x] `a`, `b` updated\n")

    assert done(draft) == ["`a`, `b` updated"]


def test_executed_task_of_a_queue_is_one_satisfied_task():
    draft = read_sot(
        "## Ledger\n- [x] 2025-01-01 — `TASK-002` — Second — Notes: ok\n- [x] `fetch` — Artifacts: a\n" + QUEUE, "s.md"
    )

    assert sorted(ids(draft)) == ["TASK-001", "TASK-002", "fetch"]
    assert sorted(done(draft)) == ["TASK-002", "fetch"]
    second = next(task for task in draft.tasks if task.id.value == "TASK-002")
    assert (second.title.value, second.lane.value) == ("Second", "Queue A — One")
    assert second.metadata == {"notes": "ok", "executed_at": "2025-01-01"}


@pytest.mark.parametrize(
    "body",
    [
        "- [ ] **T-1** — a\n- [ ] **T-1** — b\n",
        "- [ ] Same\n- [ ] Same\n",
        "- [x] **T-1** — a\n- [ ] **T-1** — b\n",
        "- [ ] TASK-001 — a\n" + QUEUE,
    ],
)
def test_one_task_in_two_places_is_refused_by_validation(body):
    draft = read(body)

    assert draft.faults == []
    with pytest.raises(Exception, match="faults") as refused:
        build_plan(draft)
    assert [fault.code for fault in refused.value.faults()] == ["plan.duplicate_id"]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ("A, B", {"A", "B"}),
        ("`A`; **B**", {"A", "B"}),
        ("a and b", {"A", "B"}),
        ("A, and B.", {"A", "B"}),
        ("A (done), B", {"A", "B"}),
        ("x,   y  and Z", {"X, Y and z"}),
        ("A, X, Y and z; B", {"A", "X, Y and z", "B"}),
        ("Long", {"Long — name"}),
        ("OPS-1–OPS-3", {"OPS-1", "OPS-2", "OPS-3"}),
        ("`OPS-1` – `OPS-2`", {"OPS-1", "OPS-2"}),
        ("the third ops", {"OPS-3"}),
        ("none", set()),
        ("—", set()),
        ("-", set()),
        ("None (first)", set()),
        ("n/a", set()),
        ("<a, b>", set()),
        ("Unheard of, A", {"Unheard of", "A"}),
        ("`unheard`", {"unheard"}),
    ],
)
def test_dependencies_are_found_by_id_or_title(names, found):
    known = "- [ ] A\n- [ ] B\n- [ ] X, Y and z\n- [ ] Long — name\n- [ ] OPS-1 — a\n- [ ] OPS-2 — b\n"
    draft = read(known + f"- [ ] **OPS-3**: The third ops\n- [ ] last — Dependencies: {names}\n")

    assert {before for before, after in edges(draft) if after == "last"} == found


def test_dependencies_may_stand_below_and_wrap():
    body = "- [ ] A\n- [ ] B thing\n- [ ] last\n  - Depends on:\n    - A\n    - B\n      thing\n"

    assert edges(read(body)) == {("A", "last"), ("B thing", "last")}


def test_unknown_dependency_is_reported_with_the_nearest_name():
    with pytest.raises(Exception, match="faults") as refused:
        build_plan(read("- [ ] Smoke harness\n- [ ] B — Dependencies: Smoke harnes\n"))

    fault = refused.value.faults()[0]
    assert (fault.code, fault.hint) == ("plan.unknown_dependency", "did you mean `Smoke harness`?")
    assert fault.places == (Place("sot.md", 3, 25),)


def test_unknown_dependency_of_what_is_done_is_metadata():
    draft = read("- [x] B — Dependencies: Gone\n")

    assert (edges(draft), draft.tasks[0].metadata) == (set(), {"dependencies": "Gone"})
    assert [warning.code for warning in draft.warnings] == ["sot.unknown_dependency"]


def test_items_and_queues_depend_on_each_other():
    body = "- [ ] Later — Dependencies: Queue A, Queue B — Two\n- [ ] First\n"
    draft = read(body + QUEUE + "2. **Queue B — Two**\n- Tasks: `b`\n- Depends on: First\n")

    assert {before for before, after in edges(draft) if after == "Later"} == {"TASK-001", "TASK-002", "fetch", "b"}
    assert ("First", "b") in edges(draft)


def test_fields_of_a_task_to_do():
    task = only(
        "- [ ] A — Priority: P1 — Agent: shell — Labels: a, `b` — Queue: Queue Z\n"
        "  - Command: `make -j2`, `make test`\n"
        "  - Acceptance:\n    - [ ] it works, really\n    - [x] fast\n  - Resources: cpus=2, gpu_memory=8G\n"
        "  - Requirements: R1; R2\n  - Timeout: 10m\n  - Retries: 2\n  - Duration: two weeks\n  - Risk: high\n"
    )

    assert [command["argv"] for command in task.payload["commands"]] == [["make", "-j2"], ["make", "test"]]
    assert (task.priority.value, task.agent.value, task.labels, task.lane.value) == (6, "shell", ("a", "b"), "Queue Z")
    assert (task.acceptance_criteria, task.requirements) == (("it works, really", "fast"), ("R1", "R2"))
    assert (task.cpus.value, task.gpu_memory_mib.value, task.timeout_s.value, task.retries.value) == (2, 8192, 600, 2)
    assert task.metadata == {"duration": "two weeks", "risk": "high"}


def test_instructions_of_what_is_done_are_a_record():
    task = only('- [x] A — Command: `make "` — Agent: shell — Resources: a lot — Timeout: never\n')

    assert (task.payload, task.agent, task.timeout_s) == ({}, None, None)
    assert task.metadata == {"command": '`make "`', "agent": "shell", "resources": "a lot", "timeout": "never"}


def test_only_known_keys_begin_a_field_in_a_line():
    task = only("- [ ] A — b: c — notes: d — e: f — NOTES: g — see `x — Owner: y`\n")

    assert task.title.value == "A — b: c"
    assert task.metadata == {"notes": "d — e: f; g — see `x — Owner: y`"}


def test_notes_keep_placeholders_within_words():
    assert only("- [x] A — Notes: `Vec<T>` is used — Owner: <name>\n").metadata == {"notes": "`Vec<T>` is used"}


def test_box_that_is_none_and_slip_of_the_pen_are_warnings():
    draft = read("- [-] A\n- [] B\n- [ ] C\n  - Dependencys: A\n")

    assert [(warning.code, warning.places[0].line) for warning in draft.warnings] == [
        ("sot.box", 2),
        ("sot.box", 3),
        ("sot.unknown_key", 5),
    ]


def test_open_box_with_a_status_of_done_is_a_warning():
    assert [warning.code for warning in read("- [ ] A — Status: Done\n").warnings] == ["sot.status"]


def test_reading_says_what_was_found():
    draft = read_sot("<!-- x -->\n- [ ] A\n- [x] B\n- [ ] <Name>\n- [ ]\n```\nx\n```\n" + QUEUE, "s.md")

    assert draft.reading.form == "State of Truth (Markdown): 1 queue, 1 backlog item, 1 executed task"
    assert draft.reading.left_out == ["1 placeholder", "1 empty box", "1 comment", "1 code block"]
    assert draft.reading.defaults == ["agent noop: nothing in the file says what to run (4 tasks)"]


def test_backlog_below_a_heading_of_the_queue_section_is_read():
    draft = read_sot(
        QUEUE.replace("###", "#") + "## Backlog\n- [ ] Later\n## More\n2. **Queue B**\n- Tasks: `b`\n", "s.md"
    )

    assert ids(draft) == ["TASK-001", "TASK-002", "fetch", "Later", "b"]


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
def test_line_breaks_may_be_any(line_break):
    text = "\ufeff## Backlog\n- [ ] A\n  b — Notes: x\n  - Dependencies: C\n\n- [x] 2025-01-01 — C\n"
    draft = read_sot(text.replace("\n", line_break), "s.md")

    assert (ids(draft), edges(draft)) == (["A b", "C"], {("C", "A b")})
    assert draft.tasks[0].metadata == {"notes": "x"}
    assert draft.tasks[0].depends_on[0].place == Place("s.md", 4, 19)


def test_order_of_the_tasks_is_that_of_the_file():
    assert ids(read_sot(QUEUE + "## Backlog\n- [ ] A\n- [x] B\n- [ ] C\n", "s.md"))[3:] == ["A", "B", "C"]


@pytest.mark.skipif(not REAL.exists(), reason="the workloads are not there")
def test_real_queues_and_backlog():
    expected = json.loads((REAL / "queues_expected.json").read_text(encoding="utf-8"))
    draft = read_sot((REAL / expected["sot"]).read_text(encoding="utf-8"), "s.md")

    lanes: dict[str, list[str]] = {}
    for task in draft.tasks:
        if task.lane is not None:
            lanes.setdefault(task.lane.value, []).append(task.id.value)
    others = {task.id.value: [name.value for name in task.depends_on] for task in draft.tasks if task.lane is None}
    assert (draft.faults, draft.warnings, lanes) == ([], [], expected["queues"])
    assert {name: others[name] for name in expected["backlog"]} == expected["backlog"]
    assert set(expected["never_run"]) & set(ids(draft)) <= set(done(draft))
    assert "TASK-999" not in ids(draft)


@pytest.mark.skipif(not REAL.exists(), reason="the workloads are not there")
@pytest.mark.parametrize(("name", "tasks"), [("noa_sot_template.md", 1), ("noa_sot_ledger.md", 23)])
def test_real_ledger_has_executed_tasks_only(name, tasks):
    draft = read_sot((REAL / name).read_text(encoding="utf-8"), name)

    assert (draft.faults, draft.warnings, len(draft.tasks), len(done(draft))) == ([], [], tasks, tasks)
    assert len(build_plan(draft).tasks) == tasks
