"""The options that several commands share, and the values they become."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from taskexec.cli.output import Output
from taskexec.errors import UsageError

if TYPE_CHECKING:
    from taskexec.settings import Origin, Settings

__all__ = [
    "DEBUG_KEY",
    "SettingsRequest",
    "behaviour_options",
    "output_option",
    "settings_options",
]

DEBUG_KEY = "taskexec.debug"
"""Key in `click.Context.meta`: whether an internal error shows its traceback."""

_Command = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class SettingsRequest:
    """What the command line says about settings."""

    config: Path | None = None
    """File to read instead of the nearest `tek.toml`."""
    environment: str | None = None
    """Name of a file in `config/environments`."""
    overrides: Mapping[str, object] = field(default_factory=dict)
    """Values of `--set`, by dotted key."""

    def load(self, overrides: Mapping[str, object] | None = None) -> Settings:
        """Return the settings; `overrides` are those of the command's own options and win over `--set`.

        What is logged from here on goes to standard error, in the form that they ask for.

        Raises:
            SettingsRejected: Values are unknown or out of range.
            UsageError: A file that was asked for is not there.
        """
        from taskexec.observability.logs import start_logs
        from taskexec.settings import load_settings

        settings = load_settings(self._merge(overrides), environment=self.environment, config=self.config)
        start_logs(settings.log.format, settings.log.level)
        return settings

    def with_overrides(self, overrides: Mapping[str, object]) -> SettingsRequest:
        """Return a request in which a command's own options win over `--set`; None says nothing."""
        return replace(self, overrides=self._merge(overrides))

    def explain(self, overrides: Mapping[str, object] | None = None) -> list[Origin]:
        """Return each setting with its origin; arguments and errors are those of `load`."""
        from taskexec.settings import explain_settings

        return explain_settings(self._merge(overrides), environment=self.environment, config=self.config)

    def _merge(self, overrides: Mapping[str, object] | None) -> dict[str, object]:
        given = {key: value for key, value in (overrides or {}).items() if value is not None}
        return dict(self.overrides) | given


def behaviour_options(command: _Command) -> _Command:
    """Add `--no-color` and `--debug`, which act by themselves."""
    no_color = click.option(
        "--no-color", is_flag=True, expose_value=False, callback=_refuse_color, help="Print without colour."
    )
    debug = click.option(
        "--debug",
        is_flag=True,
        expose_value=False,
        callback=_remember_debug,
        help="Show the traceback of an internal error.",
    )
    return no_color(debug(command))


def output_option(command: _Command) -> _Command:
    """Add `--output`, given to the command as `output: Output`, and the options of behaviour."""
    option = click.option(
        "--output",
        type=click.Choice([form.value for form in Output]),
        default=Output.TABLE.value,
        show_default=True,
        callback=lambda _context, _parameter, value: Output(value),
        help="Form of what is printed.",
    )
    return option(behaviour_options(command))


def settings_options(command: _Command) -> _Command:
    """Add `--config`, `--env` and `--set`, given to the command as `settings_request: SettingsRequest`."""

    @click.option(
        "--config",
        "settings_file",
        type=click.Path(path_type=Path),
        help="Settings file instead of tek.toml.",
    )
    @click.option("--env", "settings_environment", metavar="NAME", help="Use config/environments/NAME.toml.")
    @click.option("--set", "settings_assignments", multiple=True, metavar="KEY=VALUE", help="Set one setting.")
    @functools.wraps(command)
    def with_settings(
        *args: Any,
        settings_file: Path | None,
        settings_environment: str | None,
        settings_assignments: tuple[str, ...],
        **kwargs: Any,
    ) -> Any:
        request = SettingsRequest(
            settings_file, settings_environment, dict(_split(text) for text in settings_assignments)
        )
        return command(*args, settings_request=request, **kwargs)

    return with_settings


def _split(assignment: str) -> tuple[str, str]:
    """Return key and value of `key=value`."""
    key, equals, value = assignment.partition("=")
    if not equals or not key.strip():
        raise UsageError(f"`--set {assignment}` is not KEY=VALUE", hint="such as `--set worker.lease_s=5`")
    return key.strip(), value.strip()


def _refuse_color(context: click.Context, _parameter: click.Parameter, refused: bool) -> None:
    if refused:
        context.color = False


def _remember_debug(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        context.meta[DEBUG_KEY] = True
