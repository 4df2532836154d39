"""Writing a plan in any form that it could have been read from; reading it back gives the same plan."""

from __future__ import annotations

from collections.abc import Callable

import orjson

from taskexec.plan import Plan, plan_to_json
from taskexec.sources.sot.writer import write_sot
from taskexec.sources.table.writer import write_csv
from taskexec.sources.workflow.writer import write_workflow

__all__ = ["FORMS", "write_plan"]


def write_plan(plan: Plan, form: str) -> str:
    """Return the text of a plan.

    Args:
        plan: The plan.
        form: One of `FORMS`.
    """
    return FORMS[form](plan)


def _write_json(plan: Plan) -> str:
    document = plan_to_json(plan)
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


FORMS: dict[str, Callable[[Plan], str]] = {
    "csv": write_csv,
    "yaml": write_workflow,
    "json": _write_json,
    "sot": write_sot,
}
"""What a plan can be written as."""
