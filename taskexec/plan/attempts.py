"""What a plan says of a task's attempts, their time and their files: what it means, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, NamedTuple

from taskexec.domain.retry import DEFAULT_RETRY, RetryPolicy
from taskexec.domain.states import Reason
from taskexec.errors import Fault, Place
from taskexec.plan.draft import DraftTask, Located
from taskexec.plan.limits import LONGEST_S, amount_fault, quote
from taskexec.plan.paths import path_problem

__all__ = ["EXPONENTIAL", "FIXED", "attempt_faults", "attempt_warnings", "retry_policy", "says_more"]

FIXED, EXPONENTIAL = "fixed", "exponential"
"""The words for `backoff`."""

_EXPONENTIAL_FACTOR = 2.0
"""What `exponential` means where no factor is said."""
_RANGES: tuple[tuple[str, str, float, float, str], ...] = (
    ("factor", "multiplies each delay before a retry by", 1, 1_000, "`2` doubles each delay, `1` keeps it"),
    ("jitter", "takes away from each delay a share of", 0, 1, "write `0.5` or `50%` for up to half of it"),
    ("memory_factor", "multiplies its memory after running out of it by", 1, 1_000, "`2` doubles it each time"),
)
"""Field of a policy, what a task does with it, the least and the most, and a remedy."""
_FIRST_DEADLINE = datetime(2000, 1, 1, tzinfo=UTC).timestamp()
_LAST_DEADLINE = datetime(2200, 1, 1, tzinfo=UTC).timestamp()
_SHOWN_TASKS = 3

_get_rarer = attrgetter("retry", "total_timeout_s", "deadline_at", "inputs", "outputs")
_NOTHING = (None, None, None, (), ())


def says_more(task: DraftTask) -> bool:
    """Return whether a task says anything that this module is about; most do not."""
    return _get_rarer(task) != _NOTHING


def retry_policy(said: Mapping[str, Located[Any]] | None) -> RetryPolicy:
    """Return the policy that a draft means; the reasons are in one order, each once."""
    if not said:
        return DEFAULT_RETRY
    values = {name: located.value for name, located in said.items()}
    if values.pop("backoff", None) == EXPONENTIAL:
        values.setdefault("factor", _EXPONENTIAL_FACTOR)
    if "on" in values:
        values["on"] = _in_order(values["on"])
    return RetryPolicy(**values)


def _in_order(on: Collection[str]) -> tuple[str, ...]:
    """Return reasons in the order of `Reason`, then single exit statuses, which `exit` includes."""
    found = [str(reason) for reason in Reason if reason in on]
    statuses = {name for name in on if name.startswith("exit ")} if Reason.EXIT not in on else set()
    return (*found, *sorted(statuses, key=lambda name: int(name.removeprefix("exit "))))


def attempt_faults(task: DraftTask, task_id: str) -> Iterator[Fault]:
    """Yield what is wrong with one task."""
    total = task.total_timeout_s
    if total is not None and total.value > LONGEST_S:
        yield amount_fault(total, task_id, unit="seconds of total timeout", most=LONGEST_S, name="total_timeout")
    if task.retry:
        yield from _retry_faults(task.retry, task_id)
    deadline = task.deadline_at
    if deadline is not None and not _FIRST_DEADLINE <= deadline.value.at < _LAST_DEADLINE:
        message = f"deadline {quote(deadline.value.written)} of task {quote(task_id)} is not between 2000 and 2199"
        yield Fault("plan.deadline", message, (deadline.place,), "check the year in `deadline`")
    for name in ("inputs", "outputs"):
        for path in getattr(task, name):
            problem = path_problem(path.value)
            if problem is not None:
                shown = quote(path.value) if path.value.strip() else "a path"
                message = f"{shown} in `{name}` of task {quote(task_id)} {problem[0]}"
                yield Fault("plan.path", message, (path.place,), problem[1])


def _retry_faults(retry: Mapping[str, Located[Any]], task_id: str) -> Iterator[Fault]:
    for name, unit in (("delay_s", "delay before a retry"), ("max_delay_s", "longest delay before a retry")):
        amount = retry.get(name)
        if amount is not None and amount.value > LONGEST_S:
            shown = f"retry {name.removesuffix('_s').replace('_', ' ')}"
            yield amount_fault(amount, task_id, unit=f"seconds of {unit}", most=LONGEST_S, name=shown)
    for name, what, least, most, hint in _RANGES:
        found = retry.get(name)
        if found is not None and not least <= found.value <= most:
            message = f"task {quote(task_id)} {what} {found.value:,.15g}; {least} to {most:,} was expected"
            yield Fault("plan.retry", message, (found.place,), hint)
    backoff, factor = retry.get("backoff"), retry.get("factor")
    if backoff is not None and factor is not None and (backoff.value == FIXED) != (factor.value == 1):
        message = f"task {quote(task_id)} has the backoff `{backoff.value}` and the factor {factor.value:,.15g}"
        hint = "keep one of them: `exponential` by itself doubles each delay, and a factor of `1` is `fixed`"
        yield Fault("plan.retry", message, tuple(dict.fromkeys((backoff.place, factor.place))), hint)


class _Doubt(NamedTuple):
    """What may not be meant, for any task."""

    code: str
    problem: str
    hint: str


def attempt_warnings(tasks: Sequence[tuple[DraftTask, str]]) -> Iterator[Fault]:
    """Yield what may not be meant; one warning for all tasks of which the same is to be said.

    Args:
        tasks: Those of a plan that `says_more` is true of, each with its normal id.
    """
    found: dict[_Doubt, tuple[dict[str, None], dict[Place, None]]] = {}
    used = {located.place for task, _ in tasks if _retries(task) and task.retry for located in task.retry.values()}
    for task, task_id in tasks:
        for doubt, places in _doubts(task, used):
            names, at = found.setdefault(doubt, ({}, {}))
            names[task_id] = None
            at.update(dict.fromkeys(places))
    for doubt, (names, at) in found.items():
        message = f"{doubt.problem}: {_named([*names])}"
        yield Fault(doubt.code, message, tuple(sorted(at)), doubt.hint)


def _doubts(task: DraftTask, used: Collection[Place]) -> Iterator[tuple[_Doubt, Iterable[Place]]]:
    """Yield what may not be meant of one task; places in `used` hold for another task that is tried again."""
    timeout, total, deadline = task.timeout_s, task.total_timeout_s, task.deadline_at
    if timeout is not None and total is not None and total.value < timeout.value:
        problem = (
            f"`total_timeout` of {total.value:,.15g} s ends attempts before their `timeout` of {timeout.value:,.15g} s"
        )
        yield _Doubt("plan.timeout", problem, "correct one of the two"), (total.place, timeout.place)
    if deadline is not None and deadline.value.lacks_zone:
        written = deadline.value.written
        taken = "the end of that day in UTC" if len(written) == len("2026-03-01") else "UTC"
        problem = f"deadline {quote(written)} names no time zone, so that {taken} is taken"
        hint = "write the zone behind the time: `2026-03-01T18:00Z`, `2026-03-01T18:00+01:00`"
        yield _Doubt("plan.deadline", problem, hint), (deadline.place,)
    if task.retry:
        yield from _retry_doubts(task, task.retry, used)


def _retry_doubts(
    task: DraftTask, retry: Mapping[str, Located[Any]], used: Collection[Place]
) -> Iterator[tuple[_Doubt, Iterable[Place]]]:
    unused = [located.place for located in retry.values() if located.place not in used]
    if unused and not _retries(task):
        hint = "add `retries`, such as `retries: 3`; attempts that are lost with their worker have a limit of their own"
        yield _Doubt("plan.retry", "`retries` is 0, and yet it is said how to retry", hint), unused
        return
    delay, longest = retry.get("delay_s"), retry.get("max_delay_s")
    if delay is not None and longest is not None and longest.value < delay.value:
        problem = f"no delay may be longer than {longest.value:,.15g} s, and the first is {delay.value:,.15g} s"
        yield _Doubt("plan.retry", problem, "correct one of the two"), (delay.place, longest.place)
    if delay is None or not delay.value:
        shaped = [retry[name].place for name in ("backoff", "factor", "max_delay_s", "jitter") if name in retry]
        if shaped and retry_policy(retry) != DEFAULT_RETRY:
            problem = "retries follow at once, so that their `backoff`, `factor`, `max_delay` and `jitter` mean nothing"
            yield _Doubt("plan.retry", problem, "say how long the first delay is, such as `10s`"), shaped


def _retries(task: DraftTask) -> int:
    return 0 if task.retries is None else task.retries.value


def _named(ids: Sequence[str]) -> str:
    shown = ", ".join(map(quote, ids[:_SHOWN_TASKS]))
    more = len(ids) - _SHOWN_TASKS
    return f"task{'' if len(ids) == 1 else 's'} {shown}" + (f" and {more:,} more" if more > 0 else "")
