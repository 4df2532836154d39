"""The commands of `tek` and their options, for what is written about them."""

from __future__ import annotations

import importlib

import click

from taskexec.cli.main import COMMANDS

__all__ = ["command_of", "options_of"]


def options_of(command: click.Command) -> set[str]:
    """Return every spelling of every option of a command."""
    spellings = (name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts))
    return {name for name in spellings if name.startswith("-")} | {"-h", "--help"}


def command_of(name: str) -> click.Command:
    """Return a command of `tek` by its name."""
    module, _, attribute = COMMANDS[name][0].partition(":")
    command = getattr(importlib.import_module(module), attribute)
    assert isinstance(command, click.Command)
    return command
