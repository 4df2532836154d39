"""What tasks receive from those before them, and what they leave at home."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from support.live import LiveCluster, make_plan

from taskexec.completion.ledger import check_chain
from taskexec.plan import Plan


def test_results_of_python_tasks_are_inputs_of_their_dependents(live: LiveCluster) -> None:
    home = live.carry_out(
        [
            {"id": "one", "agent": "python", "command": 'steps:make {"n": 1}'},
            {"id": "two", "agent": "python", "command": "steps:make [2]"},
            {"id": "sum", "agent": "python", "command": "steps:total", "depends_on": "one;two"},
        ]
    )

    assert home.record("sum")["result"] == 3


def test_exception_of_a_python_task_is_its_error_and_its_traceback_is_kept(live: LiveCluster) -> None:
    home = live.carry_out([{"id": "bad", "agent": "python", "command": "steps:fail"}])

    assert home.results["bad"]["error"] == "`steps:fail`: ValueError: no such luck"
    assert "Traceback" in (home.attempt("bad") / "stderr.log").read_text()


def test_shell_task_reads_the_results_that_its_dependencies_left_as_json(live: LiveCluster) -> None:
    home = live.carry_out(
        [
            {"id": "p", "agent": "python", "command": 'steps:make {"n": 7}'},
            {"id": "nothing", "command": "true"},
            {"id": "s", "command": 'cat "$TEK_INPUTS"', "depends_on": "p;nothing"},
        ]
    )

    assert json.loads(home.stdout("s")) == {"p": {"n": 7}}


def test_json_left_in_tek_result_is_the_result(live: LiveCluster) -> None:
    home = live.carry_out(
        [
            {"id": "a", "command": """echo talk; echo '{"n": 5}' > "$TEK_RESULT" """},
            {"id": "b", "agent": "python", "command": "steps:total", "depends_on": "a"},
        ]
    )

    assert home.record("a")["result"] == {"n": 5}
    assert home.record("b")["result"] == 5


def test_result_that_is_not_json_fails_the_attempt(live: LiveCluster) -> None:
    home = live.carry_out([{"id": "a", "command": 'echo NaN > "$TEK_RESULT"'}])

    assert home.results["a"]["status"] == "failed"
    assert home.results["a"]["reason"] == "exit"


def test_standard_output_is_the_result_of_a_shell_task_that_left_none(live: LiveCluster) -> None:
    home = live.carry_out(
        [{"id": "a", "command": "echo one; echo two"}, {"id": "b", "command": 'cat "$TEK_INPUTS"', "depends_on": "a"}]
    )

    assert json.loads(home.stdout("b")) == {"a": "one\ntwo"}


def test_task_is_told_its_run_task_and_attempt_and_nothing_of_the_worker(live: LiveCluster) -> None:
    home = live.carry_out([{"id": "who", "command": "env | grep ^TEK_ | sort"}])

    told = dict(line.split("=", 1) for line in home.stdout("who").splitlines())
    assert (told["TEK_RUN"], told["TEK_TASK"], told["TEK_ATTEMPT"]) == (home.summary["run_id"], "who", "1")
    assert set(told) == {
        *("TEK_RUN", "TEK_TASK", "TEK_ATTEMPT", "TEK_OUTPUT", "TEK_RESULT", "TEK_INPUTS"),
        *("TEK_WORKER", "TEK_SLOT"),
    }


def with_variables() -> Plan:
    command = {"argv": ["/bin/sh", "-c", 'echo "$KEY $TEK_TASK"'], "env": {"KEY": "hidden", "TEK_TASK": "another"}}
    return make_plan([{"id": "a"}], payloads={"a": {"commands": [command]}})


def test_command_sees_its_variables_and_its_record_only_names_them(live: LiveCluster) -> None:
    home = live.carry_out(with_variables())

    assert home.stdout("a") == "hidden a\n"
    (command,) = home.results["a"]["commands"]
    assert command["env"] == ["KEY", "TEK_TASK"]
    assert home.record("a")["commands"] == [command]


def test_dry_run_names_variables_and_hides_their_values(live: LiveCluster) -> None:
    home = live.carry_out(with_variables(), dry_run=True)

    assert home.stdout("a").startswith("dry run: would run KEY=… TEK_TASK=… echo ")
    assert "hidden" not in home.stdout("a")


def test_files_in_tek_output_come_home_with_their_folders(live: LiveCluster) -> None:
    command = 'cd "$TEK_OUTPUT" && mkdir -p deep/er && printf x > deep/er/x.txt && : > empty && ln -s /etc/passwd link'

    home = live.carry_out([{"id": "a", "command": command}])

    files = home.attempt("a") / "files"
    found = {str(path.relative_to(files)): path.read_bytes() for path in files.rglob("*") if path.is_file()}
    assert found == {"deep/er/x.txt": b"x", "empty": b""}
    assert home.record("a")["files"]["files/deep/er/x.txt"]["sha256"] == hashlib.sha256(b"x").hexdigest()


def test_binary_output_comes_home_byte_for_byte(live: LiveCluster, tmp_path: Path) -> None:
    data = bytes(range(256)) * 4
    (tmp_path / "data").write_bytes(data)

    home = live.carry_out([{"id": "a", "command": f"cat {tmp_path}/data; cat {tmp_path}/data >&2"}])

    assert (home.attempt("a") / "stdout.log").read_bytes() == data
    assert (home.attempt("a") / "stderr.log").read_bytes() == data


def test_output_of_a_megabyte_comes_home_in_chunks_with_its_digest(live: LiveCluster, tmp_path: Path) -> None:
    data = b"".join(b"%07d\n" % number for number in range(125_000))
    (tmp_path / "data").write_bytes(data)

    home = live.carry_out([{"id": "a", "command": f"cat {tmp_path}/data"}])

    account = home.record("a")["files"]["stdout.log"]
    assert (home.attempt("a") / "stdout.log").read_bytes() == data
    assert account == {"bytes": 1_000_000, "sha256": hashlib.sha256(data).hexdigest()}


def test_output_above_the_limit_is_cut_and_marked(live: LiveCluster) -> None:
    limit = 1024 * 1024

    home = live.carry_out([{"id": "a", "command": "head -c 1500000 /dev/zero"}])

    account = home.record("a")["files"]["stdout.log"]
    assert home.results["a"]["status"] == "succeeded"
    assert (account["bytes"], account["truncated"]) == (limit, 1_500_000 - limit)
    assert (home.attempt("a") / "stdout.log").stat().st_size == limit


def test_result_too_large_for_dependents_is_left_out_and_said_so(live: LiveCluster) -> None:
    home = live.carry_out(
        [
            {"id": "a", "command": """printf '"%0100000d"' 1 > "$TEK_RESULT" """},
            {"id": "b", "command": 'cat "$TEK_INPUTS"', "depends_on": "a"},
        ]
    )

    assert home.record("a")["result_omitted_bytes"] == 100_002
    assert json.loads(home.stdout("b")) == {}


def test_every_attempt_leaves_evidence_of_its_own(live: LiveCluster) -> None:
    home = live.carry_out([{"id": "a", "command": 'echo try $TEK_ATTEMPT; test "$TEK_ATTEMPT" = 3', "retries": 2}])

    assert home.results["a"]["status"] == "succeeded"
    assert home.results["a"]["attempts"] == 3
    assert [home.stdout("a", number) for number in (1, 2, 3)] == ["try 1\n", "try 2\n", "try 3\n"]
    assert [home.record("a", number)["status"] for number in (1, 2, 3)] == ["failed", "failed", "succeeded"]


def test_task_fails_when_its_retries_are_used_up(live: LiveCluster) -> None:
    home = live.carry_out([{"id": "a", "command": "false", "retries": 2}])

    assert (home.results["a"]["status"], home.results["a"]["attempts"]) == ("failed", 3)
    assert len(home.transitions("attempt_failed")) == 2


def test_ledger_covers_the_evidence_and_its_chain_holds(live: LiveCluster) -> None:
    home = live.carry_out([{"id": "a", "command": "echo seen"}])

    with (home.folder / "ledger.jsonl").open("rb") as lines:
        assert check_chain(lines) is None
    evidence = home.transitions("succeeded", "a")[0]["evidence"]
    for name, digest in evidence.items():
        assert hashlib.sha256((home.attempt("a") / name).read_bytes()).hexdigest() == digest


def test_program_that_is_not_there_fails_its_attempt_with_127(live: LiveCluster) -> None:
    home = live.carry_out([{"id": "a", "command": "no-such-program-here"}])

    assert (home.results["a"]["status"], home.results["a"]["exit_status"]) == ("failed", 127)
