from __future__ import annotations

import pytest

from taskexec.domain.resources import Route
from taskexec.errors import Fault, Place, PlanRejected
from taskexec.plan import DraftTask, PlanDraft, build_plan

from .drafting import draft, task


def faults_of(*tasks: DraftTask) -> list[Fault]:
    with pytest.raises(PlanRejected) as caught:
        build_plan(draft(*tasks))
    return list(caught.value.faults())


def lines_of(fault: Fault) -> list[int]:
    return [place.line for place in fault.places]


def test_plan_keeps_source_order_and_places() -> None:
    plan = build_plan(draft(task("b", "a", line=2), task("a", line=3)))

    assert [task.id for task in plan.tasks] == ["b", "a"]
    assert [place.line for place in plan.places] == [2, 3]
    assert plan.graph.predecessors == ((1,), ())


def test_empty_plan_is_rejected() -> None:
    assert [fault.code for fault in faults_of()] == ["plan.empty"]


def test_faults_of_the_reader_reject_the_plan_and_come_in_order_of_place() -> None:
    ragged = Fault("csv.ragged", "too few cells", (Place("p.csv", 3),))
    read = PlanDraft(source="p.csv", kind="csv", tasks=[task("a", "x", line=4), task("", line=2)], faults=[ragged])

    with pytest.raises(PlanRejected) as caught:
        build_plan(read)

    assert [fault.code for fault in caught.value.faults()] == [
        "plan.empty_id",
        "csv.ragged",
        "plan.unknown_dependency",
    ]


def test_reader_that_found_nothing_but_faults_is_not_told_the_plan_is_empty() -> None:
    fault = Fault("csv.encoding", "not UTF-8", (Place("p.csv"),))

    with pytest.raises(PlanRejected) as caught:
        build_plan(PlanDraft(source="p.csv", kind="csv", faults=[fault]))

    assert caught.value.faults() == (fault,)


def test_duplicate_id_names_all_places() -> None:
    (fault,) = faults_of(task("a", line=2), task(" a", line=3), task("b", line=4), task("a", line=5))

    assert (fault.code, lines_of(fault)) == ("plan.duplicate_id", [2, 3, 5])


def test_ids_are_compared_trimmed_and_composed() -> None:
    plan = build_plan(draft(task("u\u0308bung "), task("b", " \u00fcbung")))

    assert plan.tasks[1].depends_on == (plan.tasks[0].id,) == ("\u00fcbung",)


@pytest.mark.parametrize(("wrong", "meant"), [("tran", "train"), ("TRAIN", "train"), ("e-val", "eval")])
def test_unknown_dependency_suggests_what_was_meant(wrong: str, meant: str) -> None:
    (fault,) = faults_of(task("train"), task("eval"), task("report", wrong, line=4))

    assert (fault.code, lines_of(fault)) == ("plan.unknown_dependency", [4])
    assert fault.hint == f"did you mean `{meant}`?"


def test_unknown_dependency_unlike_any_id_names_no_other() -> None:
    (fault,) = faults_of(task("train"), task("report", "zzz"))

    assert "train" not in str(fault.hint)


def test_self_dependency_is_reported_once_and_not_as_a_cycle() -> None:
    assert [fault.code for fault in faults_of(task("a", "a"))] == ["plan.self_dependency"]


def test_cycle_names_ids_and_places_in_order() -> None:
    (fault,) = faults_of(task("a", "c", line=2), task("c", "b", line=3), task("b", "a", line=4))

    assert fault.code == "plan.cycle"
    assert "`a`, `b` and `c`" in fault.message
    assert lines_of(fault) == [2, 4, 3]


def test_each_knot_is_one_fault() -> None:
    faults = faults_of(task("a", "b"), task("b", "a"), task("c", "d"), task("d", "c"))

    assert [fault.code for fault in faults] == ["plan.cycle"] * 2


def test_long_cycle_is_abbreviated() -> None:
    size = 5_000
    (fault,) = faults_of(*[task(f"t{n}", f"t{(n - 1) % size}", line=n + 2) for n in range(size)])

    assert "and 4992 more" in fault.message
    assert len(fault.places) == 8


@pytest.mark.parametrize("task_id", ["a\nb", "a\0b", "a\x1bb", "a\u2028b", "a\ud800b"])
def test_control_character_in_id_is_a_fault_shown_on_one_line(task_id: str) -> None:
    (fault,) = faults_of(task(task_id))

    assert fault.code == "plan.id_character"
    assert fault.message.isprintable()


def test_id_of_200_characters_is_the_longest() -> None:
    build_plan(draft(task("x" * 200)))

    assert [fault.code for fault in faults_of(task("x" * 201))] == ["plan.id_length"]


