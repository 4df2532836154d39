"""Tests of attempts' processes: how they end, what is captured, what they get, what they may leave behind."""

from __future__ import annotations

import errno
import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from taskexec.agents import Assignment, Exit, python_helper
from taskexec.domain.command import Command
from taskexec.domain.states import Reason
from taskexec.runtime.confinement import Confiner
from taskexec.runtime.workplace import AttemptRunner, Workplace, WorkplaceFailed

RunnerOf = Callable[..., AttemptRunner]


def shell(text: str, cwd: str | None = None, **env: str) -> Command:
    return Command(("/bin/sh", "-c", text), cwd, env)


def python(text: str) -> Command:
    return Command((sys.executable, "-S", "-c", text))


def test_exit_status_is_told(runner_of: RunnerOf) -> None:
    exit_ = runner_of().run(shell("exit 7"))

    assert (exit_.status, exit_.signal, exit_.ended_by) == (7, None, None)


def test_signal_is_told(runner_of: RunnerOf) -> None:
    exit_ = runner_of().run(shell("kill -USR1 $$"))

    assert (exit_.status, exit_.signal) == (None, 10)


def test_process_does_not_inherit_our_signal_settings(runner_of: RunnerOf) -> None:
    exit_ = runner_of().run(shell("kill -PIPE $$"))  # Python ignores SIGPIPE

    assert exit_.signal == 13


def test_time_limit_ends_a_process(runner_of: RunnerOf) -> None:
    exit_ = runner_of(timeout_s=0.1).run(shell("exec sleep 30"))

    assert (exit_.ended_by, exit_.signal) == (Reason.TIMEOUT, 15)
    assert exit_.duration_s < 5


def test_process_that_ends_itself_on_term_may_clean_up(runner_of: RunnerOf, kept: Any) -> None:
    text = "trap 'echo cleaned; exit 3' TERM; sleep 30 & wait"

    exit_ = runner_of(timeout_s=0.3).run(shell(text))

    assert (exit_.status, exit_.ended_by) == (3, Reason.TIMEOUT)
    assert kept.content("stdout.log") == b"cleaned\n"


def test_process_that_ignores_term_is_killed_after_the_grace(runner_of: RunnerOf) -> None:
    exit_ = runner_of(timeout_s=0.1, grace_s=0.1).run(shell("trap '' TERM; sleep 30"))

    assert (exit_.signal, exit_.ended_by) == (9, Reason.TIMEOUT)


def test_time_limit_is_one_for_all_commands_of_an_attempt(runner_of: RunnerOf) -> None:
    runner = runner_of(timeout_s=0.3)

    first, second = runner.run(shell("exec sleep 0.1")), runner.run(shell("exec sleep 30"))

    assert (first.ended_by, second.ended_by) == (None, Reason.TIMEOUT)
    assert first.duration_s + second.duration_s < 5


def test_children_of_a_process_end_with_it(runner_of: RunnerOf, tmp_path: Path, ends: Callable[[int], bool]) -> None:
    pid_file = tmp_path / "pid"

    exit_ = runner_of().run(shell(f"(sleep 60 >/dev/null 2>&1 & echo $! > {pid_file}) & wait; exit 0"))

    assert exit_.status == 0
    assert ends(int(pid_file.read_text()))


def test_child_that_ignores_term_ends_with_its_parent(
    runner_of: RunnerOf, tmp_path: Path, ends: Callable[[int], bool]
) -> None:
    pid_file = tmp_path / "pid"
    text = f"sh -c 'trap \"\" TERM; echo $$ > {pid_file}; sleep 60; sleep 60' & wait"

    exit_ = runner_of(timeout_s=0.3).run(shell(text))

    assert exit_.ended_by is Reason.TIMEOUT
    assert ends(int(pid_file.read_text()))


def test_child_left_behind_with_the_pipe_open_blocks_nothing(runner_of: RunnerOf, kept: Any) -> None:
    exit_ = runner_of().run(shell("echo done; sleep 60 & exit 0"))

    assert exit_.status == 0
    assert exit_.duration_s < 5
    assert kept.content("stdout.log") == b"done\n"


def test_child_left_behind_that_writes_for_ever_blocks_nothing(runner_of: RunnerOf) -> None:
    exit_ = runner_of().run(shell("yes & exit 0"))

    assert exit_.status == 0
    assert exit_.duration_s < 5


def test_child_in_a_session_of_its_own_that_writes_for_ever_blocks_nothing(
    runner_of: RunnerOf, tmp_path: Path, ends: Callable[[int], bool]
) -> None:
    pid_file = tmp_path / "pid"
    text = f"setsid sh -c 'echo $$ > {pid_file}; exec yes' & until [ -s {pid_file} ]; do :; done"

    exit_ = runner_of().run(shell(text))

    assert exit_.status == 0
    assert ends(int(pid_file.read_text()))  # of SIGPIPE: nobody reads any more


