"""Which cluster and which run a command means: `cluster.places`, imported when a command is called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from taskexec.cli.options import SettingsRequest
    from taskexec.cluster import Cluster
    from taskexec.cluster.places import RunPlace
    from taskexec.settings import Settings

__all__ = ["broker_option", "find_folder", "find_run", "find_url", "open_cluster"]


def broker_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--broker`, given to the command as `broker: str | None`."""
    return click.option(
        "--broker", metavar="URL", help="Server, such as redis://host:6379/0; default: settings, `tek up`."
    )(command)


def open_cluster(settings: Settings, broker: str | None, *, join: str | None = None) -> Cluster:
    """See `places.open_cluster`."""
    from taskexec.cluster import places

    return places.open_cluster(settings, broker, join=join)


def find_url(settings: Settings, broker: str | None) -> str:
    """See `places.find_url`."""
    from taskexec.cluster import places

    return places.find_url(settings, broker)


def find_run(text: str, request: SettingsRequest, broker: str | None, *, needs_summary: bool = True) -> RunPlace:
    """See `places.find_run`; the settings are those of the command."""
    from taskexec.cluster import places

    return places.find_run(text, request.load(), broker, needs_summary=needs_summary)


def find_folder(text: str, settings: Settings) -> Path:
    """See `places.find_folder`."""
    from taskexec.cluster import places

    return places.find_folder(text, settings)
