"""The contract of messages: what they name, and how many tasks share one, on memory and on a server."""

from __future__ import annotations

import pytest
from support.programs import Spec, queue_of
from support.stages import Stage


def sizes(play, route: str = "cpu") -> list[int]:
    return [len(members) for members in play.queued(route)]


def test_single_message_is_named_after_its_task_and_a_batch_after_its_number(run, stage: Stage) -> None:
    play = run(Spec(), Spec(), Spec(route="gpu"), batch_max=8)

    batch = stage.messages(queue_of(play.run_id, "cpu"))
    single = stage.messages(queue_of(play.run_id, "gpu"))

    assert [message.id for message in batch] == [f"{play.run_id}.b1"]
    assert [message.id for message in single] == [f"{play.run_id}.2"]


def test_batch_groups_members_of_one_list_and_agent(run) -> None:
    play = run(
        Spec(), Spec(route="gpu"), Spec(agent="shell"), Spec(), Spec(route="gpu"), Spec(agent="shell"), batch_max=8
    )

    assert play.queued("cpu") == [((0, 1), (3, 1)), ((2, 1), (5, 1))]
    assert play.queued("gpu") == [((1, 1), (4, 1))]


@pytest.mark.parametrize(
    ("slots", "batch_max", "expected"),
    [
        (1, 1, [1] * 8),
        (1, 32, [8]),
        (4, 32, [2, 2, 2, 2]),
        (100, 32, [1] * 8),
        (1, 3, [3, 3, 2]),
        (0, 3, [3, 3, 2]),
    ],
)
def test_batch_is_sized_by_slots_and_limit_while_durations_are_unknown(
    run, stage: Stage, slots: int, batch_max: int, expected: list[int]
) -> None:
    stage.set_slots("cpu", slots)

    play = run(*[Spec()] * 8, batch_max=batch_max)

    assert sizes(play) == expected


@pytest.mark.parametrize(("each_s", "size"), [(0.001, 12), (0.01, 5), (0.02, 2), (0.2, 1)])
def test_batch_lasts_about_the_target(run, each_s: float, size: int) -> None:
    play = run(Spec(), *[Spec(after=(0,))] * 12, batch_max=32, batch_target_s=0.05)
    play.claim((0, 1))

    play.complete((0, 1), spent_s=each_s)

    assert sizes(play)[1] == size


def test_newer_durations_weigh_less_than_known_ones(run) -> None:
    play = run(Spec(), Spec(after=(0,)), *[Spec(after=(1,))] * 12, batch_max=32, batch_target_s=0.05)
    for index, spent_s in ((0, 0.01), (1, 0.02)):
        play.claim((index, 1))
        play.complete((index, 1), spent_s=spent_s)

    assert sizes(play)[2] == 3  # 0.7 * 10 ms + 0.3 * 20 ms = 13 ms in 50 ms


def test_messages_that_wait_already_make_later_batches_larger(run, stage: Stage) -> None:
    stage.set_slots("cpu", 4)
    play = run(Spec(), *[Spec()] * 2, *[Spec(after=(0,))] * 4, batch_max=32)
    play.claim((0, 1))

    play.complete((0, 1))

    assert sizes(play) == [1, 1, 1, 4]


def test_failures_do_not_count_as_measured(run) -> None:
    play = run(Spec(retries=1), *[Spec(after=(0,))] * 8, batch_max=32)
    play.claim((0, 1))
    play.complete((0, 1), succeeded=False, spent_s=10.0)

    play.do((0, 2))

    assert sizes(play)[-1] == 8


def test_members_given_back_travel_alone(run) -> None:
    play = run(*[Spec()] * 4, batch_max=32)
    play.claim((0, 1), (1, 1), (2, 1), (3, 1))

    play.release((1, 1), (2, 1), (3, 1))

    assert sizes(play) == [4, 1, 1, 1]


def test_members_lost_with_their_process_travel_alone_from_then_on(run) -> None:
    play = run(*[Spec()] * 4, batch_max=32)
    play.claim((0, 1), (1, 1), (2, 1), (3, 1))
    play.complete((3, 1))

    play.lose((0, 1), (1, 1), (2, 1))

    assert sizes(play)[1:] == [1, 1, 1]
    assert play.queued("cpu")[1:] == [((0, 2),), ((1, 2),), ((2, 2),)]


def test_others_share_messages_beside_one_that_was_lost(run) -> None:
    play = run(Spec(), Spec(), *[Spec(after=(1,))] * 3, batch_max=32)
    play.claim((0, 1), (1, 1))
    play.lose((0, 1))

    play.complete((1, 1))

    assert sizes(play)[1:] == [1, 3]


def test_part_of_a_batch_can_be_claimed_and_completed(run) -> None:
    play = run(*[Spec()] * 3, Spec(after=(0,)), batch_max=3)
    play.claim((1, 1), worker="other")

    won = play.won((0, 1), (1, 1), (2, 1))
    play.complete((0, 1))

    assert won == [(0, 1), (2, 1)]
    assert play.states() == {0: "S1", 1: "R1", 2: "R1", 3: "Q1"}
