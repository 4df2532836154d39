"""`tek workers`: what the workers of a cluster have, what of it is free, and how busy they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from taskexec.cli.options import SettingsRequest, output_option, settings_options
from taskexec.cli.output import Output, build_table, emit
from taskexec.cli.where import broker_option, open_cluster
from taskexec.errors import UsageError

__all__ = ["find_worker", "workers"]

_COLUMNS = ("name", "state", "classes", "cpus", "memory", "gpus", "slots", "labels", "load")
_AMOUNTS = ("cpus", "memory_mib", "gpus", "slots")


@click.command()
@click.argument("name", required=False)
@broker_option
@settings_options
@output_option
def workers(name: str | None, broker: str | None, settings_request: SettingsRequest, output: Output) -> None:
    """List the workers of a cluster with what they have, or show the one called NAME in full.

    Amounts read `free/all`. The beginning of a name is enough where only one has it.
    """
    cluster = open_cluster(settings_request.load(), broker)
    rows = cluster.workers.listed()
    if name is not None:
        rows = [find_worker(rows, name)]
    emit(
        output,
        table=lambda: (
            _table(rows) if name is None else [build_table(["worker", ""], _full(rows[0])), *_devices(rows[0])]
        ),
        data={"workers": rows},
        quiet=lambda: (row["name"] for row in rows),
    )


def _table(rows: Sequence[Mapping[str, Any]]) -> Any:
    return build_table(_COLUMNS, map(_cells, rows), right={"cpus", "memory", "gpus", "slots"}, keep={"name"})


def find_worker(rows: Sequence[Mapping[str, Any]], name: str) -> Any:
    """Return the worker that a name, or the beginning of one, stands for.

    Raises:
        UsageError: There is none, or several begin so.
    """
    found = [row for row in rows if row["name"] == name] or [row for row in rows if row["name"].startswith(name)]
    if len(found) == 1:
        return found[0]
    named = ", ".join(f"`{row['name']}`" for row in found or rows)
    what = f"several workers begin with `{name}`" if found else f"there is no worker `{name}`"
    raise UsageError(what, hint=f"workers: {named}" if named else "no worker is there")


def _cells(row: Mapping[str, Any]) -> list[str]:
    return [
        row["name"],
        row.get("state", ""),
        ", ".join(row["classes"]),
        *(_amount(row, amount) for amount in _AMOUNTS),
        ", ".join(row["capacity"]["labels"]),
        _load(row.get("load", {})),
    ]


def _amount(row: Mapping[str, Any], amount: str) -> str:
    """Return `free/all`, or all alone where it is not known what is free."""
    from taskexec.domain.sizes import show_mib

    def show(number: float) -> str:
        return show_mib(number) if amount.endswith("_mib") else f"{number:.3f}".rstrip("0").rstrip(".")

    everything, free = row["capacity"][amount], row.get("free", {}).get(amount)
    return show(everything) if free is None else f"{show(free)}/{show(everything)}"


def _load(load: Mapping[str, Any]) -> str:
    parts = [f"cpu {load['cpu_percent']:.0f} %"] if "cpu_percent" in load else []
    busy = [gpu["busy_percent"] for gpu in load.get("gpus", ()) if "busy_percent" in gpu]
    if busy:
        parts.append(f"gpu {sum(busy) / len(busy):.0f} %")
    return ", ".join(parts)


def _full(row: Mapping[str, Any]) -> Iterator[list[str]]:
    """Yield what there is to say of one worker, a line each."""
    from taskexec.domain.sizes import show_mib

    for name in ("name", "state", "host", "pid", "version", "protocol", "python", "driver"):
        if row.get(name) not in (None, ""):
            yield [name, str(row[name])]
    for name in ("classes", "agents"):
        yield [name, ", ".join(row.get(name, ()))]
    yield ["labels", ", ".join(row["capacity"]["labels"])]
    for amount in (*_AMOUNTS, "disk_mib"):
        yield [amount.removesuffix("_mib"), _amount(row, amount)]
    load = row.get("load", {})
    for name, value in load.items():
        if name != "gpus":
            shown = show_mib(value) if name.endswith("_mib") else f"{value:g}"
            yield [name.removesuffix("_mib").removesuffix("_percent").replace("_", " ") + " now", shown]
    yield from (["note", note] for note in row.get("notes", ()))


def _devices(row: Mapping[str, Any]) -> Iterator[Any]:
    """Yield a table of the GPUs of a worker that has some."""
    from taskexec.domain.sizes import show_mib

    loads = {gpu["uuid"]: gpu for gpu in row.get("load", {}).get("gpus", ())}
    cells = []
    for device in row["capacity"]["devices"]:
        load = loads.get(device["uuid"], {})
        used = show_mib(load["memory_used_mib"]) if "memory_used_mib" in load else ""
        busy = f"{load['busy_percent']} %" if "busy_percent" in load else ""
        cells.append([device["uuid"], device["model"], show_mib(device["memory_mib"]), used, busy])
    if cells:
        yield ""
        yield build_table(["gpu", "model", "memory", "used", "busy"], cells, right={"memory", "used", "busy"})
