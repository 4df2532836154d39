"""A task of a plan, made of what a draft says of it and of what is supposed where it says nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from taskexec.domain.resources import Needs, choose_route
from taskexec.domain.task import Task
from taskexec.plan.asking import needs_of
from taskexec.plan.attempts import retry_policy
from taskexec.plan.draft import DraftTask, Located
from taskexec.plan.paths import normal_path

__all__ = ["build_task", "with_attempts"]

T = TypeVar("T")

_DEADLINE_DIGITS = 3
"""Deadlines hold to the millisecond: microseconds would not outlive floats of the next century."""


def build_task(
    draft: DraftTask, task_id: str, depends_on: tuple[str, ...], known: dict[tuple[object, ...], Needs]
) -> Task:
    """Return the task of a draft without faults, but for what `with_attempts` adds.

    Args:
        draft: The draft.
        task_id: Its id in normal form.
        depends_on: Normal ids, without repeats.
        known: What tasks built before ask for; equal ones share it.
    """
    needs = needs_of(draft, known)
    return Task(
        id=task_id,
        title=_text(draft.title) or "",
        agent=_text(draft.agent) or ("shell" if draft.payload.get("commands") else "noop"),
        payload=draft.payload,
        depends_on=depends_on,
        lane=_text(draft.lane),
        route=choose_route(_optional(draft.route), needs),
        needs=needs,
        duration_s=_optional(draft.duration_s),
        timeout_s=_optional(draft.timeout_s),
        retries=_value(draft.retries, 0),
        priority=min(max(_value(draft.priority, 0), 0), 9),
        layer=_text(draft.layer),
        is_satisfied=_value(draft.satisfied, False),
        labels=_words(draft.labels),
        acceptance_criteria=_words(draft.acceptance_criteria),
        requirements=_words(draft.requirements),
        metadata=_metadata(draft.metadata) if draft.metadata else draft.metadata,
    )


def with_attempts(task: Task, draft: DraftTask) -> Task:
    """Return a task of `build_task` with what few drafts say: `attempts.says_more`."""
    return task._replace(
        retry=retry_policy(draft.retry),
        total_timeout_s=_optional(draft.total_timeout_s),
        deadline_at=None if draft.deadline_at is None else round(draft.deadline_at.value.at, _DEADLINE_DIGITS),
        inputs=_paths(draft.inputs),
        outputs=_paths(draft.outputs),
    )


def _paths(paths: Sequence[Located[str]]) -> tuple[str, ...]:
    """Return paths in their normal form, repeats left out."""
    return tuple(dict.fromkeys(normal_path(path.value) for path in paths))


def _text(located: Located[str] | None) -> str | None:
    """Return a text without blanks around it; a blank one says nothing."""
    return None if located is None else located.value.strip() or None


def _words(texts: Sequence[str]) -> tuple[str, ...]:
    """Return texts without blanks around them, blank ones and repeats left out."""
    return tuple(dict.fromkeys(word for text in texts if (word := text.strip()))) if texts else ()


def _metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return metadata without blanks around names and values; what is blank then says nothing."""
    return {name.strip(): value.strip() for name, value in metadata.items() if name.strip() and value.strip()}


def _value(located: Located[T] | None, default: T) -> T:
    return default if located is None else located.value


def _optional(located: Located[T] | None) -> T | None:
    return None if located is None else located.value
