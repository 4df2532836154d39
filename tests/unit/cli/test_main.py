"""Tests of the command group: what is listed, and how each kind of failure is told."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import Result

from taskexec.cli import main as main_module
from taskexec.cli.main import COMMANDS, INTERNAL_STATUS, INTERRUPTED_STATUS, PIPE_STATUS
from taskexec.cli.options import behaviour_options
from taskexec.errors import ConnectionLost, Fault, NeedsUnmet, NotFound, Place, PlanRejected

Tek = Callable[..., Result]
Fail = Callable[[BaseException], None]

TEK = Path(sys.executable).with_name("tek")


@pytest.fixture
def command_fails(monkeypatch: pytest.MonkeyPatch) -> Fail:
    """Replace `tek runs` by a command that raises."""

    def replace(error: BaseException) -> None:
        @click.command()
        @behaviour_options
        def failing() -> None:
            raise error

        monkeypatch.setattr(main_module, "failing", failing, raising=False)
        monkeypatch.setitem(COMMANDS, "runs", ("taskexec.cli.main:failing", "Fail."))

    return replace


def test_help_lists_every_command_in_order(call_tek: Tek) -> None:
    outcome = call_tek("--help")

    listed = [line.split()[0] for line in outcome.stdout.partition("Commands:")[2].splitlines() if line]
    assert outcome.exit_code == 0
    assert listed == list(COMMANDS)


def test_version_names_the_command(call_tek: Tek) -> None:
    assert call_tek("--version").stdout.startswith("tek ")


def test_no_command_shows_help_on_stderr(call_tek: Tek) -> None:
    outcome = call_tek()

    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert "Usage: tek" in outcome.stderr


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["stauts"], "did you mean `tek status`?"),
        (["xyzzy"], "`tek --help` lists the commands"),
        (["--versoin"], "did you mean `--version`?"),
        (["config", "--ouput", "json"], "did you mean `--output`?"),
        (["config", "--output", "xml"], "`tek config --help` lists the options"),
        (["config", "too", "many"], "`tek config --help` lists the options"),
        (["plan"], "name a file: `tek plan nightly.csv`"),
    ],
)
def test_wrong_use_is_told_with_a_hint(arguments: list[str], hint: str, call_tek: Tek) -> None:
    outcome = call_tek(*arguments)

    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith("error[usage]: ")
    assert f"hint: {hint}" in outcome.stderr


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (NotFound("no run `r1`"), 2, "not_found"),
        (ConnectionLost("the server did not answer"), 3, "cluster.connection"),
        (NeedsUnmet([Fault("needs.gpus", "too many")]), 4, "needs.gpus"),
        (ValueError("oh"), INTERNAL_STATUS, "internal"),
    ],
)
def test_errors_exit_with_their_status(
    error: Exception, status: int, code: str, call_tek: Tek, command_fails: Fail
) -> None:
    command_fails(error)

    outcome = call_tek("runs")

    assert (outcome.exit_code, outcome.stdout) == (status, "")
    assert outcome.stderr.startswith(f"error[{code}]: ")
    assert "Traceback" not in outcome.stderr


def test_all_faults_are_told_with_places_and_hints(call_tek: Tek, command_fails: Fail) -> None:
    command_fails(
        PlanRejected(
            [
                Fault("plan.cycle", "tasks `a` and `b` wait for each other", (Place("p.csv", 2, 3),), "cut"),
                Fault("csv.ragged", "too long"),
            ]
        )
    )

    outcome = call_tek("runs")

    assert outcome.stderr == (
        "error[plan.cycle]: tasks `a` and `b` wait for each other\n"
        "  at p.csv:2:3\n"
        "hint: cut\n"
        "error[csv.ragged]: too long\n"
    )


def test_faults_cannot_steer_the_terminal(call_tek: Tek, command_fails: Fail) -> None:
    command_fails(PlanRejected([Fault("plan.x", "id `\x1b[2J\n`", (Place("\x07.csv"),), "\u202eevil \ud800")]))

    outcome = call_tek("runs")

    assert set(outcome.stderr) & set("\x1b\x07\u202e") == set()
    assert r"id `\x1b[2J\n`" in outcome.stderr


@pytest.mark.parametrize("by_variable", [True, False])
def test_traceback_of_an_internal_error_is_shown_on_request(
    by_variable: bool, call_tek: Tek, command_fails: Fail, monkeypatch: pytest.MonkeyPatch
) -> None:
    command_fails(ValueError("oh"))
    if by_variable:
        monkeypatch.setenv("TEK_DEBUG", "1")

    outcome = call_tek("runs") if by_variable else call_tek("runs", "--debug")

    assert outcome.exit_code == INTERNAL_STATUS
    assert "Traceback" in outcome.stderr


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt(), INTERRUPTED_STATUS), (BrokenPipeError(), PIPE_STATUS)]
)
def test_interrupt_and_closed_pipe_end_quietly(
    error: BaseException, status: int, call_tek: Tek, command_fails: Fail
) -> None:
    command_fails(error)

    outcome = call_tek("runs")

    assert outcome.exit_code == status
    assert outcome.output.strip() == ""


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_reader_that_goes_away_sees_no_complaint(unbuffered: str, in_folder: Path) -> None:
    rows = "".join(f"task-{number},{'x' * 100}\n" for number in range(2000))
    (in_folder / "long.csv").write_text(f"id,title\n{rows}")
    command = [TEK, "plan", "long.csv", "--output", "json"]
    environ = os.environ | {"PYTHONUNBUFFERED": unbuffered}

    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        told = process.stderr.read()

    assert told == b""
    assert process.returncode == PIPE_STATUS


def test_what_a_command_imports_is_not_looked_through_for_garbage_and_all_later_is() -> None:
    tell = "sys.stderr.write(f'{gc.isenabled()} {gc.get_freeze_count()}')"
    program = f"import atexit, gc, sys; atexit.register(lambda: {tell}); from taskexec.cli.main import main; main()"

    outcome = subprocess.run([sys.executable, "-c", program, "schema"], capture_output=True, text=True, check=True)

    is_enabled, frozen = outcome.stderr.split()
    assert is_enabled == "True"
    assert int(frozen) > 10_000
