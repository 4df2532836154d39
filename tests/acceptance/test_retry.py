"""`tek retry`, `--reuse`, `--diff`, `--key` and limits of time, as a person uses them."""

from __future__ import annotations

import os
import shutil
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

from support.tek import Tek
from support.waiting import wait_until

PLAN = [
    {"id": "a", "command": "echo a >> ran"},
    {"id": "b", "command": "echo b >> ran; test -e ok", "depends_on": "a"},
    {"id": "c", "command": "echo c >> ran", "depends_on": "b"},
]


def ran(tek: Tek) -> str:
    return "".join((tek.cwd / "ran").read_text().split())


def test_failed_run_goes_on_in_its_folder_when_what_was_wrong_is_mended(tek: Tek) -> None:
    tek.run(PLAN).expect(1)
    (tek.cwd / "ok").touch()

    outcome = tek("retry", "last", "--output", "json").expect(0)

    assert outcome.json["counts"] == {"succeeded": 3}
    assert ran(tek) == "abbc"
    tek("verify", "last").expect(0)
    assert len(list((tek.cwd / "runs").iterdir())) == 1


def test_one_task_and_what_depends_on_it_run_again_on_request(tek: Tek) -> None:
    (tek.cwd / "ok").touch()
    tek.run(PLAN).expect(0)

    tek("retry", "last", "--from", "b").expect(0)

    assert ran(tek) == "abcbc"
    tek("verify", "last").expect(0)


def test_nothing_runs_again_when_everything_succeeded(tek: Tek) -> None:
    tek.run([{"id": "a", "command": "true"}]).expect(0)

    outcome = tek("retry", "last").expect(0)

    assert "nothing to retry" in outcome.stderr


def test_unknown_task_and_task_behind_a_failure_are_refused(tek: Tek) -> None:
    tek.run(PLAN).expect(1)

    unknown = tek("retry", "last", "zz").expect(2)
    blocked = tek("retry", "last", "c").expect(4)

    assert "has no task `zz`" in unknown.stderr
    assert "`c`" in blocked.stderr
    assert "--failed" in blocked.stderr


def test_run_whose_submitter_was_killed_goes_on_and_repeats_nothing_that_was_brought_home(tek: Tek) -> None:
    tasks = [
        {"id": "a", "command": "echo a >> ran"},
        {"id": "b", "command": "echo b >> ran; while [ ! -e go ]; do sleep 0.05; done", "depends_on": "a"},
    ]
    started = tek.start("run", tek.write("plan.csv", tasks))
    wait_until(lambda: (tek.cwd / "ran").is_file() and ran(tek) == "ab", "the second task")
    wait_until(lambda: list(tek.cwd.glob("runs/*/tasks/a/attempt-1/result.json")), "the evidence of the first")
    ledger = next(tek.cwd.glob("runs/*/ledger.jsonl"))
    wait_until(lambda: b'"succeeded"' in ledger.read_bytes(), "its ledger entry")

    os.kill(started.pid, signal.SIGKILL)
    wait_until(lambda: not tek.worker_processes(), "the end of the worker", timeout_s=15.0)
    (tek.cwd / "go").touch()
    outcome = tek("retry", "last", "--output", "json").expect(0)

    assert outcome.json["counts"] == {"succeeded": 2}
    assert ran(tek) == "abb"
    tek("verify", "last").expect(0)


def test_what_had_failed_runs_again_as_well_when_a_killed_run_is_taken_up(tek: Tek) -> None:
    tasks = [
        *PLAN,
        {"id": "long", "command": "while [ ! -e go ]; do sleep 0.05; done"},
    ]
    started = tek.start("run", tek.write("plan.csv", tasks))
    wait_until(lambda: list(tek.cwd.glob("runs/*/ledger.jsonl")), "the ledger")
    ledger = next(tek.cwd.glob("runs/*/ledger.jsonl"))
    wait_until(lambda: b'"skipped"' in ledger.read_bytes(), "the failure")

    os.kill(started.pid, signal.SIGKILL)
    wait_until(lambda: not tek.worker_processes(), "the end of the worker", timeout_s=15.0)
    (tek.cwd / "ok").touch()
    (tek.cwd / "go").touch()
    outcome = tek("retry", "last", "--output", "json").expect(0)

    assert outcome.json["counts"] == {"succeeded": 4}
    assert ran(tek) == "abbc"
    tek("verify", "last").expect(0)


def test_run_is_taken_up_in_the_folder_that_it_began_in(tek: Tek) -> None:
    (tek.cwd / "sub").mkdir()
    (tek.cwd / "sub" / "data").write_text("there")
    plan = tek.write("plan.csv", [{"id": "a", "command": "cat data && test -e ok"}])
    tek("run", plan, "--set", "worker.project_dir=sub", "--max-workers", 1).expect(1)
    (tek.cwd / "sub" / "ok").touch()

    tek("retry", "last").expect(0)

    assert tek("logs", "last", "a").expect(0).stdout == "there"


