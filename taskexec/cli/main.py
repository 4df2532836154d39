"""The `tek` command: which commands there are, and how whatever goes wrong is told.

Commands are imported when they are called: `tek --help` loads click and the standard library only.
A command returns its exit status, or None for 0.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from taskexec.cli.options import DEBUG_KEY, behaviour_options
from taskexec.cli.output import report_faults, say
from taskexec.errors import Fault, TekError, UsageError

__all__ = ["COMMANDS", "INTERNAL_STATUS", "INTERRUPTED_STATUS", "PIPE_STATUS", "TekGroup", "main", "tek"]

COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("taskexec.cli.init:init", "Start a new plan to change."),
    "plan": ("taskexec.cli.plan:plan", "Read a plan, check it and show it."),
    "convert": ("taskexec.cli.convert:convert", "Write a plan of one kind as another."),
    "run": ("taskexec.cli.run:run", "Run a plan to its end, here."),
    "submit": ("taskexec.cli.submit:submit", "Submit a plan to a cluster."),
    "retry": ("taskexec.cli.retry:retry", "Have tasks of a run run again."),
    "status": ("taskexec.cli.inspect:status", "Show where a run and its tasks stand."),
    "watch": ("taskexec.cli.watch:watch", "Follow a run until it ends."),
    "logs": ("taskexec.cli.inspect:logs", "Show the output of a task."),
    "events": ("taskexec.cli.inspect:events", "List what happened in a run."),
    "blame": ("taskexec.cli.blame:blame", "Split the time of a run into what it was spent on."),
    "gantt": ("taskexec.cli.gantt:gantt", "Draw who ran what when in a run."),
    "graph": ("taskexec.cli.graph:graph", "Show the graph of a run or of a plan."),
    "report": ("taskexec.cli.report:report", "Write a run down as one file to hand over."),
    "why": ("taskexec.cli.why:why", "Explain why a task waits, or why it went as it did."),
    "collect": ("taskexec.cli.collect:collect", "Bring the evidence of a run home."),
    "verify": ("taskexec.cli.verify:verify", "Check that the evidence of a run is whole and unchanged."),
    "simulate": ("taskexec.cli.simulate:simulate", "Predict how long a plan takes on a cluster."),
    "replay": ("taskexec.cli.replay:replay", "Carry out the plan of a run again and compare."),
    "chaos": ("taskexec.cli.chaos:chaos", "Do a run harm on purpose, and tell what came of it."),
    "runs": ("taskexec.cli.runs:runs", "List the runs of a cluster, or remove some."),
    "worker": ("taskexec.cli.nodes:worker", "Start one worker."),
    "workers": ("taskexec.cli.workers:workers", "List the workers of a cluster, or show one."),
    "drain": ("taskexec.cli.drain:drain", "Have a worker finish what it runs, and leave."),
    "cordon": ("taskexec.cli.drain:cordon", "Have a worker take nothing new."),
    "uncordon": ("taskexec.cli.drain:uncordon", "Have a worker take tasks again."),
    "autoscale": ("taskexec.cli.autoscale:autoscale", "Tell how many nodes of each class are wanted."),
    "up": ("taskexec.cli.nodes:up", "Start a server and workers on this machine."),
    "down": ("taskexec.cli.nodes:down", "Stop what `tek up` started."),
    "api": ("taskexec.cli.api:api", "Serve the API and its pages."),
    "token": ("taskexec.cli.token:token", "Print what a worker joins with, or manage the tokens of the API."),
    "keys": ("taskexec.cli.keys:keys", "Show your key, and manage those that you trust."),
    "config": ("taskexec.cli.config:config", "Show each setting and where it came from."),
    "notify": ("taskexec.cli.notify:notify", "Try out who is told of runs."),
    "schema": ("taskexec.cli.schema:schema", "Print the JSON Schema of a file, or list the schemas."),
    "flower": ("taskexec.cli.flower:flower", "Start Flower, the monitor."),
}
"""Name -> where the command is, and its help in the list of commands."""

INTERNAL_STATUS = 3
"""Exit status after an error of ours."""
INTERRUPTED_STATUS = 130
"""Exit status after Ctrl-C."""
PIPE_STATUS = 141
"""Exit status when the reader of stdout went away, as a shell reports it for SIGPIPE."""


class TekGroup(click.Group):
    """The group of all commands, which imports them late and tells errors in one form."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None when there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        if not gc.isenabled():  # `main` is on its way to it
            gc.freeze()
            gc.enable()
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of an invocation.

        Raises:
            UsageError: There is no such command.
        """
        if args[0] not in COMMANDS and not ctx.resilient_parsing:
            import difflib

            close = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f"did you mean `tek {close[0]}`?" if close else "`tek --help` lists the commands"
            raise UsageError(f"there is no command `{args[0]}`", hint=hint)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command and return its result, or the exit status after an error was told."""
        try:
            return super().invoke(ctx)
        except TekError as error:
            report_faults(error.faults())
            return error.exit_status
        except BrokenPipeError:
            return _leave_pipe()
        except OSError as error:
            if error.errno not in _EXPECTED:
                return _report_internal(error, ctx)
            report_faults([_system_fault(error)])
            return INTERNAL_STATUS
        except (click.ClickException, click.exceptions.Exit, click.Abort, EOFError):
            raise
        except Exception as error:
            return _report_internal(error, ctx)

    def main(  # type: ignore[override]  # click's overloads say no more than this
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        *,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run as `click.Group.main` does, with our form of errors and exit statuses.

        Usage errors, interrupts and closed pipes are told here in either mode; `standalone_mode` says
        whether the process exits or the status is returned.
        """
        try:
            outcome = super().main(args, prog_name, standalone_mode=False, **extra)
        except click.exceptions.NoArgsIsHelpError as error:
            outcome = error.exit_code
            click.echo(error.format_message(), err=True)
        except click.ClickException as error:
            outcome = error.exit_code
            report_faults([_usage_fault(error)])
        except click.Abort:
            outcome = INTERRUPTED_STATUS
        status = outcome if isinstance(outcome, int) else 0
        if standalone_mode:
            sys.exit(status)
        return status


@click.group(cls=TekGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="taskexec", prog_name="tek", message="%(prog)s %(version)s")
@behaviour_options
def tek() -> None:
    """Run a graph of tasks on a cluster, each exactly once in effect, with evidence."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `tek` and exit.

    What a command imports stays for good: to look through it for garbage, while it is imported and again at the end,
    is a quarter of what a short command costs.
    """
    gc.disable()
    tek.main(arguments, prog_name="tek")


_EXPECTED = {errno.EACCES, errno.EDQUOT, errno.EMFILE, errno.ENOMEM, errno.ENOSPC, errno.EPERM, errno.EROFS}
"""What a machine may refuse to anybody; other errors of the system are ours."""


def _system_fault(error: OSError) -> Fault:
    where = f": `{error.filename}`" if error.filename else ""
    return Fault("system", f"{(error.strerror or str(error)).lower()}{where}", (), "see to the machine and try again")


def _usage_fault(error: click.ClickException) -> Fault:
    """Return a usage error of click in our words."""
    message = error.message or error.format_message()
    if isinstance(error, click.BadParameter):
        message = error.format_message()
    message = message.strip().removesuffix(".").replace("'", "`")
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "tek"
    hint = f"`{path} --help` lists the options"
    possibilities = getattr(error, "possibilities", None)
    if possibilities:
        hint = f"did you mean `{possibilities[0]}`?"
    return Fault("usage", message[:1].lower() + message[1:], (), hint)


def _leave_pipe() -> int:
    """Stop writing to a stdout that nobody reads, also at the end of the interpreter."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.suppress(OSError, ValueError):
        os.dup2(nowhere.fileno(), sys.stdout.fileno())  # fails where stdout is no file (tests)
    return PIPE_STATUS


def _report_internal(error: Exception, context: click.Context) -> int:
    """Tell an error that is ours; the traceback only to those who ask for it."""
    wants_traceback = context.meta.get(DEBUG_KEY) or os.environ.get("TEK_DEBUG", "") not in {"", "0"}
    if wants_traceback:
        import traceback

        say("".join(traceback.format_exception(error)).rstrip())
    told = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    ask = "this is a fault of tek: please report it" + ("" if wants_traceback else ", with what `TEK_DEBUG=1` shows")
    report_faults([Fault("internal", told, (), ask)])
    return INTERNAL_STATUS
