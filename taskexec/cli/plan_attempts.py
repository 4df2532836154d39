"""What a task's attempts may take and leave, in the few words of a table's cells."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from taskexec.domain.states import Reason

if TYPE_CHECKING:
    from taskexec.domain.task import Task

__all__ = ["describe_end", "describe_files", "describe_retry", "short_duration"]

_ANY = {str(reason) for reason in Reason if reason is not Reason.CANCELLED}


def describe_retry(task: Task) -> str:
    """Return how a task is tried again, such as `3 after 10 s x2 up to 5 m 00 s, on exit 75`; empty for never."""
    said = task.retry.to_json()
    if not said and not task.retries:
        return ""
    words = [f"{task.retries:,}"]
    if "delay_s" in said:
        words.append(f"after {short_duration(task.retry.delay_s)}")
    if "factor" in said:
        words.append(f"x{task.retry.factor:g}")
    if "max_delay_s" in said:
        words.append(f"up to {short_duration(task.retry.max_delay_s)}")
    if "jitter" in said:
        words.append(f"jitter {task.retry.jitter:g}")
    parts = [" ".join(words)]
    if "on" in said:
        is_any = {*task.retry.on} >= _ANY
        parts.append("on any" if is_any else "on " + " or ".join(task.retry.on))
    if "memory_factor" in said:
        parts.append(f"memory x{task.retry.memory_factor:g}")
    return ", ".join(parts)


def describe_end(task: Task) -> str:
    """Return when all attempts of a task end at the latest, such as `1 h 00 m, 2026-03-01 18:00Z`."""
    parts = [] if task.total_timeout_s is None else [short_duration(task.total_timeout_s)]
    if task.deadline_at is not None:
        instant = datetime.fromtimestamp(task.deadline_at, UTC)
        parts.append(f"{instant:%Y-%m-%d %H:%M}" + (f":{instant:%S}" if instant.second else "") + "Z")
    return ", ".join(parts)


def describe_files(task: Task) -> str:
    """Return how many files or patterns a task declares: `2 in, 1 out`."""
    counts = ((len(task.inputs), "in"), (len(task.outputs), "out"))
    return ", ".join(f"{count:,} {word}" for count, word in counts if count)


def short_duration(seconds: float | None) -> str:
    """Return seconds for people; nothing for none and for 0."""
    if not seconds:
        return ""
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        days, hours = divmod(hours, 24)
        return f"{days:,} d {hours:02} h"
    return f"{hours:,} h {minutes:02} m" if hours else f"{minutes} m {rest:02} s"
