"""`tek run`: a plan to its end, its evidence, its exit status, and what it refuses."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.tek import Finished, Tek, tek_place

from taskexec.completion.ledger import check_chain

PLAN = """id,title,command,depends_on,queue,retries
fetch,Fetch it,echo fetched; echo beside >&2,,,
build,,sh -c 'cat $TEK_INPUTS; echo made > $TEK_OUTPUT/made.txt',fetch,,
flaky,,test $TEK_ATTEMPT = 2,fetch,cpu,1
report,,,build;flaky,Nightly,
"""


@pytest.fixture(scope="module")
def done() -> Iterator[tuple[Tek, Finished]]:
    """One run that several tests look at."""
    with tek_place() as tek:
        yield tek, tek("run", tek.write("plan.csv", PLAN), "--output", "json")


def test_succeeded_run_exits_with_0_and_its_json_says_where_its_evidence_is(done: tuple[Tek, Finished]) -> None:
    tek, outcome = done

    assert (outcome.status, outcome.stderr) == (0, "")
    shape = outcome.json
    assert (shape["status"], shape["counts"], shape["failed"]) == ("succeeded", {"succeeded": 4}, [])
    assert Path(shape["folder"]) == Path("runs", shape["run_id"])
    assert (tek.cwd / shape["folder"] / "run.json").is_file()


def test_run_json_keeps_the_fields_of_the_older_kit(done: tuple[Tek, Finished]) -> None:
    tek, outcome = done

    summary = tek.home(outcome).summary

    assert {"status", "started", "ended", "results"} <= set(summary)
    for result in summary["results"]:
        assert {"task", "queue", "agent", "status", "evidence", "error", "commands"} <= set(result)
    assert [(result["task"], result["queue"], result["agent"]) for result in summary["results"]] == [
        ("fetch", "cpu", "shell"),
        ("build", "cpu", "shell"),
        ("flaky", "cpu", "shell"),
        ("report", "Nightly", "noop"),
    ]


def test_every_attempt_has_its_folder_with_logs_and_record(done: tuple[Tek, Finished]) -> None:
    tek, outcome = done
    home = tek.home(outcome)

    for task, attempts in {"fetch": 1, "build": 1, "flaky": 2, "report": 1}.items():
        for number in range(1, attempts + 1):
            names = {path.name for path in home.attempt(task, number).iterdir()}
            assert {"stdout.log", "stderr.log", "result.json"} <= names
            assert home.record(task, number)["attempt"] == number
        assert home.results[task]["evidence"] == f"tasks/{task}/attempt-{attempts}"
    assert home.stdout("fetch") == "fetched\n"
    assert json.loads(home.stdout("build")) == {"fetch": "fetched"}
    assert (home.attempt("fetch") / "stderr.log").read_text() == "beside\n"
    assert (home.attempt("build") / "files" / "made.txt").read_text() == "made\n"


def test_run_folder_holds_plan_canvas_and_a_ledger_whose_chain_holds(done: tuple[Tek, Finished]) -> None:
    tek, outcome = done
    home = tek.home(outcome)

    assert {path.name for path in home.folder.iterdir()} == {
        *("run.json", "plan.json", "canvas.json", "ledger.jsonl", "tasks", "journal.json")
    }
    assert json.loads((home.folder / "plan.json").read_text())["digest"] == home.summary["digest"]
    assert json.loads((home.folder / "canvas.json").read_text())
    with (home.folder / "ledger.jsonl").open("rb") as lines:
        assert check_chain(lines) is None
    assert home.ledger[-1]["hash"] == home.summary["ledger_head"]
    assert [line["event"] for line in home.ledger[-2:]] == ["run_ended", "signed"]


def test_finished_run_leaves_nothing_running_and_no_temporary_files(done: tuple[Tek, Finished]) -> None:
    tek, _ = done

    tek.place.assert_nothing_is_left()

    assert list(tek.place.tmp.iterdir()) == []
    assert list((tek.place.folder / "rt").iterdir()) == []


def test_people_see_counts_and_where_the_evidence_is(tek: Tek) -> None:
    outcome = tek("run", tek.write("plan.csv", PLAN)).expect(0)

    assert "4 succeeded" in outcome.stdout
    assert f"evidence: runs/{tek.only_home().summary['run_id']}" in outcome.stdout


def test_failed_task_exits_with_1_and_is_named(tek: Tek) -> None:
    outcome = tek.run(
        [{"id": "bad", "command": "sh -c 'echo why >&2; exit 7'"}, {"id": "next", "depends_on": "bad"}]
    ).expect(1)

    assert (outcome.json["status"], outcome.json["counts"]) == ("failed", {"failed": 1, "skipped": 1})
    (failure,) = outcome.json["failed"]
    assert (failure["task"], failure["reason"], failure["exit_status"]) == ("bad", "exit", 7)


def test_all_faults_of_a_plan_are_told_at_once_and_nothing_is_started(tek: Tek) -> None:
    plan = "id,command,depends_on,retries\na,touch x,nobody,\na,touch x,,\nb,touch x,c,many\nc,'x,b,\n"

    outcome = tek("run", tek.write("plan.csv", plan)).expect(2)

    for code in ("plan.unknown_dependency", "plan.duplicate_id", "csv.number", "csv.command"):
        assert f"error[{code}]" in outcome.stderr, outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert outcome.stdout == ""
    assert {path.name for path in tek.cwd.iterdir()} == {"plan.csv"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("run",),
        ("run", "missing.csv"),
        ("run", "--no-such-option"),
        ("run", "plan.csv", "--set", "worker.nothing=1"),
        ("nothing",),
    ],
)
def test_usage_error_exits_with_2(tek: Tek, arguments: tuple[str, ...]) -> None:
    tek.write("plan.csv", "id\na\n")

    outcome = tek(*arguments).expect(2)

    assert outcome.stderr.startswith("error[")
    assert "Traceback" not in outcome.stderr


def test_server_that_is_not_there_exits_with_3(tek: Tek) -> None:
    outcome = tek("submit", tek.write("plan.csv", "id\na\n"), "--broker", "redis://127.0.0.1:1").expect(3)

    assert "error[cluster.connection]" in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_server_program_that_is_not_one_exits_with_3(tek: Tek) -> None:
    plan = tek.write("plan.csv", "id\na\n")

    outcome = tek("run", plan, "--set", "embedded.server_binary=/no/such/server").expect(3)

    assert "error[server.missing]" in outcome.stderr


@pytest.mark.parametrize("need", ["cpus", "gpus", "memory_mb"])
def test_task_that_could_never_run_here_exits_with_4_and_nothing_is_started(tek: Tek, need: str) -> None:
    outcome = tek.run([{"id": "big", need: "99999", "command": "touch big"}, {"id": "small"}]).expect(4)

    assert "error[needs.unmet]: task `big` can never run" in outcome.stderr
    assert "`small`" not in outcome.stderr
    assert {path.name for path in tek.cwd.iterdir()} == {"plan.csv"}


def test_fail_fast_cancels_what_had_not_started(tek: Tek) -> None:
    tasks = [
        {"id": "bad", "command": "false"},
        {"id": "slow", "command": "sleep 0.6"},
        {"id": "next", "depends_on": "slow"},
    ]

    outcome = tek.run(tasks, "--fail-fast", "--max-workers", 2).expect(1)

    assert tek.home(outcome).statuses["next"] == "cancelled"


def test_python_task_finds_the_modules_of_the_project_folder(tek: Tek) -> None:
    tek.write("mine.py", "def twice(n):\n    return 2 * n\n")

    outcome = tek.run([{"id": "a", "agent": "python", "command": 'mine:twice {"n": 21}'}]).expect(0)

    assert tek.home(outcome).record("a")["result"] == 42


def test_settings_file_of_the_folder_holds_for_the_run(tek: Tek) -> None:
    tek.write("tek.toml", '[evidence]\nruns_dir = "elsewhere"\n')

    outcome = tek.run([{"id": "a"}]).expect(0)

    assert outcome.json["folder"].startswith("elsewhere/")


SOT = """# State of Truth

