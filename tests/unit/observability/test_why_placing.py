"""Why a task waits to be placed: the arithmetic of each worker, the order, and changes that really start it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.why_facts import cluster_of, node, option, want

from taskexec.domain.fit import Option, choose_all
from taskexec.domain.placing import Want
from taskexec.observability.why.changes import Change, find_changes
from taskexec.observability.why.facts import Cluster, Node, limits_of
from taskexec.observability.why.placing import explain_placing
from taskexec.observability.why.turn import turn_of, with_want

GIB = 1024


def lines(cluster: Cluster, one: Want) -> list[str]:
    return list(explain_placing(cluster, one).lines())


def texts(cluster: Cluster, one: Want) -> list[str]:
    return [change.text for change in find_changes(cluster, one)]


def starts(cluster: Cluster, one: Want, change: Change) -> bool:
    """Return whether the rules place a task after a change that was named."""
    after = change.cluster or with_want(cluster, change.want or one)
    changed = change.want or one
    limits = limits_of(after, changed.owner)
    is_placed = choose_all(changed.ask, [spot.spot for spot in after.nodes], spare=limits) is not None
    return is_placed and turn_of(after, changed).place(changed.ask) is not None


def test_gpus_are_counted_with_who_holds_them_and_for_how_long() -> None:
    asked = want(option(gpus=2, gpu_memory=24 * GIB))
    g1 = node("g1", gpus=(24 * GIB, 24 * GIB), busy=(("`train-7`", option(gpus=1), 14 * 60, (0,)),))
    cluster = cluster_of(g1, node("g2"), wants=(asked,))

    found = lines(cluster, asked)

    at = found.index("  worker `g1`: 2 GPUs with 24G needed, 1 of 2 free")
    assert found[at + 1 : at + 3] == [
        "    `train-7` holds 1 GPU for another ~14 min",
        "    it should have room in ~14 min",
    ]
    assert "  worker `g2`: is too small: 2 GPUs with 24G needed, it has none" in found
    assert "  it would start now with gpus=1" in found


def test_cores_and_memory_are_counted() -> None:
    asked = want(option(cpus=6, memory=4 * GIB))
    one = node("w", cpus=8, memory=6 * GIB, busy=(("`a`", option(cpus=4, memory=2560), 0, ()),))
    cluster = cluster_of(one, wants=(asked,))

    found = lines(cluster, asked)

    assert "  worker `w`: 6 cores needed, 4 of 8 free; 4G of memory needed, 3.5G of 6G free" in found
    assert "    `a` holds 4 cores" in found
    assert "  it would start now with cpus=4 and memory=3.5G" in found


@pytest.mark.parametrize(
    ("worker", "asked", "said"),
    [
        (node("w", routes=("gpu",)), option(2), "does not serve the queue `cpu`"),
        (node("w", state="cordoned"), option(2), "is cordoned: it takes no new tasks"),
        (node("w", state="draining"), option(2), "is draining: it takes no new tasks"),
        (node("w"), option(2, has=("ssd",)), "has no label `ssd`"),
        (node("w", labels=("slow",)), option(2, lacks=("slow",)), "has the label `slow`, which it must not"),
        (node("w", cpus=1), option(2), "is too small: 2 cores needed, it has 1 core"),
        (node("w", memory=512), option(1, memory=600), "is too small: 600M of memory needed, it has 512M of memory"),
        (
            node("w", busy=(("`a`", option(1), 0, ()),)),
            option(1, exclusive=True),
            "it must have the worker for itself alone",
        ),
        (
            node("w", slots=1, busy=(("`a`", option(1), 0, ()),)),
            option(2),
            "1 slot needed, none of 1 free",
        ),
        (
            node("w", gpus=(8192,), busy=(("`a`", option(gpus=0.75), 0, (0,)),)),
            option(gpus=0.5),
            "0.5 of a GPU needed, 0.25 with 2G is the most that is free on one",
        ),
        (
            node("w", kept_for="other:1", kept=option(8)),
            option(2),
            "has room, but is kept for task 1 of run other, which needs 8 cores of it",
        ),
    ],
)
def test_each_reason_is_told(worker: Node, asked: Option, said: str) -> None:
    one = want(asked)

    assert f"  worker `w`: {said}" in lines(cluster_of(worker, wants=(one,)), one)


def test_last_slot_that_is_left_to_tasks_without_needs_is_told() -> None:
    asked = want(option(0.5))
    cluster = cluster_of(node("w", slots=1), wants=(asked,), starving=frozenset({"cpu"}))

    assert any("its last slot is left to tasks that ask for nothing else" in line for line in lines(cluster, asked))


def test_alike_workers_are_told_together() -> None:
    asked = want(option(16))
    cluster = cluster_of(*(node(f"w{number}") for number in range(20)), wants=(asked,))

    found = [line for line in lines(cluster, asked) if line.startswith("  20 workers")]

    assert found == ["  20 workers `w0`, `w1`, `w2` and 17 more: is too small: 16 cores needed, it has 8 cores"]


def test_who_stands_before_it_is_told_with_figures() -> None:
    mine, theirs = want(option(16), run_id="bob"), want(option(16), run_id="ann", index=3)
    cluster = cluster_of(
        node(), wants=(mine, theirs), shares={"u:bob": 400_000, "u:ann": 120_000}, names={"ann:3": "`x` of run ann"}
    )

    found = lines(cluster, mine)

    assert "  1 task that also waits is looked at before it: `x` of run ann" in found
    assert (
        "    1 task of run ann: user `ann` holds 12.0 % of the cluster, user `bob` holds 40.0 % of the cluster" in found
    )


def test_priority_that_comes_before_is_told() -> None:
    mine, theirs = want(option(16), run_id="bob"), want(option(16), run_id="ann", priority=9)

    found = lines(cluster_of(node(), wants=(mine, theirs)), mine)

    assert "    1 task of run ann: priority 9 comes before 0" in found


def test_worker_that_is_kept_for_it_is_told() -> None:
    mine = want(option(8))
    one = node("w", kept_for="r:0", kept=option(8), busy=(("`a`", option(2), 60, ()),))

    found = lines(cluster_of(one, wants=(mine,)), mine)

    assert "  worker `w` is kept for it: others get only what it leaves; it should have room in ~60 s" in found


def test_labels_and_exclusive_are_what_is_named_when_they_are_in_the_way() -> None:
    labelled, alone = want(option(2, has=("ssd",))), want(option(1, exclusive=True))
    busy = node("w", busy=(("`a`", option(1), 0, ()),))

    assert texts(cluster_of(busy, wants=(labelled,)), labelled)[0] == "without the label `ssd`"
    assert texts(cluster_of(busy, wants=(alone,)), alone)[0] == "with exclusive=no"


def test_cordoned_worker_is_named() -> None:
    mine = want(option(8))

    (change, *_) = find_changes(cluster_of(node("w1", state="cordoned"), wants=(mine,)), mine)

    assert change.facts == {"uncordon": "w1"}


def test_further_worker_that_somebody_before_it_would_take_is_not_enough() -> None:
    mine, theirs = want(option(16)), want(option(16), run_id="s", priority=5)

    (change,) = [c for c in find_changes(cluster_of(node(), wants=(mine, theirs)), mine) if "worker" in c.facts]

    assert change.facts["worker"]["count"] == 2


def test_distributed_task_is_told_how_many_ranks_have_a_place() -> None:
    mine = want(option(6, route="distributed"), ranks=3)
    cluster = cluster_of(node("a"), node("b"), node("c", cpus=4), wants=(mine,))

    assert "  2 of its 3 ranks would find a place now; they start together or not" in lines(cluster, mine)
    assert {"with nodes=2", "with cpus=4"} <= set(texts(cluster, mine))


def test_task_that_a_round_does_not_come_to_is_told_so_and_which_priority_would_help() -> None:
    others = tuple(want(option(16), index=number) for number in range(70))
    mine = want(option(1), index=99)
    cluster = cluster_of(node(), wants=(*others, mine))

    assert any(
        "a round of placing does not come to it: it looks at 32 tasks of a run" in line for line in lines(cluster, mine)
    )
    assert "with priority=1" in texts(cluster, mine)


def test_tasks_that_are_placed_before_it_do_not_keep_a_round_from_coming_to_it() -> None:
    others = tuple(want(option(1), index=number) for number in range(70))
    mine = want(option(1), index=99)
    cluster = cluster_of(node(cpus=80, slots=80), wants=(*others, mine))

    assert turn_of(cluster, mine).is_reached
    assert "  there is room for it on `w`: it is placed in the next moment" in lines(cluster, mine)


def test_nothing_is_named_when_it_fits() -> None:
    mine = want(option(1))
    cluster = cluster_of(node(), wants=(mine,))

    assert find_changes(cluster, mine) == []
    assert "  there is room for it on `w`: it is placed in the next moment" in lines(cluster, mine)


def test_memory_is_named_as_the_plan_should_say_it_after_attempts_that_ran_out_of_it() -> None:
    mine = want(option(1, memory=8 * GIB))

    (change, *_) = find_changes(cluster_of(node(memory=5 * GIB), wants=(mine,)), mine, memory_ratio=2.0)

    assert change.facts == {"write": {"memory": "2.5G"}}


OPTIONS = st.builds(
    option,
    cpus=st.sampled_from([0.5, 1, 2, 4, 9]),
    memory=st.sampled_from([0, 100, 900, 3000]),
    gpus=st.sampled_from([0, 0, 0.5, 1, 2, 4]),
    gpu_memory=st.sampled_from([0, 150, 300]),
    disk=st.sampled_from([0, 0, 30, 2000]),
    exclusive=st.sampled_from([False, False, True]),
    has=st.sampled_from([(), (), ("ssd",), ("ssd", "fast")]),
    lacks=st.sampled_from([(), ("slow",)]),
    route=st.sampled_from(["", "cpu", "gpu"]),
)
SMALL = st.builds(
    lambda cpus, memory, left_s: ("`a`", option(cpus, memory), left_s, ()),
    st.sampled_from([0.5, 1, 2]),
    st.sampled_from([0, 100, 500]),
    st.sampled_from([0.0, 30.0]),
)
ON_GPU = st.sampled_from(
    [("`g`", option(0.5, gpus=1), 5.0, (0,)), ("`g`", option(0.5, gpus=0.3, gpu_memory=50), 0.0, (0,))]
)


@st.composite
def nodes(draw: st.DrawFn) -> Node:
    gpus = draw(st.sampled_from([(), (), (200,), (200, 400)]))
    busy = draw(st.lists(SMALL, max_size=2)) + (draw(st.lists(ON_GPU, max_size=1)) if gpus else [])
    kept = draw(st.sampled_from([None, None, None, option(2), option(4, 500)]))
    return node(
        name=f"w{draw(st.integers(0, 10**9))}",
        cpus=draw(st.sampled_from([5, 8, 16])),
        memory=draw(st.sampled_from([1000, 2000])),
        gpus=gpus,
        labels=draw(st.sampled_from([(), ("ssd",), ("slow",), ("ssd", "slow")])),
        routes=draw(st.sampled_from([("cpu",), ("gpu",), ("cpu", "gpu")])),
        state=draw(st.sampled_from(["ready", "ready", "ready", "cordoned"])),
        slots=draw(st.sampled_from([3, 8])),
        kept_for="other:1" if kept else "",
        kept=kept,
        busy=tuple(busy),
    )


@given(
    workers=st.lists(nodes(), max_size=5, unique_by=lambda one: one.name),
    options=st.lists(OPTIONS, min_size=1, max_size=2),
    others=st.lists(OPTIONS, max_size=3),
    ranks=st.sampled_from([1, 1, 1, 2, 3]),
    packed=st.booleans(),
    starving=st.sets(st.sampled_from(["cpu", "gpu"])),
    ratio=st.sampled_from([1.0, 1.5, 2.0]),
)
def test_every_change_that_is_named_starts_the_task(
    workers: list[Node],
    options: list[Option],
    others: list[Option],
    ranks: int,
    packed: bool,
    starving: set[str],
    ratio: float,
) -> None:
    mine = want(*options, ranks=ranks, packed=packed, waited_s=5)
    before = tuple(want(one, run_id="s", index=number) for number, one in enumerate(others))
    cluster = cluster_of(*workers, wants=(*before, mine), starving=frozenset(starving), shares={"u:r": 10})

    changes = find_changes(cluster, mine, memory_ratio=ratio)

    assert all(starts(cluster, mine, change) for change in changes)
    is_placed = turn_of(cluster, mine).place(mine.ask) is not None
    assert bool(changes) != is_placed  # a further worker always helps
    assert lines(cluster, mine)