def test_both_streams_are_kept_apart(runner_of: RunnerOf, kept: Any) -> None:
    runner_of().run(shell("echo out; echo err >&2"))

    assert kept.content("stdout.log") == b"out\n"
    assert kept.content("stderr.log") == b"err\n"


def test_output_larger_than_a_pipe_is_kept_whole(runner_of: RunnerOf, kept: Any) -> None:
    code = "import sys; sys.stdout.write('o' * 300_000); sys.stderr.write('e' * 300_000)"

    runner_of().run(python(code))

    assert kept.content("stdout.log") == b"o" * 300_000
    assert kept.content("stderr.log") == b"e" * 300_000


def test_standard_input_is_empty(runner_of: RunnerOf, kept: Any) -> None:
    assert runner_of().run(shell("cat; read x")).status == 1
    assert kept.content("stdout.log") == b""


def test_command_starts_in_its_folder(runner_of: RunnerOf, kept: Any, tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()

    runner_of().run(shell("pwd", cwd=str(tmp_path / "a b")))

    assert kept.content("stdout.log").decode() == f"{tmp_path / 'a b'}\n"


@pytest.mark.parametrize("name", ["sub", "-", "-P"])
def test_relative_folder_is_ours_whatever_the_shell_makes_of_it(
    name: str, place: Workplace, runner_of: RunnerOf, kept: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "project" / name).mkdir(parents=True)
    (tmp_path / "elsewhere" / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "project")
    place.environ |= {"CDPATH": str(tmp_path / "elsewhere"), "OLDPWD": "/"}

    runner_of().run(shell("pwd", cwd=name))

    assert kept.content("stdout.log").decode() == f"{tmp_path / 'project' / name}\n"


def test_missing_folder_is_an_error_and_leaks_nothing(runner_of: RunnerOf, tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")

    with pytest.raises(FileNotFoundError):
        runner_of().run(shell("true", cwd=str(tmp_path / "none")))

    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize("program", ["no-such-program-of-ours", "/etc/passwd"])
def test_program_that_cannot_start_is_an_error(program: str, runner_of: RunnerOf) -> None:
    with pytest.raises(OSError):
        runner_of().run(Command((program,)))


def test_finished_commands_leave_no_descriptor_open(runner_of: RunnerOf) -> None:
    runner = runner_of()
    before = len(os.listdir("/proc/self/fd"))

    for _ in range(3):
        runner.run(shell("echo x"))

    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("cwd", [None, "."])
def test_variables_of_a_command_come_on_top_of_ours(cwd: str | None, runner_of: RunnerOf, kept: Any) -> None:
    runner_of().run(shell('echo "$HOME|$ADDED|${PATH:+kept}"', cwd, HOME="/nowhere", ADDED="a b\n$HOME"))

    assert kept.content("stdout.log") == b"/nowhere|a b\n$HOME|kept\n"


def test_variables_of_one_command_are_gone_with_the_next(runner_of: RunnerOf, kept: Any) -> None:
    runner = runner_of()

    runner.run(shell('echo "[$ADDED]"', ADDED="x"))
    runner.run(shell('echo "[$ADDED]"'))

    assert kept.content("stdout.log") == b"[x]\n[]\n"


def test_variables_of_the_run_cannot_be_replaced(runner_of: RunnerOf, kept: Any) -> None:
    names = ("RUN", "TASK", "ATTEMPT", "OUTPUT", "INPUTS", "RESULT", "WORKER", "SLOT")
    code = "import json, os; print(json.dumps({k: v for k, v in os.environ.items() if k.startswith('TEK_')}))"
    command = python(code)

    runner_of().run(Command(command.argv, env={f"TEK_{name}": "false" for name in names} | {"TEK_MINE": "mine"}))

    variables = json.loads(kept.content("stdout.log"))
    assert variables.pop("TEK_MINE") == "mine"
    assert set(variables) == {f"TEK_{name}" for name in names}
    assert "false" not in variables.values()


def test_processes_get_the_variables_of_their_attempt_and_no_others_of_ours(
    runner_of: RunnerOf, kept: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import json, os; print(json.dumps({k: v for k, v in os.environ.items() if k.startswith('TEK_')}))"

    runner_of(before=1).run(python(code))

    variables = json.loads(kept.content("stdout.log"))
    assert {name: variables.pop(name) for name in ("TEK_RUN", "TEK_TASK", "TEK_ATTEMPT")} == {
        "TEK_RUN": "r",
        "TEK_TASK": "t",
        "TEK_ATTEMPT": "2",
    }
    assert {name: variables.pop(name) for name in ("TEK_WORKER", "TEK_SLOT")} == {
        "TEK_WORKER": "tek-test@here",
        "TEK_SLOT": str(os.getpid()),
    }
    assert set(variables) == {"TEK_OUTPUT", "TEK_RESULT", "TEK_INPUTS"}


def test_inputs_are_a_file_with_the_results_of_the_dependencies(runner_of: RunnerOf, kept: Any) -> None:
    runner_of(before={"n": 1}, other=None).run(shell('cat "$TEK_INPUTS"'))

    assert json.loads(kept.content("stdout.log")) == {"before": {"n": 1}}


def test_without_results_of_dependencies_the_inputs_are_empty(runner_of: RunnerOf, kept: Any) -> None:
    runner_of(before=None).run(shell('cat "$TEK_INPUTS"'))

    assert kept.content("stdout.log") == b"{}"


def test_inputs_that_a_task_has_overwritten_are_empty_again_for_the_next(runner_of: RunnerOf, kept: Any) -> None:
    runner_of().run(shell('printf "[]" > "$TEK_INPUTS"'))

    runner_of().run(shell('cat "$TEK_INPUTS"'))

    assert kept.content("stdout.log") == b"{}"


def test_files_in_the_output_folder_become_evidence(runner_of: RunnerOf, kept: Any) -> None:
    runner = runner_of()
    runner.run(shell('mkdir "$TEK_OUTPUT/sub"; echo hi > "$TEK_OUTPUT/sub/f"; : > "$TEK_OUTPUT/empty"'))

    runner.collect()

    files, inline = kept.evidence.close()
    assert set(files) == {"stdout.log", "stderr.log", "files/sub/f", "files/empty"}
    assert kept.content("files/sub/f") == b"hi\n"
    assert inline["files/empty"] == ""


def test_nothing_of_an_attempt_stays_in_the_scratch_folder(runner_of: RunnerOf, place: Workplace) -> None:
    runner = runner_of(before=1)
    runner.run(shell('echo 1 > "$TEK_RESULT"; echo x > "$TEK_OUTPUT/f"; exit 0'))

    runner.collect()

    assert list(place.scratch.iterdir()) == []


def test_attempt_without_a_process_touches_no_file(runner_of: RunnerOf, place: Workplace) -> None:
    runner_of(before=1).collect()

    assert list(place.scratch.iterdir()) == []


def test_written_json_is_the_result(runner_of: RunnerOf) -> None:
    runner = runner_of()
    runner.run(shell("""echo noise; echo '{"n": [1, 2]}' > "$TEK_RESULT" """))

    assert runner.written_result() == {"n": [1, 2]}


@pytest.mark.parametrize("text", ["", "{", "NaN", "Infinity", "\\0377"])
def test_written_text_that_is_not_json_is_refused(text: str, runner_of: RunnerOf) -> None:
    runner = runner_of()
    runner.run(shell(f"""printf '{text}' > "$TEK_RESULT" """))

    with pytest.raises(ValueError):
        runner.written_result()


def test_standard_output_is_the_result_when_nothing_was_written(runner_of: RunnerOf) -> None:
    runner = runner_of()
    runner.run(shell("echo 42"))

    assert runner.written_result() == "42"


def test_standard_output_is_the_result_even_when_it_was_sent_on_meanwhile(runner_of: RunnerOf, kept: Any) -> None:
    runner = runner_of()
    runner.run(shell("echo 42"))
    kept.evidence.flush()

    assert runner.written_result() == "42"


def test_no_output_is_no_result(runner_of: RunnerOf) -> None:
    runner = runner_of()
    runner.run(shell("echo"))

    assert runner.written_result() is None


def test_aborted_process_ends_and_none_follows(runner_of: RunnerOf, tmp_path: Path) -> None:
    runner = runner_of()
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    exits: list[Exit] = []
    thread = threading.Thread(
        target=lambda: exits.append(runner.run(shell(f"echo x > {fifo}; exec sleep 30"))), daemon=True
    )
    thread.start()
    fifo.read_text()  # it runs now

    runner.abort(Reason.CANCELLED)
    thread.join(10)

    (first,) = exits
    assert (first.ended_by, first.signal) == (Reason.CANCELLED, 15)
    assert runner.run(shell("true")).ended_by is Reason.CANCELLED


def test_disk_that_is_full_is_no_failure_of_the_command(
    runner_of: RunnerOf, place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(place, "take_folder", refuse)
    runner = runner_of()

    with pytest.raises(WorkplaceFailed, match="No space left on device"):
        runner.run(shell("true"))

    runner.collect()


@pytest.mark.parametrize("has_files", [False, True])
def test_output_folder_that_became_a_link_leaves_nothing_and_is_not_given_to_the_next(
    has_files: bool, runner_of: RunnerOf, place: Workplace, kept: Any, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    if has_files:
        (theirs / "precious").write_text("mine")
    runner = runner_of()
    runner.run(shell(f'rmdir "$TEK_OUTPUT"; ln -s {theirs} "$TEK_OUTPUT"'))

    runner.collect()
    following = runner_of()
    following.run(shell('echo secret > "$TEK_OUTPUT/x"'))

    assert {path.name: path.read_text() for path in theirs.iterdir()} == ({"precious": "mine"} if has_files else {})
    following.collect()
    assert kept.content("files/x") == b"secret\n"
    assert "files/precious" not in kept.evidence.close()[0]
    assert [path.name for path in place.scratch.iterdir() if path.is_symlink()] == []


@pytest.mark.parametrize("instead", ["true", ': > "$TEK_OUTPUT"', 'mkfifo "$TEK_OUTPUT"'])
def test_output_folder_that_is_gone_leaves_nothing(
    instead: str, runner_of: RunnerOf, place: Workplace, kept: Any
) -> None:
    runner = runner_of()
    runner.run(shell(f'rmdir "$TEK_OUTPUT"; {instead}'))

    runner.collect()
    following = runner_of()
    following.run(shell('echo 1 > "$TEK_OUTPUT/x"'))
    following.collect()

    assert kept.content("files/x") == b"1\n"
    assert [path.name for path in place.scratch.iterdir() if path.name.endswith(".out")] == []


def test_spare_folder_that_became_a_link_is_not_given_to_the_next(
    runner_of: RunnerOf, place: Workplace, kept: Any, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    runner = runner_of()
    runner.run(shell("true"))
    runner.collect()
    (spare,) = place.scratch.glob("*.out")
    spare.rmdir()
    spare.symlink_to(theirs)  # as a process may that has escaped

    following = runner_of()
    following.run(shell('echo 1 > "$TEK_OUTPUT/x"'))
    following.collect()

    assert list(theirs.iterdir()) == []
    assert kept.content("files/x") == b"1\n"


def test_folder_of_helpers_that_became_a_link_is_made_anew(place: Workplace, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    Path(place.scratch, "helper.out").symlink_to(theirs)

    folder = Path(place.helper_folder())

    assert folder.is_dir()
    assert not folder.is_symlink()


def test_usage_of_all_processes_is_added_up(runner_of: RunnerOf) -> None:
    runner = runner_of()
    before = runner.usage

    runner.run(python("sum(range(10**6))"))
    first = runner.usage
    runner.run(python("sum(range(10**6))"))

    assert before is None
    assert first is not None
    assert runner.usage is not None
    assert 0 < first.cpu_s < runner.usage.cpu_s


def test_peak_is_known_of_an_attempt_that_holds_more_than_its_worker_does_now(runner_of: RunnerOf) -> None:
    held_mib = psutil.Process().memory_info().rss >> 20
    peak = bytearray((held_mib + 300) << 20)  # as where a worker once had a large file in its hands
    del peak
    runner = runner_of()

    runner.run(python(f"x = bytearray({held_mib + 100} << 20)"))

    assert runner.usage is not None
    assert held_mib + 100 <= runner.usage.peak_memory_mib < held_mib + 300


def test_peak_that_is_lower_than_what_the_worker_holds_is_not_known(runner_of: RunnerOf) -> None:
    runner = runner_of()

    runner.run(shell("true"))

    assert runner.usage is not None
    assert runner.usage.peak_memory_mib == 0


def test_helper_that_is_warm_tells_the_cpu_time_of_each_attempt(runner_of: RunnerOf) -> None:
    busy, idle = runner_of(), runner_of()
    helper = (sys.executable, str(Path(python_helper.__file__)))
    request: dict[str, Any] = {"args": [], "kwargs": {}, "inputs": {}}

    busy.ask(helper, {**request, "call": "math:factorial", "args": [20_000]})
    idle.ask(helper, {**request, "call": "os:getpid"})

    assert busy.usage is not None
    assert idle.usage is not None
    assert 0 <= idle.usage.cpu_s < busy.usage.cpu_s


def test_worker_with_gpus_shows_none_to_who_was_given_none(tmp_path: Path, kept: Any) -> None:
    place = Workplace("w", tmp_path, grace_s=1.0, confiner=Confiner("w", gpus=("GPU-a",)))
    assignment = Assignment(run_id="r", task_id="t", attempt=1, payload={}, inputs={})
    runner = AttemptRunner(place, assignment, kept.evidence, timeout_s=30.0)

    runner.run(shell('echo "[$CUDA_VISIBLE_DEVICES]"', CUDA_VISIBLE_DEVICES="0"))
    place.close()

    assert kept.content("stdout.log") == b"[]\n"
