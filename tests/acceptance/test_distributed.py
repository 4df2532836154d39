"""The example of a distributed task, as its guide has people run it."""

from __future__ import annotations

import shutil
from pathlib import Path

from support.tek import Tek

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_four_ranks_of_the_example_train_together(tek: Tek) -> None:
    shutil.copytree(EXAMPLES, tek.cwd / "examples")

    outcome = tek("run", "examples/train.yaml", "--max-workers", 4, "--output", "json")

    assert outcome.status == 0, outcome.stderr
    home = tek.home(outcome)
    assert home.record("train")["result"]["ranks"] == 4
    assert '"ranks":4' in home.stdout("report")
    assert "rank 3 of 4" in (home.attempt("train") / "rank-3" / "stdout.log").read_text()
    tek("verify", "last").expect(0)


def test_ranks_for_which_there_is_no_room_are_refused(tek: Tek) -> None:
    shutil.copytree(EXAMPLES, tek.cwd / "examples")

    assert tek("run", "examples/train.yaml", "--max-workers", 3).status == 4
