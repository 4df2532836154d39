"""What is counted for good of a cluster: the same in memory and on a server, once for each thing, and bounded."""

from __future__ import annotations

import pytest
from support.plays import Play
from support.programs import Spec
from support.stages import Stage

from taskexec.domain.counts import COUNTERS_MOST
from taskexec.domain.program import Completion, Member
from taskexec.domain.retry import RETRIED_BY_DEFAULT, AttemptPolicy


def retried(times: int) -> AttemptPolicy:
    return AttemptPolicy(
        retries=times,
        on=RETRIED_BY_DEFAULT,
        delay_us=0,
        factor=1.0,
        max_us=0,
        jitter=0.0,
        memory=1.0,
        deadline_us=0,
        budget_us=0,
    )


def counted(play: Play) -> dict[str, int]:
    return play.store.counted()


def complete_as(play: Play, agent: str) -> None:
    """Have task 0 run as that of an agent, again and again: each call is an attempt that fails."""
    attempt = int(play.states()[0][1:])
    assert play.won((0, attempt))
    done = Completion(
        member=Member(0, attempt),
        token="w1/d",
        succeeded=False,
        reason="exit",
        exit_status=1,
        record=b"{}",
        result=b"",
        celery_key="",
        celery_result=b"",
        celery_retry=b"",
    )
    assert play.store.complete(play.run_id, [done], worker="w1", agent=agent, spent_s=0.0) == [True]


def test_nothing_is_counted_at_first(stage: Stage) -> None:
    assert stage.store.counted() == {}


def test_attempts_are_counted_by_how_they_ended_and_runs_by_their_status(run) -> None:
    play = run((), (0,), (1,))

    play.do((0, 1))
    play.do((1, 1), succeeded=False)

    assert counted(play) == {
        "attempts succeeded - noop": 1,
        "attempts failed exit noop": 1,
        "tasks failed": 1,
        "tasks skipped": 1,
        "runs failed": 1,
    }


def test_attempt_that_is_tried_again_has_failed_and_its_task_has_not(run) -> None:
    play = run(Spec(policy=retried(1)))

    play.do((0, 1), succeeded=False)
    play.do((0, 2))

    assert counted(play) == {
        "attempts failed exit noop": 1,
        "attempts succeeded - noop": 1,
        "runs succeeded": 1,
    }


def test_repeated_completion_counts_once_and_a_late_one_as_late(run) -> None:
    play = run(Spec(policy=retried(1)), ())
    play.do((0, 1), succeeded=False)

    play.complete((0, 1))
    play.do((0, 2))
    play.complete((0, 2))

    assert counted(play)["late"] == 1
    assert counted(play)["attempts succeeded - noop"] == 1


def test_lapsed_leases_are_counted_beside_the_attempts_that_were_lost_with_them(run) -> None:
    play = run(())
    play.claim((0, 1))

    play.reap()
    play.keep_reaping(2)

    assert counted(play)["lapsed"] == 1
    assert counted(play)["attempts lost lost_worker noop"] == 1


def test_attempts_of_a_worker_that_leaves_are_no_losses(run) -> None:
    play = run(())
    play.claim((0, 1))

    play.surrender()

    assert counted(play) == {"attempts given_back lost_worker noop": 1}


def test_run_whose_time_is_up_is_counted(run) -> None:
    play = run((), timeout_s=5.0)

    play.pass_time(10)
    play.reap()

    assert counted(play) == {"expired": 1, "tasks cancelled": 1, "runs failed": 1}


def test_evidence_is_counted_in_bytes(run) -> None:
    play = run(())

    play.store.append_output(play.run_id, {"i": 0, "a": 1, "f": "stdout.log", "o": 0, "d": b"12345"})
    play.store.append_output(play.run_id, {"i": 0, "a": 1, "f": "stdout.log", "o": 5, "d": b"678"})

    assert counted(play) == {"evidence": 8}


@pytest.mark.parametrize("agent", ["", "two words", "a" * 65, 'x"}\n', "ünlaut", "%s"])
def test_agent_whose_name_is_no_plain_word_is_counted_as_other(run, agent: str) -> None:
    play = run(Spec(policy=retried(9)))

    complete_as(play, agent)
    complete_as(play, agent)

    assert counted(play) == {"attempts failed exit other": 2}


def test_there_are_only_so_many_counters_whatever_agents_are_called(run) -> None:
    play = run(Spec(policy=retried(COUNTERS_MOST + 20)), batch_max=1)

    for number in range(COUNTERS_MOST + 10):
        complete_as(play, f"agent-{number}")
    complete_as(play, "agent-1")

    found = counted(play)
    assert len(found) == COUNTERS_MOST + 1
    assert found["attempts failed exit other"] == 10
    assert found["attempts failed exit agent-1"] == 2
