"""Tasks that were done before the run: never executed, and in the way of nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from support.live import LiveCluster, Task, make_plan

from taskexec.completion.ledger import check_chain

Fresh = Callable[..., LiveCluster]


def test_only_the_rest_of_a_plan_is_executed(live: LiveCluster, tmp_path: Path) -> None:
    tasks: list[Task] = [
        {"id": "done", "command": f"touch {tmp_path}/done"},
        {"id": "also done", "command": f"touch {tmp_path}/done", "depends_on": "first"},
        {"id": "first", "command": "sleep 0.1; echo first"},
        {"id": "next", "command": 'cat "$TEK_INPUTS"', "depends_on": "done;also done;first"},
    ]

    home = live.carry_out(make_plan(tasks, satisfied={"done", "also done"}))

    assert home.summary["status"] == "succeeded"
    assert home.summary["counts"] == {"satisfied": 2, "succeeded": 2}
    assert [result["status"] for result in home.summary["results"]] == [
        *("satisfied", "satisfied", "succeeded", "succeeded")
    ]
    assert home.stdout("next") == '{"first":"first"}'
    assert {path.name for path in (home.folder / "tasks").iterdir()} == {"first", "next"}
    assert not (tmp_path / "done").exists()


def test_ledger_names_each_satisfied_task_once(live: LiveCluster) -> None:
    home = live.carry_out(make_plan([{"id": "a"}, {"id": "b", "depends_on": "a"}], satisfied={"a"}))

    assert [line["event"] for line in home.ledger if line.get("task") == "a"] == ["satisfied"]
    with (home.folder / "ledger.jsonl").open("rb") as lines:
        assert check_chain(lines) is None


def test_dependent_of_a_satisfied_task_is_skipped_for_another_that_failed(live: LiveCluster) -> None:
    tasks: list[Task] = [{"id": "done"}, {"id": "bad", "command": "false"}, {"id": "next", "depends_on": "done;bad"}]

    home = live.carry_out(make_plan(tasks, satisfied={"done"}))

    assert home.statuses == {"done": "satisfied", "bad": "failed", "next": "skipped"}
    assert home.summary["status"] == "failed"


def test_run_in_which_all_is_done_succeeds_without_a_worker(fresh: Fresh) -> None:
    live = fresh()

    home = live.carry_out(make_plan([{"id": "a"}, {"id": "b", "depends_on": "a"}], satisfied={"a", "b"}))

    assert (home.summary["status"], home.summary["counts"]) == ("succeeded", {"satisfied": 2})
    assert home.summary["started"] == home.summary["ended"]
