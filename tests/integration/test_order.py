"""The order in which a real worker carries out graphs, and what follows a failure."""

from __future__ import annotations

from pathlib import Path

from support.live import LiveCluster

AWAIT = "while [ ! -e {0} ]; do sleep 0.02; done"


def test_task_starts_when_its_own_dependency_ends_though_another_root_runs_on(
    live: LiveCluster, tmp_path: Path
) -> None:
    sign = tmp_path / "c-has-run"
    tasks = [
        {"id": "a", "command": "true"},
        {"id": "b", "command": AWAIT.format(sign), "timeout_s": 20},
        {"id": "c", "command": f"touch {sign}", "depends_on": "a"},
        {"id": "d", "command": "true", "depends_on": "a;b"},
    ]

    home = live.carry_out(tasks)

    assert home.summary["status"] == "succeeded", home.results["b"]
    assert home.results["c"]["started_at"] < home.results["b"]["finished_at"]
    assert home.order_violations(tasks) == []


def test_diamond_runs_in_order(live: LiveCluster) -> None:
    tasks = [
        {"id": "last", "depends_on": "left;right", "command": "true"},
        {"id": "left", "depends_on": "first", "command": "sleep 0.05"},
        {"id": "right", "depends_on": "first", "command": "true"},
        {"id": "first", "command": "true"},
    ]

    home = live.carry_out(tasks)

    assert set(home.statuses.values()) == {"succeeded"}
    assert home.order_violations(tasks) == []


def test_fan_out_and_fan_in_run_every_task_once(live: LiveCluster, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    say = f"echo $TEK_TASK >> {ran}"
    middle = [{"id": f"m{number}", "depends_on": "out", "command": say} for number in range(30)]
    tasks = [
        {"id": "out", "command": say},
        *middle,
        {"id": "in", "command": say, "depends_on": ";".join(task["id"] for task in middle)},
    ]

    home = live.carry_out(tasks)

    assert sorted(ran.read_text().split()) == sorted(task["id"] for task in tasks)
    assert ran.read_text().split()[0] == "out"
    assert ran.read_text().split()[-1] == "in"
    assert home.order_violations(tasks) == []


def test_failed_task_skips_what_depends_on_it_and_nothing_else(live: LiveCluster) -> None:
    home = live.carry_out(
        [
            {"id": "bad", "command": "sh -c 'exit 3'"},
            {"id": "after", "command": "true", "depends_on": "bad"},
            {"id": "later", "command": "true", "depends_on": "after;good"},
            {"id": "good", "command": "sleep 0.1"},
            {"id": "next", "command": "true", "depends_on": "good"},
        ]
    )

    assert home.summary["status"] == "failed"
    assert home.statuses == {
        "bad": "failed",
        "after": "skipped",
        "later": "skipped",
        "good": "succeeded",
        "next": "succeeded",
    }
    assert (home.results["bad"]["reason"], home.results["bad"]["exit_status"]) == ("exit", 3)
    assert home.results["later"]["because_of"] == "bad"


def test_fail_fast_cancels_what_has_not_started_and_lets_the_rest_finish(live: LiveCluster, tmp_path: Path) -> None:
    started = tmp_path / "started"
    home = live.carry_out(
        [
            {"id": "bad", "command": f"{AWAIT.format(started)}; false", "timeout_s": 20},
            {"id": "busy", "command": f"touch {started}; sleep 0.4"},
            {"id": "next", "command": "true", "depends_on": "busy"},
        ],
        fail_fast=True,
    )

    assert home.summary["status"] == "failed"
    assert home.statuses == {"bad": "failed", "busy": "succeeded", "next": "cancelled"}


def test_stopped_run_kills_what_runs_and_cancels_the_rest(live: LiveCluster, tmp_path: Path) -> None:
    run_id = live.submit(
        [{"id": "busy", "command": "sleep 300"}, {"id": "next", "command": "true", "depends_on": "busy"}]
    )
    live.await_state(run_id, "R1")

    live.store.stop(run_id, kill=True)

    assert live.finish(run_id).statuses == {"busy": "cancelled", "next": "cancelled"}


def test_dry_run_executes_nothing_and_says_what_it_would(live: LiveCluster, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    tasks = [
        {"id": "shell", "command": f"touch {touched}"},
        {"id": "python", "agent": "python", "command": "pathlib:Path.touch", "depends_on": "shell"},
    ]

    home = live.carry_out(tasks, dry_run=True)

    assert set(home.statuses.values()) == {"succeeded"}
    assert not touched.exists()
    assert home.stdout("shell") == f"dry run: would run touch {touched}\n"
    assert home.record("python")["dry_run"] is True
    assert home.record("shell")["commands"] == []
