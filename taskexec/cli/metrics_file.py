"""`--metrics-file`: what Prometheus's textfile collector reads of a run that somebody has waited for."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from taskexec.cli.output import say
from taskexec.errors import UsageError

if TYPE_CHECKING:
    from taskexec.cluster import Cluster
    from taskexec.observability.metrics import Histogram

__all__ = ["MetricsFile", "metrics_file_option"]


class MetricsFile:
    """A file of figures, or none."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._scripts: dict[str, Histogram] = {}

    def check(self) -> None:
        """Refuse to start what could not write its file.

        Raises:
            UsageError: There is no such folder, or nobody may write there.
        """
        if self.path is None:
            return
        folder = self.path.absolute().parent
        if not os.access(folder, os.W_OK | os.X_OK) or self.path.is_dir():
            raise UsageError(f"`{self.path}` cannot be written", hint="name a file in a folder that you may write to")

    def watch(self, cluster: Cluster) -> None:
        """Measure from now on what a cluster's scripts take."""
        if self.path is not None:
            cluster.connection.observe = self._count

    def _count(self, script: str, seconds: float) -> None:
        from taskexec.observability.metrics import SCRIPT_BOUNDS, Histogram

        if script not in self._scripts:
            self._scripts[script] = Histogram(SCRIPT_BOUNDS)
        self._scripts[script].add(seconds)

    def write(self, folder: Path) -> None:
        """Write what the folder of a run tells; what keeps it from being written is said, the run is not touched."""
        if self.path is None:
            return
        from taskexec.cluster.metrics import run_sheet_at_home

        try:
            run_sheet_at_home(folder, scripts=self._scripts).write(self.path)
        except (OSError, ValueError) as error:
            say(f"`{self.path}` was not written: {getattr(error, 'strerror', None) or error}")


def metrics_file_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--metrics-file`, given to the command as `metrics_file: MetricsFile`."""
    return click.option(
        "--metrics-file",
        type=click.Path(path_type=Path),
        callback=lambda _context, _parameter, value: MetricsFile(value),
        metavar="FILE",
        help="Write the run's figures to a text file for Prometheus when it has ended.",
    )(command)
