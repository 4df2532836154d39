"""What is counted for good of a whole cluster: the names of the counters, and how many of them there may be.

A counter is called by its words, the last of which may be a name that people chose: an agent. Agents are whatever a
plan and a worker agree on, so that a name which is new when there are many counters already, or which is no plain
word, is counted under `other`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = [
    "COUNTERS_MOST",
    "EVIDENCE",
    "EXPIRED",
    "LAPSED",
    "LATE",
    "OTHER",
    "attempts_counter",
    "counted_as",
    "is_plain",
    "runs_counter",
    "tasks_counter",
]

COUNTERS_MOST = 256
"""Counters with an agent's name that may be there before new ones are counted under `other`."""
OTHER = "other"
"""What stands for agents that are not told apart."""
EXPIRED = "expired"
"""Runs that were stopped because their time was up."""
LAPSED = "lapsed"
"""Attempts that were ended because their lease had lapsed."""
LATE = "late"
"""Results that were refused because another attempt owned the task by then."""
EVIDENCE = "evidence"
"""Bytes of output and files that came through the server in pieces."""

_PLAIN = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


def attempts_counter(outcome: str, reason: str, agent: str) -> str:
    """Return the counter of attempts that ended so: `succeeded`, `failed`, `lost` or `given_back`, and for what."""
    return f"attempts {outcome} {reason or '-'} {agent or OTHER}"


def tasks_counter(status: str) -> str:
    """Return the counter of tasks that got a final status other than `succeeded`."""
    return f"tasks {status}"


def runs_counter(status: str) -> str:
    """Return the counter of runs that ended with a status."""
    return f"runs {status}"


def is_plain(agent: str) -> bool:
    """Return whether an agent's name may stand in a counter's."""
    return _PLAIN.fullmatch(agent) is not None


def counted_as(name: str, known: Mapping[str, int]) -> str:
    """Return the counter that a counter's amount is added to, where some are known: itself, or that of `other`."""
    if name in known or not name.startswith("attempts "):
        return name
    words = name.split(" ", 3)
    if is_plain(words[3]) and len(known) < COUNTERS_MOST:
        return name
    return " ".join([*words[:3], OTHER])
