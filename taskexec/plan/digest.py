"""The digest of a plan: one number over all that its tasks mean, from a plan or from the text of its plan.json."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from taskexec.plan.bulk import collection_paused

__all__ = ["digest_of_meaning", "digest_of_tasks"]

_NUMBERS = ("cpus", "gpus", "duration_s", "timeout_s", "total_timeout_s")
"""Fields of a task that are the same number with and without decimals (2 cpus are 2.0 cpus)."""
_NUMBERS_OF_ALTERNATIVE = ("weight", "cpus", "gpus")
_NUMBERS_OF_RETRY = ("delay_s", "factor", "max_delay_s", "jitter", "memory_factor")


def digest_of_tasks(tasks: Sequence[Mapping[str, Any]]) -> str:
    """Return the digest of the plan whose plan.json has these `tasks`; it is that of the `Plan` that wrote them.

    Args:
        tasks: The list as `plan_to_json` gives it or any JSON reader reads it back, in any order; not changed.

    Raises:
        ValueError: It is no such list.
    """
    try:
        return digest_of_meaning([{**fields} for fields in tasks])
    except (TypeError, KeyError, AttributeError, OverflowError) as error:
        raise ValueError(f"these are no tasks of a plan.json: {error}") from error


def digest_of_meaning(tasks: Iterable[dict[str, Any]]) -> str:
    """Return the digest over tasks as `task_to_json` gives them; the dicts become canonical in place.

    Dependencies are sorted, numbers have one form, and what a later version of `tek` has added is in them only where
    it says something, so that digests of older plans stay.
    """
    with collection_paused():  # half the time for 100,000 tasks
        canonical = sorted(tasks, key=lambda fields: fields["id"])
        for fields in canonical:
            _make_canonical(fields)
        text = orjson.dumps(canonical, option=orjson.OPT_SORT_KEYS)
    return f"sha256:{hashlib.sha256(text).hexdigest()}"


def _make_canonical(fields: dict[str, Any]) -> None:
    fields["depends_on"] = sorted(fields["depends_on"])
    _settle(fields, _NUMBERS)
    if "retry" in fields:
        fields["retry"] = {**fields["retry"]}
        _settle(fields["retry"], _NUMBERS_OF_RETRY)
    if "alternatives" in fields:
        fields["alternatives"] = [{**alternative} for alternative in fields["alternatives"]]
        for alternative in fields["alternatives"]:
            _settle(alternative, _NUMBERS_OF_ALTERNATIVE)


def _settle(fields: dict[str, Any], names: Iterable[str]) -> None:
    """Make floats of numbers."""
    for name in names:
        value = fields.get(name)
        if value is not None:
            fields[name] = float(value)
