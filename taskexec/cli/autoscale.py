"""`tek autoscale`: how many nodes of each class are wanted, told once or again and again."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from taskexec.cli.options import SettingsRequest, output_option, settings_options
from taskexec.cli.output import Output, build_table, emit, say
from taskexec.cli.scaling_calls import Caller
from taskexec.cli.where import broker_option, open_cluster
from taskexec.errors import ConnectionLost, UsageError

if TYPE_CHECKING:
    from taskexec.domain.autoscale import Wanted
    from taskexec.observability.metrics import ScrapeServer, Sheet

__all__ = ["autoscale"]


@click.command()
@click.option(
    "--classes",
    "path",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="YAML with the classes of nodes there can be.",
)
@click.option(
    "--idle",
    "idle_s",
    type=click.FloatRange(0),
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="Nodes that nothing needs may go when they were idle for so long.",
)
@click.option("--watch", "is_watched", is_flag=True, help="Go on until Ctrl-C.")
@click.option(
    "--every",
    "every_s",
    type=click.FloatRange(0.1),
    default=15.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between two looks, with --watch.",
)
@click.option(
    "--exec",
    "command",
    metavar="COMMAND",
    help="Call this when a figure changes, and when nodes go: `{class}`, `{wanted}` and "
    "`{now}` in its words are replaced; no shell is involved.",
)
@click.option(
    "--repeat",
    "repeat_s",
    type=click.FloatRange(0.1),
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="While there are not as many nodes as wanted, call it again with the same figure after so long.",
)
@click.option(
    "--metrics",
    metavar="[HOST:]PORT",
    help="Serve the figures to Prometheus, with --watch; on loopback where no host is named.",
)
@click.option(
    "--metrics-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the figures to a text file for Prometheus.",
)
@broker_option
@settings_options
@output_option
def autoscale(
    path: Path,
    idle_s: float,
    is_watched: bool,
    every_s: float,
    command: str | None,
    repeat_s: float,
    metrics: str | None,
    metrics_file: Path | None,
    broker: str | None,
    settings_request: SettingsRequest,
    output: Output,
) -> None:
    """Tell how many nodes of each class are wanted: as many as would let everything that waits start now.

    It starts and ends no nodes by itself: `--exec` calls what does, and `--metrics` offers the figures to a system such
    as KEDA.
    """
    from taskexec.cluster.autoscale import survey
    from taskexec.settings.node_classes import read_node_classes

    classes = read_node_classes(path)
    if metrics is not None and not is_watched:
        raise UsageError("`--metrics` serves nothing without `--watch`", hint="add `--watch`, or use `--metrics-file`")
    caller = None if command is None else Caller(command, repeat_s=repeat_s)
    teller = Teller(output, caller, metrics, metrics_file)
    cluster = open_cluster(settings_request.load(), broker)
    while True:
        try:
            teller.tell(survey(cluster, classes, idle_s=idle_s))
        except ConnectionLost as error:
            if not is_watched:
                raise
            say(error.message)
        if not is_watched:
            return
        time.sleep(every_s)  # what `--every` asks for


class Teller:
    """Tells figures to all who want to know them."""

    def __init__(self, output: Output, caller: Caller | None, metrics: str | None, metrics_file: Path | None) -> None:
        self._output = output
        self._caller = caller
        self._gauges = Gauges() if metrics or metrics_file else None
        self._file = metrics_file
        self._told: Mapping[str, Wanted] | None = None
        if self._gauges is not None and metrics is not None:
            self._gauges.serve(metrics)

    def tell(self, found: Mapping[str, Wanted]) -> None:
        """Tell the figures; what is printed is only news."""
        if found != self._told:
            _show(self._output, found)
            self._told = found
        if self._gauges is not None:
            self._gauges.set(found)
            if self._file is not None:
                self._gauges.write(self._file)
        if self._caller is not None:
            self._caller.call(found)


def _show(output: Output, found: Mapping[str, Wanted]) -> None:
    cells = [[name, str(figure.now), str(figure.wanted), figure.why] for name, figure in found.items()]
    emit(
        output,
        table=lambda: [build_table(("class", "now", "wanted", "why"), cells, right={"now", "wanted"}, keep={"class"})],
        data={
            "classes": {
                name: {"now": figure.now, "wanted": figure.wanted, "why": figure.why} for name, figure in found.items()
            }
        },
        quiet=lambda: (f"{name} {figure.wanted}" for name, figure in found.items()),
    )


class Gauges:
    """The figures as Prometheus reads them."""

    def __init__(self) -> None:
        self._found: Mapping[str, Wanted] = {}

    def set(self, found: Mapping[str, Wanted]) -> None:
        """Take over the figures."""
        self._found = found

    def _sheet(self) -> Sheet:
        from taskexec.cluster.metrics import tell_nodes
        from taskexec.observability.metrics import Sheet

        sheet = Sheet()
        tell_nodes(sheet, self._found)
        return sheet

    def serve(self, address: str) -> ScrapeServer:
        """Answer at `/metrics` of an address, from a thread; return its server.

        Raises:
            UsageError: It is none, or cannot be listened on.
        """
        from taskexec.observability.metrics import listen

        host, _, port = address.rpartition(":")
        if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536:
            raise UsageError(f"`{address}` should be a port, or a host and a port, such as `9464`")
        try:
            return listen(host.strip("[]") or "127.0.0.1", int(port), lambda: self._sheet().text())
        except OSError as error:
            raise UsageError(f"`{address}` cannot be listened on: {error.strerror}") from error

    def write(self, path: Path) -> None:
        """Write a text file, which is never seen half.

        Raises:
            UsageError: It cannot be written.
        """
        try:
            self._sheet().write(path)
        except OSError as error:
            raise UsageError(f"`{path}` cannot be written: {error.strerror}") from error