def test_task_that_was_done_before_the_run_cannot_run_again_in_it(tek: Tek) -> None:
    tek.run([{"id": "a", "command": "true", "status": "done"}, {"id": "b", "command": "true"}]).expect(0)

    refused = tek("retry", "last", "a").expect(4)

    assert "was done before" in refused.stderr


def test_plan_that_was_changed_at_home_is_not_taken_up(tek: Tek) -> None:
    tek.run(PLAN).expect(1)
    plan = next(tek.cwd.glob("runs/*/plan.json"))
    plan.write_text(plan.read_text().replace("echo a", "echo evil"))

    refused = tek("retry", "last").expect(2)

    assert "is not what was submitted" in refused.stderr
    assert ran(tek) == "ab"


def test_run_beyond_its_deadline_goes_on_when_somebody_wants_it_to(tek: Tek) -> None:
    plan = tek.write("plan.csv", [{"id": "a", "command": "test -e ok || sleep 100"}])
    deadline = datetime.now(UTC) + timedelta(seconds=3)  # in which `tek` has begun, however busy the machine is
    stopped = tek("run", plan, "--deadline", deadline.isoformat()).expect(1)
    (tek.cwd / "ok").touch()

    tek("retry", "last").expect(0)

    assert "its time was up" in stopped.stdout


def test_run_on_a_server_that_loses_its_data_goes_on_by_itself(tek: Tek) -> None:
    tasks = [
        {"id": "a", "command": "echo a >> ran"},
        {"id": "b", "command": "echo b >> ran; while [ ! -e go ]; do sleep 0.05; done", "depends_on": "a"},
    ]
    started = tek.start("run", tek.write("plan.csv", tasks), "--output", "json")
    wait_until(lambda: list(tek.cwd.glob("runs/*/ledger.jsonl")), "the ledger")
    ledger = next(tek.cwd.glob("runs/*/ledger.jsonl"))
    wait_until(lambda: b'"succeeded"' in ledger.read_bytes() and ran(tek) == "ab", "the second task")
    (server,) = [one for one in tek.place.processes() if "valkey" in one.name() or "redis" in one.name()]
    (data,) = [Path(path) for path in tek.place.tmp.glob("tek-server-*")]

    shutil.rmtree(data / "appendonlydir")
    server.kill()
    (tek.cwd / "go").touch()
    outcome = started.finish().expect(0)

    assert outcome.json["counts"] == {"succeeded": 2}
    assert ran(tek).count("a") == 1
    tek("verify", "last").expect(0)


def test_results_of_the_last_run_are_taken_over_and_the_difference_is_told_beforehand(tek: Tek) -> None:
    (tek.cwd / "ok").touch()
    (tek.cwd / "data").write_text("1")
    tasks = [{"id": "read", "command": "cat data >> ran", "inputs": "data"}, *PLAN]
    tek.run(tasks).expect(0)
    (tek.cwd / "data").write_text("2")

    told = tek("plan", "plan.csv", "--diff", "last", "--output", "json").expect(0)
    outcome = tek("run", "plan.csv", "--reuse", "auto", "--output", "json").expect(0)

    verdicts = {task["id"]: task["verdict"] for task in told.json["diff"]["tasks"]}
    assert verdicts == {"read": "changed", "a": "reused", "b": "reused", "c": "reused"}
    assert outcome.json["counts"] == {"succeeded": 1, "satisfied": 3}
    assert sorted(ran(tek)) == sorted("1abc2")
    tek("verify", "last").expect(0)


def test_run_is_stopped_when_its_time_is_up(tek: Tek) -> None:
    plan = tek.write("plan.csv", [{"id": "a", "command": "sleep 100"}])

    outcome = tek("run", plan, "--timeout", "2s", "--output", "json").expect(1)

    assert outcome.json["status"] == "failed"
    assert outcome.json["counts"] == {"cancelled": 1}
    assert "sleep 100" not in tek.place.listing()


def test_repeated_submission_with_a_key_is_one_run(node: Tek) -> None:
    plan = node.write("keyed.csv", [{"id": "a", "command": "true"}])

    first = node("submit", plan, "--key", "nightly", "--output", "quiet").expect(0).stdout
    second = node("submit", plan, "--key", "nightly", "--output", "quiet").expect(0).stdout
    other = node("submit", node.write("other.csv", [{"id": "b"}]), "--key", "nightly").expect(4)

    assert first == second
    assert "stands for run" in other.stderr
    node("collect", first.strip(), "--wait").expect(0)


def test_run_on_a_cluster_runs_again_in_place(node: Tek) -> None:
    sign = node.cwd / "mended"
    plan = node.write("cluster.csv", [{"id": "a", "command": f"test -e {sign}"}, {"id": "b", "depends_on": "a"}])
    run_id = node("submit", plan, "--wait", "--output", "quiet").expect(1).stdout.strip()
    sign.touch()

    outcome = node("retry", run_id, "--wait", "--output", "json").expect(0)

    assert outcome.json["counts"] == {"succeeded": 2}
    node("verify", run_id).expect(0)
