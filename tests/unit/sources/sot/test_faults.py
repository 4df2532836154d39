"""What is wrong with a State of Truth is said at once, with its place; nothing in it raises or takes long."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskexec.errors import PlanRejected
from taskexec.plan import build_plan
from taskexec.sources.sot.reader import read_sot

H = "### Execution Queue & Task Hooks\n"
A = "1. **Queue A — One**\n"
T = "- Task `a`\n"

MALFORMED = [
    ("", "sot.no_tasks", (0, 0)),
    ("# Only\ntext\n", "sot.no_tasks", (0, 0)),
    ("# Only\n<!-- text\n- [ ] a\n", "sot.open_comment", (2, 1)),
    (H + A + "- Agent: shell\n", "sot.no_tasks", (2, 6)),
    (H + A + "- Tasks: `<ID>`\n", "sot.no_tasks", (2, 6)),
    (H + A + "- Tasks: a, b\n", "sot.no_tasks", (2, 6)),
    (H + "- Tasks: `a`\n", "sot.no_queue", (2, 11)),
    (H + T, "sot.no_queue", (2, 9)),
    (H + A + "- Tasks: `a`\n2. Remarks\n- Tasks: `b`\n", "sot.no_queue", (5, 11)),
    (H + "1. Queue A — One\n", "sot.queue", (2, 4)),
    (H + A + "- Tasks: `a`\n\n**Queue B — Two**\n", "sot.queue", (5, 1)),
    (H + A + "- Tasks: `a`\n- **Queue B — Two**\n", "sot.queue", (4, 3)),
    (H + A + "- Tasks: `a`\n#### Queue B — Two\n", "sot.queue", (4, 1)),
    (H + A + "- Tasks: `a`\n" + A + "- Tasks: `b`\n", "sot.duplicate_queue", (2, 6)),
    (H + A + "- Tasks: `a3`–`a1`\n", "sot.range", (3, 11)),
    (H + A + "- Tasks: `a1`–`b3`\n", "sot.range", (3, 11)),
    (H + A + "- Tasks: `a1`–`a10`\n", "sot.range", (3, 11)),
    (H + A + "- Tasks: `a`–`b`\n", "sot.range", (3, 11)),
    (H + A + "- Tasks: `a1`–`a99999999`\n", "sot.range", (3, 11)),
    (H + A + "- Tasks: `a3` to `a1`\n", "sot.range", (3, 11)),
    (H + A + "- Tasks: `a000000`–`a999999`\n", "sot.range", (3, 11)),
    (H + A + "- Tasks: `a\0b`\n", "sot.character", (3, 11)),
    (H + A + "- Tasks: `a`\n- Order: sequentially\n", "sot.order", (4, 10)),
    (H + A + "- Tasks: `a`\n- Resources: cpus=many\n", "sot.number", (4, 14)),
    (H + A + "- Tasks: `a`\n- Resources: tape=1\n", "sot.resource", (4, 14)),
    (H + A + T + "  - Retries: many\n", "sot.number", (4, 14)),
    (H + A + T + "  - Timeout: 0s\n", "sot.number", (4, 14)),
    (H + A + T + "  - Duration: soon\n", "sot.number", (4, 15)),
    (H + A + T + "  - Priority: very\n", "sot.number", (4, 15)),
    (H + A + T + '  - Command: `echo "`\n', "sot.command", (4, 15)),
    (H + A + T + "  - Agent: python\n  - Command: `no call`\n", "sot.command", (5, 15)),
    (H + A + T + "  - Agent: python\n  - Command: `a:b`, `c:d`\n", "sot.command", (5, 15)),
    (H + A + "- Task `a\n", "sot.task", (3, 8)),
    (H + A + T + "  - Details: {}\n", "sot.details", (4, 5)),
    (H + A + T + '  - Details: `{"a": `\n', "sot.json", (4, 21)),
    (H + A + T + "  - Details: `[]`\n", "sot.shape", (4, 15)),
    (H + A + T + '  - Details: `{"cpus": "x"}`\n', "sot.shape", (4, 24)),
    (H + A + T + '  - Details: `{"id": 3}`\n', "sot.shape", (4, 22)),
    (H + A + T + '  - Details: `{"cpuss": 3}`\n', "sot.unknown_field", (4, 16)),
    (H + A + T + "- Depends on: `Queue A`\n", "sot.self_dependency", (4, 16)),
    (H + A + T + '  - Details: `{"a": 1, "a": 2}`\n', "sot.duplicate_key", (4, 16)),
    (H + A + T + '  - Details: `{"command": "x", "payload": {}}`\n', "sot.shape", (4, 32)),
    (H + A + T + "2. **Queue A — Two**\n- Tasks: `b`\n- Depends on: `Queue A`\n", "sot.ambiguous_queue", (6, 16)),
    ("- [ ] T-1 — x\n- [ ] T-2 — x\n- [ ] c — Dependencies: x\n", "sot.ambiguous_task", (3, 25)),
    ("- [ ] — Notes: x\n", "sot.no_name", (1, 7)),
    ("- [x] 2025-01-01 — Artifacts: `a`\n", "sot.no_name", (1, 7)),
    ("- [ ] Rationale: x — Target: y\n", "sot.no_name", (1, 7)),
    ("- [ ] a\0b\n", "sot.character", (1, 7)),
    ("- [ ] a — Command: `echo '`\n", "sot.command", (1, 21)),
    (H + A + "- Tasks: `a`\n2. **Queue B**\n- Tasks: `a`\n", "plan.duplicate_id", (3, 11)),
    (H + A + T + T, "plan.duplicate_id", (3, 9)),
    (H + A + "- Tasks: `a`, `a`\n", "plan.duplicate_id", (3, 11)),
    ("- [ ] a\n- [ ] b — Dependencies: c\n", "plan.unknown_dependency", (2, 25)),
    ("- [ ] a — Dependencies: a\n", "plan.self_dependency", (1, 25)),
    ("- [ ] a — Dependencies: b\n- [ ] b — Dependencies: a\n", "plan.cycle", (1, 25)),
]


@pytest.mark.parametrize(("text", "code", "place"), MALFORMED)
def test_malformed_file_is_refused_at_its_place(text, code, place):
    with pytest.raises(PlanRejected) as refused:
        build_plan(read_sot(text, "s.md"))

    found = {fault.code: fault.places[0][1:] for fault in reversed(refused.value.faults())}
    assert code in found
    assert found[code] == place
    assert [fault.message for fault in refused.value.faults() if not fault.hint] == []


@pytest.mark.parametrize("line", ["1. Queue A — One\n", "**Queue A — One**\n", "- **Queue A — One**\n"])
def test_queue_that_is_written_wrongly_is_one_fault(line):
    draft = read_sot(H + line + "   - Tasks: `a`\n", "s.md")

    assert [fault.code for fault in draft.faults] == ["sot.queue"]


def test_queue_that_waits_for_itself_is_one_fault_that_names_it():
    draft = read_sot(H + A + "- Tasks: `a`, `b`\n- Depends on: `Queue A`, `c`\n\n## Plans\n- [ ] c\n", "s.md")

    assert [fault.message for fault in draft.faults] == ["queue `Queue A — One` depends on itself"]
    assert [name.value for task in draft.tasks for name in task.depends_on] == ["c", "c"]


def test_comment_that_is_never_closed_is_a_warning_where_tasks_are_above_it():
    draft = read_sot("- [ ] a\n<!-- b -->\n<!-- c\n- [ ] d\n", "s.md")

    assert [task.id.value for task in draft.tasks] == ["a"]
    assert [(fault.code, fault.places[0].line) for fault in draft.warnings] == [("sot.open_comment", 3)]
    assert draft.faults == []


def test_all_faults_are_told_in_the_same_order_each_time():
    text = "".join(part.replace(H, "") for part, *_ in MALFORMED if part.startswith(H))

    first = read_sot(H + text, "s.md")
    second = read_sot(H + text, "s.md")

    assert first.faults == second.faults
    assert len({fault.code for fault in first.faults}) > 10


MARKS = """
<!-- --> ` `` ``` ~~~ ** __ ~~ — – - [x] [-] <x> ( ) { } , ; : | # é 1. * + A-1 a none 2025-01-01
Dependencies: Depends on: Notes: Artifacts: Command: Details: Tasks: Queue
"""
LINES = ["- [ ] ", "- [x] ", "- Task `", "- Tasks: `a1`–`a3`", A, H, "Details: `{", "\0", "\t", "\u2028"]
PIECES = st.sampled_from([*MARKS.split(), *LINES, "\n", "\r\n", "\r", " ", "  ", "    "])
TEXTS = st.lists(PIECES | st.text(max_size=3), max_size=40).map("".join)


@settings(max_examples=300, deadline=None)
@given(TEXTS, st.booleans())
def test_any_text_gives_tasks_or_faults_with_places_inside(text, has_heading):
    text = (H + A if has_heading else "") + text
    widths = [len(line) for line in text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")]

    draft = read_sot(text, "s.md")

    assert draft.tasks or draft.faults
    places = [place for fault in (*draft.faults, *draft.warnings) for place in fault.places]
    places += [task.id.place for task in draft.tasks] + [name.place for task in draft.tasks for name in task.depends_on]
    for place in places:
        assert 0 <= place.line <= len(widths)
        assert place.line == 0 or 1 <= place.column <= widths[place.line - 1] + 2


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "A", "T-1", "T-1 — x", "`T-1`", "a (T-1)", "a #2"]), max_size=8))
def test_executed_items_never_share_an_id(names):
    draft = read_sot("".join(f"- [x] {name}\n" for name in names), "s.md")

    ids = [task.id.value for task in draft.tasks]
    assert (len(ids), len(set(ids))) == (len(names), len(names))


N = 20_000
HOSTILE = {
    "comments": "<!-- " * 5 * N,
    "backticks": "- [ ] " + "`" * N,
    "backtick words": "- [ ] " + "`a " * N,
    "dashes": "- [ ] a" + " — b" * N,
    "fields": "- [ ] a" + " — Notes: b" * N,
    "equal names": "- [x] a\n" * N,
    "equal names named": "- [x] a\n" * N + "".join(f"- [ ] b{i} — Dependencies: a\n" for i in range(N)),
    "commas": "".join("- [ ] " + "a," * i + "b\n" for i in range(1, 200)) + "- [ ] z — Dependencies: " + "a, " * N,
    "blanks": "- [ ] a" + " " * N + "b",
    "key": H + A + "- a" + " " * N + ":",
    "bold": H + "1. **" + " " * N + "Queue A",
    "digits": H + A + "- Tasks: `" + "1" * N + "`-`" + "2" * N + "`",
    "sections": (H + A + "- Tasks: `a`\n") * (N // 10),
    "resources": H + A + "- Tasks: `a`\n- Resources: cpus=1" + " " * N + "x",
    "brackets": "- [ ] a — Dependencies: " + "(" * N,
    "braces": "- [x] a — Artifacts: " + "{a," * N,
    "choices": "- [x] a — Artifacts: " + "{a,b}" * N,
    "children": "- [ ] a\n" + "  - Notes: x\n" * N,
    "depth": "- [ ] a\n" + "".join(" " * i + "- b\n" for i in range(2, 1000)),
    "details": H + A + T + "  - Details: `" + "[" * N + "`",
    "placeholders": "- [ ] " + "<a" * N,
    "ids": "- [ ] a " + "(A-1) " * N,
    "lazy lines": "- [ ] a\n" + "b\n" * N,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_file_takes_time_that_grows_with_its_length(name):
    begun_at = time.process_time()

    read_sot(HOSTILE[name], "s.md")

    assert time.process_time() - begun_at < 8


def test_long_ledger_is_read_in_seconds():
    line = "- [x] 2025-10-05 12:00 UTC — Work on part {} — Artifacts: `a{}.md`, `t/{{x,y}}` — Notes: did it — well.\n"
    text = "".join(line.format(number, number) for number in range(50_000))
    begun_at = time.process_time()

    draft = read_sot(text, "s.md")

    assert (len(draft.tasks), draft.faults) == (50_000, [])
    assert time.process_time() - begun_at < 20  # 5 s measured on a busy machine of two slow cores
