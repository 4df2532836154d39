"""When and how a task is tried again: the policy as a pure value; the decisions are in `domain.rules`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from taskexec.domain.states import Reason

__all__ = ["DEFAULT_RETRY", "NO_POLICY", "RETRIED_BY_DEFAULT", "AttemptPolicy", "RetryPolicy"]

RETRIED_BY_DEFAULT = tuple(str(reason) for reason in Reason if reason not in {Reason.CANCELLED, Reason.REFUSED})
"""What is tried again unless a policy says otherwise; a refused attempt would be refused again."""


class RetryPolicy(NamedTuple):
    """How the attempts of a task follow each other; how many there are is `Task.retries`."""

    delay_s: float = 0.0
    """Seconds between an attempt that failed and the next one; 0 is at once."""
    factor: float = 1.0
    """Each further delay is so many times the one before, >= 1: 1 is a fixed delay, 2 the usual exponential one."""
    max_delay_s: float | None = None
    """No delay is longer, in seconds; None is no limit."""
    jitter: float = 0.0
    """Share of each delay that chance may take away, 0..1; 1 gives anything between nothing and the delay."""
    on: tuple[str, ...] = RETRIED_BY_DEFAULT
    """Why an attempt may have ended for another to follow: reasons (`Reason`), or `exit N` for one exit status."""
    memory_factor: float = 1.0
    """After each attempt that ran out of memory the next one asks for so many times the memory, >= 1."""

    def to_json(self) -> dict[str, Any]:
        """Return the fields that differ from the default, by name."""
        fields = {name: value for name, value in self._asdict().items() if value != DEFAULT_RETRY._asdict()[name]}
        return fields | ({"on": list(self.on)} if "on" in fields else {})

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RetryPolicy:
        """Return the policy that `to_json` wrote."""
        return cls(**{**data, **({"on": tuple(data["on"])} if "on" in data else {})})


DEFAULT_RETRY = RetryPolicy()
"""At once, for every reason but a refusal, with the same resources."""


class AttemptPolicy(NamedTuple):
    """What a store keeps of when a task is tried again and what time it has; times in whole microseconds."""

    retries: int = 0
    """Further attempts after one that failed by itself."""
    on: tuple[str, ...] = RETRIED_BY_DEFAULT
    """As `RetryPolicy.on`."""
    delay_us: int = 0
    factor: float = 1.0
    max_us: int = 0
    """0 is no limit."""
    jitter: float = 0.0
    memory: float = 1.0
    """As `RetryPolicy.memory_factor`."""
    budget_us: int = 0
    """Time from the first start, over all attempts; 0 is no limit."""
    deadline_us: int = 0
    """Instant since the epoch after which no attempt runs; 0 is never."""

    @classmethod
    def of(
        cls, policy: RetryPolicy, *, retries: int, total_timeout_s: float | None, deadline_at: float | None
    ) -> AttemptPolicy:
        """Return the policy of a task."""
        return cls(
            retries=retries,
            on=policy.on,
            delay_us=_whole(policy.delay_s),
            factor=policy.factor,
            max_us=_whole(policy.max_delay_s),
            jitter=policy.jitter,
            memory=policy.memory_factor,
            budget_us=_whole(total_timeout_s),
            deadline_us=_whole(deadline_at),
        )

    def encode(self) -> bytes:
        """Return it as the scripts read it: JSON with all fields; empty for the default."""
        return b"" if self == NO_POLICY else json.dumps(self._asdict(), separators=(",", ":")).encode()

    @classmethod
    def decode(cls, text: bytes) -> AttemptPolicy:
        """Return the policy that `encode` wrote."""
        if not text:
            return NO_POLICY
        fields = json.loads(text)
        return cls(**{**fields, "on": tuple(fields["on"])})


NO_POLICY = AttemptPolicy()
"""No further attempts after a failure, no limit of time."""


def _whole(seconds: float | None) -> int:
    """Return seconds as microseconds, at least 1 where something is said."""
    return max(round(seconds * 1e6), 1) if seconds else 0
