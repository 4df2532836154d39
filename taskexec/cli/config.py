"""`tek config`: each setting, its value, and where the value came from."""

from __future__ import annotations

import json
from typing import Any

import click

from taskexec.cli.options import SettingsRequest, output_option, settings_options
from taskexec.cli.output import Output, build_table, emit

__all__ = ["config"]


@click.command()
@settings_options
@output_option
def config(settings_request: SettingsRequest, output: Output) -> None:
    """Show each setting, its value and where the value came from.

    A value comes from the command line (--set), the environment (TEK_WORKER__LEASE_S), tek.toml,
    config/environments/NAME.toml, or is the default; the first of these that has it wins. Passwords are
    masked.
    """
    origins = settings_request.explain()
    emit(
        output,
        table=lambda: build_table(
            ["setting", "value", "from", "meaning"],
            [(origin.key, _shown(origin.value), origin.origin, origin.description) for origin in origins],
            keep={"setting"},
        ),
        data=lambda: {
            "settings": [
                {
                    "key": origin.key,
                    "value": origin.value,
                    "origin": origin.origin,
                    "description": origin.description,
                }
                for origin in origins
            ]
        },
        quiet=lambda: (f"{origin.key}={_shown(origin.value)}" for origin in origins),
    )


def _shown(value: Any) -> str:
    """Return a value as it would be written in TOML, without quotes; nothing for none."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, default=str) if value else ""
    return "" if value is None else str(value)