### G. Execution Queue & Task Hooks

1. **Queue A — Foundations**
   - Tasks: `A-1`, `A-2`
   - Order: sequential
2. **Queue B — Walls**
   - Tasks: `B-1`
   - Depends on: `Queue A`
"""
HOOKS = {
    "Queue A — Foundations": {"commands": [{"cwd": "sub", "cmd": ["sh", "-c", "echo lane $TEK_TASK >> ../said"]}]},
    "A-2": {"commands": [{"cmd": "echo own $TEK_TASK >> said"}, {"cmd": ["sh", "-c", "echo second >> said"]}]},
}


def test_state_of_truth_with_hooks_runs_exactly_the_mapped_commands(tek: Tek) -> None:
    (tek.cwd / "sub").mkdir()
    sot, hooks = tek.write("sot.md", SOT), tek.write("hooks.json", json.dumps(HOOKS))

    outcome = tek("run", sot, "--hooks", hooks, "--output", "json").expect(0)

    assert (tek.cwd / "said").read_text().splitlines() == ["lane A-1", "own A-2", "second"]
    home = tek.home(outcome)
    assert [result["agent"] for result in home.summary["results"]] == ["shell", "shell", "noop"]
    assert [len(result["commands"]) for result in home.summary["results"]] == [1, 2, 0]
    assert home.results["B-1"]["queue"] == "Queue B — Walls"


def test_spelling_of_the_older_kit_is_understood(tek: Tek) -> None:
    sot, hooks = tek.write("sot.md", SOT), tek.write("hooks.json", json.dumps(HOOKS))

    tek("plan", "--sot", sot, "--hooks", hooks, "--out", "plan.json").expect(0)
    outcome = tek("run", "--plan", "plan.json", "--dry-run", "--max-workers", 4, "--output", "json").expect(0)

    assert outcome.json["counts"] == {"succeeded": 3}
    assert not (tek.cwd / "said").exists()
    home = tek.home(outcome)
    assert home.summary["dry_run"] is True
    assert home.stdout("A-1").startswith("dry run: would run sh -c")


def test_plan_of_the_older_kits_version_is_carried_out(tek: Tek) -> None:
    plan = {
        "version": 1,
        "source": "SOT.md",
        "queues": [{"name": "Queue A — X", "tasks": [{"id": "T-1", "title": "One", "layer": 1}, {"id": "T-2"}]}],
    }

    outcome = tek("run", "--plan", tek.write("plan.json", json.dumps(plan)), "--output", "json").expect(0)

    assert [result["queue"] for result in tek.home(outcome).summary["results"]] == ["Queue A — X"] * 2


def done_plan(tasks: dict[str, list[str]], *, satisfied: set[str]) -> str:
    """Return a plan of tasks with these dependencies, which leave a file each; ask for more than there is if done."""
    members: list[dict[str, object]] = []
    for name, before in tasks.items():
        payload = {"commands": [{"argv": ["touch", f"{name}.ran"]}]}
        member: dict[str, object] = {"id": name, "agent": "shell", "payload": payload, "depends_on": before}
        members.append(member | ({"satisfied": True, "cpus": 99_999} if name in satisfied else {}))
    return json.dumps({"version": 2, "tasks": members})


def test_what_a_plan_says_is_done_is_not_executed_and_counts_as_succeeded(tek: Tek) -> None:
    graph = {"spec": [], "build": ["spec"], "test": ["build"], "ship": ["build", "test"]}
    plan = tek.write("plan.json", done_plan(graph, satisfied={"spec", "build"}))

    outcome = tek("run", plan, "--output", "json").expect(0)

    assert {path.name for path in tek.cwd.glob("*.ran")} == {"test.ran", "ship.ran"}
    assert outcome.json["counts"] == {"satisfied": 2, "succeeded": 2}
    home = tek.home(outcome)
    assert {path.name for path in (home.folder / "tasks").iterdir()} == {"test", "ship"}
    events = tek("events", "last", "--output", "json").expect(0).json
    assert [(event["id"], event["status"], event["attempts"]) for event in events] == [
        *(("spec", "satisfied", 0), ("build", "satisfied", 0)),
        *(("test", "succeeded", 1), ("ship", "succeeded", 1)),
    ]
    assert (events[0]["started_at"], events[0]["finished_at"]) == (None, None)
    assert tek("status").expect(0).stdout.count("2 satisfied") == 1
    logs = tek("logs", "last", "spec").expect(0)
    assert (logs.stdout, logs.stderr) == ("", "task `spec` was done before the run and was not executed\n")


def test_plan_in_which_all_is_done_succeeds_at_once(tek: Tek) -> None:
    plan = tek.write("plan.json", done_plan({"a": [], "b": ["a"]}, satisfied={"a", "b"}))

    outcome = tek("run", plan, "--output", "json").expect(0)

    assert (outcome.json["status"], outcome.json["counts"]) == ("succeeded", {"satisfied": 2})
    assert json.loads((tek.home(outcome).folder / "canvas.json").read_text())["stages"] == []
    tek.place.assert_nothing_is_left()


HOSTILE = [
    *("../../x", "..", "/etc/passwd", "a b", "it's", 'say "hi"', "$(touch pwned)", "`touch pwned`", "; touch pwned"),
    *("größe", "日本語", "a\u202eb", "-rf", ".hidden", "a/b", "x" * 200, "~", "CON", "attempt-1", "a%s", "{run}", "*"),
]


def test_hostile_ids_neither_leave_the_run_folder_nor_reach_a_shell(tek: Tek) -> None:
    tasks = [{"id": name, "command": "sh -c 'echo x > $TEK_OUTPUT/f; echo ran'"} for name in HOSTILE]
    tasks.append({"id": "all", "command": "true", "depends_on": ";".join(n for n in HOSTILE if ";" not in n)})

    outcome = tek.run(tasks).expect(0)

    home = tek.home(outcome)
    assert set(home.statuses) == {*HOSTILE, "all"}
    assert set(home.statuses.values()) == {"succeeded"}
    assert not list(tek.place.folder.rglob("pwned"))
    for name in HOSTILE:
        assert home.attempt(name).parent.parent == home.folder / "tasks"
        assert (home.attempt(name) / "files" / "f").read_text() == "x\n"
    assert {path.name for path in tek.cwd.iterdir()} == {"plan.csv", "runs"}
    assert len(list((home.folder / "tasks").iterdir())) == len(tasks)


def test_hostile_id_can_be_asked_for_its_output(tek: Tek) -> None:
    tek.run([{"id": "../../x $(touch pwned)", "command": "echo seen"}]).expect(0)

    assert tek("logs", "last", "../../x $(touch pwned)").expect(0).stdout == "seen\n"


def test_id_with_a_line_break_is_refused(tek: Tek) -> None:
    outcome = tek.run([{"id": "a\nb", "command": "touch pwned"}]).expect(2)

    assert "error[plan.id_character]" in outcome.stderr
    assert not (tek.cwd / "pwned").exists()


def test_what_tek_prints_of_an_id_cannot_steer_the_terminal(tek: Tek) -> None:
    outcome = tek("run", tek.write("plan.csv", [{"id": "a\u202eb", "command": "false"}])).expect(1)

    assert "\u202e" not in outcome.stdout + outcome.stderr


def test_unwritable_runs_folder_is_told_without_a_traceback(tek: Tek) -> None:
    (tek.cwd / "runs").write_text("a file")

    outcome = tek.run([{"id": "a"}])

    assert outcome.status in {2, 3}
    assert "Traceback" not in outcome.stderr
    assert os.listdir(tek.place.tmp) == []