def test_ids_that_differ_by_case_are_a_warning() -> None:
    plan = build_plan(draft(task("Train", line=2), task("train", line=3)))

    assert [(fault.code, lines_of(fault)) for fault in plan.warnings] == [("plan.case", [2, 3])]


def test_repeated_dependency_is_united() -> None:
    plan = build_plan(draft(task("a"), task("b", "a", "a ")))

    assert plan.tasks[1].depends_on == ("a",)
    assert not plan.warnings


def test_agent_is_shell_when_there_are_commands_else_noop() -> None:
    commands = {"commands": [{"argv": ["true"]}]}

    plan = build_plan(draft(task("a", payload=commands), task("b"), task("c", payload=commands, agent="x")))

    assert [task.agent for task in plan.tasks] == ["shell", "noop", "x"]


def test_route_follows_gpus_unless_named() -> None:
    plan = build_plan(draft(task("a"), task("b", gpus=1.0), task("c", gpus=1.0, route=Route.DISTRIBUTED)))

    assert [task.route for task in plan.tasks] == [Route.CPU, Route.GPU, Route.DISTRIBUTED]


@pytest.mark.parametrize(("given", "kept"), [(-3, 0), (0, 0), (9, 9), (90, 9)])
def test_priority_is_clamped(given: int, kept: int) -> None:
    assert build_plan(draft(task("a", priority=given))).tasks[0].priority == kept


def test_value_that_json_cannot_carry_is_a_fault_at_its_task() -> None:
    (fault,) = faults_of(task("a", line=2), task("b", line=3, payload={"kwargs": {"n": 1 << 70}}))

    assert (fault.code, lines_of(fault)) == ("plan.value", [3])


@pytest.mark.parametrize(
    ("field", "most"),
    [
        ("cpus", 1e6),
        ("memory_mib", 2**40),
        ("gpus", 1e5),
        ("gpu_memory_mib", 2**30),
        ("timeout_s", 3e9),
        ("retries", 10**6),
    ],
)
def test_absurd_amount_is_refused_and_the_most_is_not(field: str, most: float) -> None:
    build_plan(draft(task("a", **{field: most})))

    (fault,) = faults_of(task("a", line=3, **{field: most * 2}))

    assert (fault.code, lines_of(fault)) == ("plan.amount", [3])


def test_part_of_a_gpu_beside_whole_ones_is_refused() -> None:
    assert [fault.code for fault in faults_of(task("a", gpus=1.5))] == ["plan.gpus"]


def test_memory_of_a_gpu_asks_for_a_gpu() -> None:
    plan = build_plan(draft(task("a", gpu_memory_mib=1024)))

    assert (plan.tasks[0].needs.gpus, plan.tasks[0].route) == (1.0, Route.GPU)


@pytest.mark.parametrize("lane", ["a/b", "a\\b", "a*", "a?", "[a]"])
def test_lane_with_characters_of_paths_or_patterns_is_refused(lane: str) -> None:
    assert [fault.code for fault in faults_of(task("a", lane=lane))] == ["plan.lane"]


def test_priority_outside_of_0_to_9_is_taken_as_the_nearest_with_a_warning() -> None:
    plan = build_plan(draft(task("a", priority=500), task("b", priority=-1, line=2)))

    assert [task.priority for task in plan.tasks] == [9, 0]
    assert [fault.code for fault in plan.warnings] == ["plan.priority"] * 2


def test_warnings_refuse_a_plan_when_it_is_read_strictly() -> None:
    with pytest.raises(PlanRejected) as caught:
        build_plan(draft(task("A"), task("a")), is_strict=True)

    assert [fault.code for fault in caught.value.faults()] == ["plan.case"]


def test_cycles_come_last_the_shortest_first() -> None:
    faults = faults_of(task("a", "c"), task("b", "a"), task("c", "b"), task("d", "e"), task("e", "d"), task("f", "x"))

    assert [fault.code for fault in faults] == ["plan.unknown_dependency", "plan.cycle", "plan.cycle"]
    assert ["`d`" in fault.message for fault in faults[1:]] == [True, False]


def test_blanks_around_texts_mean_nothing() -> None:
    plain = build_plan(draft(task("a", title="t", lane="L", labels=("x",), metadata={"k": "v"})))
    padded = build_plan(
        draft(task("a", title=" t ", lane=" L\n", labels=(" x", "x", " "), metadata={" k ": " v", "none": " "}))
    )

    assert plain == padded


@pytest.mark.parametrize(
    "values", [{"title": "a\0"}, {"lane": "\0"}, {"labels": ("\0x",)}, {"metadata": {"k": "a\0b"}}, {"layer": "x\0"}]
)
def test_nul_in_a_text_is_refused(values: dict[str, object]) -> None:
    assert [fault.code for fault in faults_of(task("a", **values))] == ["plan.character"]
