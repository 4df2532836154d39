"""Results that travel between tasks: each attempt was given what its dependencies are recorded to have left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from support.live import Task
from support.proofs import StagedRun

from taskexec.completion.proof import Verification
from taskexec.domain.proof import given_fields, value_digest

Verify = Callable[[Path], Verification]
WIDE: list[Task] = [
    *({"id": f"t{number}", "command": "true"} for number in range(101)),
    {"id": "all", "command": "true", "depends_on": ";".join(f"t{number}" for number in range(101))},
]


def problems(found: Verification) -> list[str]:
    return [problem.what for problem in found.problems]


def test_attempt_that_was_given_another_result_is_found(tmp_path: Path, verify: Verify) -> None:
    run = StagedRun()
    run.perform(0, result={"n": 1})
    run.perform(1, **given_fields({"a": value_digest({"n": 2})}))
    run.perform(2)

    found = verify(run.bring_home(tmp_path / "run"))

    assert problems(found) == ["it was given another result of `a` than that task left"]


def test_attempt_that_was_given_no_result_where_there_is_one_is_found(tmp_path: Path, verify: Verify) -> None:
    run = StagedRun()
    run.perform(0, result={"n": 1})
    run.perform(1, given={})
    run.perform(2)

    assert problems(verify(run.bring_home(tmp_path / "run"))) == [
        "it was given another result of `a` than that task left"
    ]


def test_attempt_that_was_given_an_invented_result_is_found(tmp_path: Path, verify: Verify) -> None:
    run = StagedRun()
    run.perform(0)
    run.fail(1)
    run.perform(1, 2, **given_fields({"a": value_digest(1)}))
    run.perform(2)

    assert problems(verify(run.bring_home(tmp_path / "run"))) == [
        "it was given another result of `a` than that task left"
    ]


def test_results_of_many_tasks_have_one_digest(tmp_path: Path, verify: Verify) -> None:
    honest, other = StagedRun(WIDE), StagedRun(WIDE)
    for number in range(101):
        honest.perform(number, result=number)
        other.perform(number, result=number)
    honest.perform(101)
    other.perform(101, given_sha256="0" * 64)

    assert problems(verify(honest.bring_home(tmp_path / "honest"))) == []
    assert problems(verify(other.bring_home(tmp_path / "other"))) == [
        "it was given other results than the tasks left that it depends on"
    ]


def test_results_of_the_first_try_do_not_count_when_a_task_ran_again(tmp_path: Path, verify: Verify) -> None:
    run = StagedRun()
    run.perform(0, result=1)
    run.perform(1)
    run.perform(2)
    run.store.retry(run.run_id, [0, 1, 2], by=b"{}", request="1")
    run.perform(0, 2, result=2)
    run.perform(1, 2)
    run.perform(2, 2)

    assert problems(verify(run.bring_home(tmp_path / "run"))) == []
