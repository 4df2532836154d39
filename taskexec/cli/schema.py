"""`tek schema`: print the JSON Schema of a file that `tek` reads or writes, or list the schemas there are."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Any

import click

from taskexec.cli.options import output_option
from taskexec.cli.output import Output, build_table, emit

__all__ = ["SCHEMAS", "read_schema", "schema"]

SCHEMAS = {
    "plan": "plan-2",
    "workflow": "workflow-1",
    "hooks": "hooks-1",
    "manifest": "manifest-1",
    "events": "events-1",
    "cluster": "cluster-1",
}
"""Name of a schema, and its file in `taskexec/schemas` without suffix, which ends in its version."""


@click.command()
@click.argument("name", metavar="[NAME]", required=False, type=click.Choice(list(SCHEMAS)))
@output_option
def schema(name: str | None, output: Output) -> None:
    """Print the JSON Schema of NAME, or list the schemas.

    NAME is plan (plan.json), workflow (YAML or JSON), hooks, manifest, events (`tek events RUN --output json`), or
    cluster (what `tek simulate` takes).
    Give an editor the file, and it checks and completes what you write.
    """
    if name is not None:
        document = read_schema(name)
        emit(Output.JSON, table=list, data=document, quiet=[])
        return
    rows = [_describe(known) for known in SCHEMAS]
    emit(
        output,
        table=lambda: build_table(
            ["name", "version", "id", "about"],
            ([row["name"], str(row["version"]), row["id"], _first_sentence(row["description"])] for row in rows),
            right={"version"},
            keep={"name"},
        ),
        data={"schemas": rows},
        quiet=list(SCHEMAS),
    )


def read_schema(name: str) -> dict[str, Any]:
    """Return a schema by its name in `SCHEMAS`."""
    import json

    text = files("taskexec").joinpath("schemas", f"{SCHEMAS[name]}.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def _describe(name: str) -> dict[str, Any]:
    document = read_schema(name)
    version = int(SCHEMAS[name].rpartition("-")[2])
    return {"name": name, "version": version, "id": document["$id"], "description": document["description"]}


def _first_sentence(text: str) -> str:
    """Return the first sentence of a description, without its full stop."""
    return re.split(r"\.(?:\s|$)", text, maxsplit=1)[0]
