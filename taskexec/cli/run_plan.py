"""The plan of a run, made again from its `plan.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taskexec.plan import Plan

__all__ = ["plan_of_run"]


def plan_of_run(document: Mapping[str, Any], source: str) -> Plan:
    """Return the plan of a run.

    Args:
        document: Its `plan.json`.
        source: What it is called.

    Raises:
        PlanRejected: It is none.
    """
    from taskexec.plan import build_plan
    from taskexec.sources import read_planfile

    return build_plan(read_planfile(json.dumps(dict(document)), source, allow_outside=True))
