"""Settings that are tables of a file, such as `[plan.defaults]`: each value with the place it stands at."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any, NamedTuple

from taskexec.errors import Place

__all__ = ["TABLES", "Written", "plain_table", "put_into_table", "split_table_key", "toml_value"]

TABLES = {"plan.defaults": 1, "plan.queues": 2}
"""Settings that are tables, and how many names stand between each and a value in it."""


class Written(NamedTuple):
    """A value in a table, and where it comes from."""

    value: object
    """As TOML has it; not judged here."""
    place: Place
    """File and line, or what else said it."""


def split_table_key(key: str) -> tuple[str, tuple[str, ...]] | None:
    """Return the table that a dotted key leads into and the names within it, or None where it leads into none.

    Of the names, only the name of a queue may hold dots itself.
    """
    table = next((table for table in TABLES if key.startswith(f"{table}.")), None)
    if table is None:
        return None
    rest = key.removeprefix(f"{table}.")
    names = (rest,) if TABLES[table] == 1 else tuple(rest.rpartition(".")[::2])
    return (table, names) if all(names) else None


def put_into_table(table: dict[str, Any], names: tuple[str, ...], written: Written) -> None:
    """Put a value below the names that lead to it."""
    *outer, last = names
    for name in outer:
        table = table.setdefault(name, {})
    table[last] = written


def plain_table(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table without its places."""
    return {
        name: value.value if isinstance(value, Written) else plain_table(value) if isinstance(value, Mapping) else value
        for name, value in table.items()
    }


def toml_value(text: str) -> object:
    """Return what a text means as a value of TOML; one that is none stays as it is."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
